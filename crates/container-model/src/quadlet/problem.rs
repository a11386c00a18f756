//! What is wrong with a Quadlet file, and where.
//!
//! Prints as compilers do: `web.container:7: [Container] Image: …`.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or drop-in.
    pub file: String,
    /// From 1; none for what is missing.
    pub line: Option<usize>,
    /// Section and key, if it is about one.
    pub key: Option<(String, String)>,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some((section, key)) = &self.key {
            write!(f, " [{section}] {key}:")?;
        }
        write!(f, " {}", self.text)
    }
}
