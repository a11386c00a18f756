//! Which keys: one, or all in a range.
//!
//! Keys are compared as bytes.

/// A range of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// One.
    One(String),
    /// All that begin with this.
    Prefix(String),
    /// From the first to before the second.
    Range(String, String),
}

impl Keys {
    /// Whether a key is meant.
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::One(one) => key == one,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
            Self::Range(start, end) => (start.as_str()..end.as_str()).contains(&key),
        }
    }

    /// The first key that can be meant.
    pub fn start(&self) -> &str {
        match self {
            Self::One(start) | Self::Prefix(start) | Self::Range(start, _) => start,
        }
    }
}
