//! JSON with the order of its fields and the spelling of its values kept, as both are compared.
//!
//! It reads what servers send and is no judge of malformed text.

use std::fmt::{self, Display};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    /// A string with its quotes and escapes, a number, or a literal, as it stands.
    Scalar(String),
    /// `[…]`.
    Array(Vec<Json>),
    /// `{…}`; names are with their quotes.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a value and nothing else; what comes after it is given back. Spaces are not skipped:
    /// etcd writes none.
    pub(crate) fn read(text: &str) -> Option<(Self, &str)> {
        match text.chars().next()? {
            '{' => {
                let (fields, rest) = read_list(&text[1..], '}', |text| {
                    let (name, rest) = read_scalar(text)?;
                    let (value, rest) = Self::read(rest.strip_prefix(':')?)?;
                    Some(((name, value), rest))
                })?;
                Some((Self::Object(fields), rest))
            }
            '[' => {
                let (values, rest) = read_list(&text[1..], ']', Self::read)?;
                Some((Self::Array(values), rest))
            }
            _ => read_scalar(text).map(|(scalar, rest)| (Self::Scalar(scalar), rest)),
        }
    }

    /// The field of this name, if this is an object that has it.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else {
            return None;
        };
        let name = format!("\"{name}\"");
        fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

impl Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        match self {
            Self::Scalar(text) => formatter.write_str(text),
            Self::Array(values) => {
                formatter.write_str("[")?;
                for value in values {
                    write!(formatter, "{separator}{value}")?;
                    separator = ",";
                }
                formatter.write_str("]")
            }
            Self::Object(fields) => {
                formatter.write_str("{")?;
                for (name, value) in fields {
                    write!(formatter, "{separator}{name}:{value}")?;
                    separator = ",";
                }
                formatter.write_str("}")
            }
        }
    }
}

fn read_list<T>(
    mut text: &str,
    end: char,
    read: impl Fn(&str) -> Option<(T, &str)>,
) -> Option<(Vec<T>, &str)> {
    let mut elements = Vec::new();
    while !text.starts_with(end) {
        if !elements.is_empty() {
            text = text.strip_prefix(',')?;
        }
        let (element, rest) = read(text)?;
        elements.push(element);
        text = rest;
    }
    Some((elements, &text[1..]))
}

fn read_scalar(text: &str) -> Option<(String, &str)> {
    let end = if let Some(string) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = string.find(|c| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end
        });
        end? + 2
    } else {
        text.find([',', ']', '}', '\n']).unwrap_or(text.len())
    };
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[test]
fn keeps_order_and_spelling() {
    let text = r#"{"b":[1,"\"\u003c\\",{}],"a":null,"c":[]}"#;
    let with_rest = format!("{text}\nrest");
    let (json, rest) = Json::read(&with_rest).expect("it is JSON");
    assert_eq!((json.to_string().as_str(), rest), (text, "\nrest"));
    assert_eq!(json.field("a"), Some(&Json::Scalar("null".to_owned())));
    assert_eq!(Json::read("{\"a\""), None);
}
