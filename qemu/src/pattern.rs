//! What a line of the console is compared with.
//!
//! Substrings and substrings in order are all that boot messages need: there are no regular
//! expressions here.

use std::fmt;

/// A condition on one line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// The line contains this text.
    Contains(String),
    /// The line contains all of these, one after the other.
    InOrder(Vec<String>),
    /// The line matches any of these.
    AnyOf(Vec<Pattern>),
}

impl Pattern {
    /// The line contains all of `pieces`, one after the other.
    pub fn in_order<const N: usize>(pieces: [&str; N]) -> Self {
        Self::InOrder(pieces.map(str::to_owned).to_vec())
    }

    /// The line contains any of `texts`.
    pub fn any_of<const N: usize>(texts: [&str; N]) -> Self {
        Self::AnyOf(texts.map(Self::from).to_vec())
    }

    /// Whether `line` fulfils it.
    pub fn matches(&self, line: &str) -> bool {
        match self {
            Self::Contains(text) => line.contains(text.as_str()),
            Self::InOrder(pieces) => contains_in_order(line, pieces),
            Self::AnyOf(patterns) => patterns.iter().any(|pattern| pattern.matches(line)),
        }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::Contains(text.to_owned())
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::Contains(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(formatter, "{text:?}"),
            Self::InOrder(pieces) => write!(formatter, "{:?}", pieces.join(" ... ")),
            Self::AnyOf(patterns) => {
                let texts: Vec<_> = patterns.iter().map(ToString::to_string).collect();
                write!(formatter, "{}", texts.join(" or "))
            }
        }
    }
}

/// Whether `text` contains all of `pieces`, one after the other without overlap.
pub(crate) fn contains_in_order<S: AsRef<str>>(text: &str, pieces: &[S]) -> bool {
    let mut rest = text;
    pieces.iter().all(|piece| {
        let piece = piece.as_ref();
        let found = rest.find(piece);
        if let Some(position) = found {
            rest = &rest[position + piece.len()..];
        }
        found.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters() {
        let pattern = Pattern::in_order(["verity:", "block", "corrupted"]);
        assert!(pattern.matches("device-mapper: verity: data block 7 is corrupted"));
        assert!(!pattern.matches("corrupted block verity:"));
        assert!(!Pattern::in_order(["aba", "bab"]).matches("abab"));
    }

    #[test]
    fn any_of_names_all() {
        let pattern = Pattern::any_of(["login:", "panic"]);
        assert!(pattern.matches("keelson login: "));
        assert!(!pattern.matches("nothing"));
        assert_eq!(pattern.to_string(), "\"login:\" or \"panic\"");
    }
}
