//! What is wrong with a configuration, and where.
//!
//! Does not know which file it is about: whoever read it says that.

use std::fmt;

use crate::key_path::KeyPath;

/// A place in a text, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is known.
    pub position: Option<Position>,
    /// Of which value; the top if the text could not be read at all.
    pub key: KeyPath,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl Problem {
    /// About a value, whose place is not looked up yet.
    pub fn new(key: KeyPath, text: impl Into<String>) -> Self {
        Self {
            position: None,
            key,
            text: text.into(),
        }
    }

    /// About a place of the text.
    pub fn at(position: Position, text: impl Into<String>) -> Self {
        Self {
            position: Some(position),
            key: KeyPath::top(),
            text: text.into(),
        }
    }
}

impl Position {
    /// Of the byte at `offset` in a text.
    pub fn of(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// As compilers write it after the file's name: `4:7: storage.files[0].mode: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "{position}: ")?;
        }
        if self.key != KeyPath::top() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a\nüb\n";
        let at = |offset| Position::of(text, offset).to_string();
        assert_eq!(at(0), "1:1");
        assert_eq!(at(2), "2:1");
        assert_eq!(at(4), "2:2");
        assert_eq!(at(3), "2:1", "inside of a character");
        assert_eq!(at(99), "3:1");
    }
}
