//! Texts for what etcd accepts without a word although it cannot have been meant.
//!
//! They go into `Warning` headers; status and body stay etcd's.

use crate::form::Field;
use crate::key_request::Method;

/// The value of a `Warning` header (RFC 7234, code 299: miscellaneous, persistent) with this text.
pub fn warning_header(text: &str) -> String {
    let text: String = text.chars().map(as_header_character).collect();
    format!("299 kvd \"{text}\"")
}

/// Quotes would end the text, and a header is printable ASCII.
fn as_header_character(character: char) -> char {
    match character {
        '"' | '\\' => '\'',
        ' '..='~' => character,
        _ => '?',
    }
}

pub(crate) fn body_of(method: Method) -> String {
    format!("the body of a {} is not read", method.name())
}

pub(crate) fn body_not_read(content_type: &str) -> String {
    let named = match content_type {
        "" => "has no Content-Type".to_owned(),
        other => format!("is {}", shortened(other)),
    };
    format!(
        "the body was not read: it {named}, not application/x-www-form-urlencoded \
         or application/octet-stream"
    )
}

pub(crate) fn unknown_parameter(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    format!("there is no parameter '{}'", shortened(&name))
}

pub(crate) fn repeated(field: Field) -> String {
    format!(
        "'{}' is given more than once; the first counts, the body's before the query's",
        field.name()
    )
}

pub(crate) fn has_no_effect(field: Field, reason: &str) -> String {
    format!("'{}' has no effect {reason}", field.name())
}

pub(crate) const TTL_TOO_LONG: &str =
    "'ttl' reaches beyond the year 2262 and was left out: the key is permanent";

fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(60)
        .map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::{unknown_parameter, warning_header};

    #[test]
    fn a_header_is_printable_ascii() {
        assert_eq!(
            warning_header(&unknown_parameter("a\r\n\"é".as_bytes())),
            "299 kvd \"there is no parameter 'a??'?'\""
        );
        let long = unknown_parameter(&[b'x'; 10_000]);
        assert!(warning_header(&long).len() < 120);
    }
}
