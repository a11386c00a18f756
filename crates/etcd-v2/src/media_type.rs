//! Content types as Go's `mime.ParseMediaType` reads them, with its errors.
//!
//! Only the type and whether it can be read matter: parameters are checked and thrown away.

/// Why a `Content-Type` cannot be read, in Go's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MediaTypeError {
    #[error("mime: no media type")]
    Absent,
    #[error("mime: expected slash after first token")]
    NoSlash,
    #[error("mime: expected token after slash")]
    NoSubtype,
    #[error("mime: unexpected content after media subtype")]
    AfterSubtype,
    #[error("mime: invalid media parameter")]
    Parameter,
    #[error("mime: duplicate parameter name")]
    DuplicateParameter,
}

/// The type in lower case without its parameters, which must be well-formed.
pub(crate) fn parse(text: &[u8]) -> Result<String, MediaTypeError> {
    let end = text.iter().position(|&b| b == b';').unwrap_or(text.len());
    let (base, parameters) = text.split_at(end);
    // Bytes that are no UTF-8 become a character that no token may contain.
    let base = String::from_utf8_lossy(base).trim().to_lowercase();
    check_base(base.as_bytes())?;
    check_parameters(parameters)?;
    Ok(base)
}

fn check_base(base: &[u8]) -> Result<(), MediaTypeError> {
    let (kind, rest) = token(base);
    if kind.is_empty() {
        return Err(MediaTypeError::Absent);
    }
    // Go is content with a lone "text".
    if rest.is_empty() {
        return Ok(());
    }
    let rest = rest.strip_prefix(b"/").ok_or(MediaTypeError::NoSlash)?;
    match token(rest) {
        ([], _) => Err(MediaTypeError::NoSubtype),
        (_, []) => Ok(()),
        _ => Err(MediaTypeError::AfterSubtype),
    }
}

fn check_parameters(mut rest: &[u8]) -> Result<(), MediaTypeError> {
    let mut seen: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(());
        }
        let Some((name, value, after)) = parameter(rest) else {
            return if rest.trim_ascii() == b";" {
                Ok(())
            } else {
                Err(MediaTypeError::Parameter)
            };
        };
        if seen.iter().any(|(n, v)| *n == name && *v != value) {
            return Err(MediaTypeError::DuplicateParameter);
        }
        seen.push((name, value));
        rest = after;
    }
}

/// `; name=value`, with the name in lower case, and what comes after it.
fn parameter(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>, &[u8])> {
    let rest = text.strip_prefix(b";")?.trim_ascii_start();
    let (name, rest) = token(rest);
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_ascii_start().strip_prefix(b"=")?;
    let rest = rest.trim_ascii_start();
    let (value, after) = value(rest)?;
    (!value.is_empty() || after.len() != rest.len()).then(|| {
        let name = name.to_ascii_lowercase();
        (name, value, after)
    })
}

/// A token, or a quoted string without its quotes.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let (value, rest) = token(text);
        return Some((value.to_vec(), rest));
    };
    let mut value = Vec::new();
    let mut at = 0;
    while let Some(&byte) = quoted.get(at) {
        match (byte, quoted.get(at + 1)) {
            (b'"', _) => return Some((value, &quoted[at + 1..])),
            (b'\\', Some(&next)) if is_special(next) => {
                value.push(next);
                at += 1;
            }
            (b'\r' | b'\n', _) => return None,
            _ => value.push(byte),
        }
        at += 1;
    }
    None
}

fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|&byte| !byte.is_ascii_graphic() || is_special(byte));
    text.split_at(end.unwrap_or(text.len()))
}

fn is_special(byte: u8) -> bool {
    b"()<>@,;:\\\"/[]?=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{MediaTypeError, parse};

    #[test]
    fn reads_what_go_reads() {
        let form = "application/x-www-form-urlencoded";
        for text in [
            "APPLICATION/X-www-form-urlencoded ;charset=utf8",
            "application/x-www-form-urlencoded;",
            "application/x-www-form-urlencoded; a=1; A=1",
            "application/x-www-form-urlencoded; a=\"x\\\"y\" ; b = c",
            "application/x-www-form-urlencoded; a=\"\"",
        ] {
            assert_eq!(parse(text.as_bytes()).as_deref(), Ok(form), "{text}");
        }
        assert_eq!(parse(b"application").as_deref(), Ok("application"));
    }

    #[test]
    fn refuses_with_the_errors_of_go() {
        use MediaTypeError::{
            Absent, AfterSubtype, DuplicateParameter, NoSlash, NoSubtype, Parameter,
        };
        for (text, error) in [
            ("/b", Absent),
            (" ; a=b", Absent),
            ("a b/c", NoSlash),
            ("a/", NoSubtype),
            ("a/b c", AfterSubtype),
            ("a/b; =", Parameter),
            ("a/b; charset", Parameter),
            ("a/b; c=\"d", Parameter),
            ("a/b; charset=a; charset=b", DuplicateParameter),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{text}");
        }
    }
}
