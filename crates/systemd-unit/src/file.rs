//! A unit file as text and as assignments at once.
//!
//! What systemd refuses is an error here; what it skips with a warning is kept as a [`Problem`].
//! Changing a file is in `edit`.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::assignment::Assignment;
use crate::line::{LogicalKind, LogicalLine, WHITESPACE, logical_lines};

/// The longest file, in bytes. It is systemd's limit for one line, and less than what etcd stores.
pub const SIZE_MAX: usize = 1024 * 1024;

/// A unit file. Printing it (`Display`, [`UnitFile::text`]) gives back what was parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    text: String,
    items: Vec<Item>,
}

/// A logical line: a piece of the text, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) raw: Range<usize>,
    pub(crate) line: usize,
    pub(crate) kind: ItemKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// Nothing, or a comment.
    Blank,
    /// `[name]`
    Section(String),
    /// `key=value`; the section is the number of its item.
    Assignment {
        section: usize,
        key: String,
        value: String,
    },
    /// What systemd skips with a warning.
    Skipped(ProblemKind),
}

/// Why a text is not a unit file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct SyntaxError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: SyntaxErrorKind,
}

/// What makes systemd refuse a file, or us.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SyntaxErrorKind {
    /// More than [`SIZE_MAX`]; found at the first line that is too far.
    #[error("the unit is longer than {SIZE_MAX} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// A zero byte.
    #[error("the line has a zero byte")]
    ZeroByte,
    /// A section that begins with `[` and does not end with `]`.
    #[error("invalid section header `{0}`: it must end with `]`")]
    SectionHeader(String),
}

/// A line that systemd skips, and so has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: ProblemKind,
}

/// Why systemd skips a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// No `=`: leftovers of templates, for example.
    NoEqualsSign,
    /// An assignment before the first section.
    OutsideOfSection,
    /// Nothing before the `=`.
    NoKey,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ProblemKind::NoEqualsSign => "no `=`",
            ProblemKind::OutsideOfSection => "it stands before the first section",
            ProblemKind::NoKey => "no key before the `=`",
        };
        write!(f, "line {}: {what}, systemd ignores the line", self.line)
    }
}

impl UnitFile {
    /// Reads a text.
    ///
    /// # Errors
    /// Where systemd would refuse the file, and for one that is too long.
    pub fn parse(text: impl Into<String>) -> Result<Self, SyntaxError> {
        let text = text.into();
        check_bytes(text.as_bytes())?;
        let mut items = Vec::new();
        let mut section = None;
        for line in logical_lines(&text) {
            let number = line.number;
            let kind =
                classify(&line, section).map_err(|kind| SyntaxError { line: number, kind })?;
            if matches!(kind, ItemKind::Section(_)) {
                section = Some(items.len());
            }
            items.push(Item {
                raw: line.raw,
                line: number,
                kind,
            });
        }
        Ok(Self { text, items })
    }

    /// Reads bytes, as they come from a disk.
    ///
    /// # Errors
    /// As [`UnitFile::parse`], and for what is not UTF-8.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, SyntaxError> {
        check_bytes(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|error| SyntaxError {
            line: line_of(bytes, error.valid_up_to()),
            kind: SyntaxErrorKind::NotUtf8,
        })?;
        Self::parse(text)
    }

    /// All of it, unchanged.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Every assignment in a section, in order.
    pub fn assignments(&self) -> impl DoubleEndedIterator<Item = Assignment<'_>> {
        self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Assignment {
                section,
                key,
                value,
            } => Some(Assignment {
                section: self.section_name(*section),
                key,
                value,
                line: item.line,
            }),
            _ => None,
        })
    }

    fn section_name(&self, item: usize) -> &str {
        match self.items.get(item).map(|item| &item.kind) {
            Some(ItemKind::Section(name)) => name,
            _ => "",
        }
    }

    /// The names of sections in order; one that comes twice is there twice.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Section(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The value of a key that holds one; see [`crate::assignment::last`].
    pub fn last(&self, section: &str, key: &str) -> Option<Assignment<'_>> {
        self.assignments()
            .rfind(|assignment| assignment.is(section, key))
    }

    /// The values of a key that holds a list; see [`crate::assignment::list`].
    pub fn list(&self, section: &str, key: &str) -> Vec<Assignment<'_>> {
        crate::assignment::list(self.assignments(), section, key)
    }

    /// The lines that systemd skips with a warning.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        self.items.iter().filter_map(|item| match item.kind {
            ItemKind::Skipped(kind) => Some(Problem {
                line: item.line,
                kind,
            }),
            _ => None,
        })
    }
}

impl fmt::Display for UnitFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn classify(line: &LogicalLine<'_>, section: Option<usize>) -> Result<ItemKind, SyntaxErrorKind> {
    let LogicalKind::Text(text) = &line.kind else {
        return Ok(ItemKind::Blank);
    };
    let text = text.trim_matches(WHITESPACE);
    if text.is_empty() {
        return Ok(ItemKind::Blank);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let name = rest.strip_suffix(']');
        let error = || SyntaxErrorKind::SectionHeader(beginning(text));
        return Ok(ItemKind::Section(name.ok_or_else(error)?.to_owned()));
    }
    Ok(assignment(text, section))
}

fn assignment(text: &str, section: Option<usize>) -> ItemKind {
    let Some(section) = section else {
        return ItemKind::Skipped(ProblemKind::OutsideOfSection);
    };
    let Some((key, value)) = text.split_once('=') else {
        return ItemKind::Skipped(ProblemKind::NoEqualsSign);
    };
    let (key, value) = (key.trim_matches(WHITESPACE), value.trim_matches(WHITESPACE));
    if key.is_empty() {
        return ItemKind::Skipped(ProblemKind::NoKey);
    }
    ItemKind::Assignment {
        section,
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// So much of a text as an error can show.
fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

fn check_bytes(bytes: &[u8]) -> Result<(), SyntaxError> {
    let error = |position, kind| {
        let line = line_of(bytes, position);
        Err(SyntaxError { line, kind })
    };
    if bytes.len() > SIZE_MAX {
        return error(SIZE_MAX, SyntaxErrorKind::TooLong);
    }
    match bytes.iter().position(|byte| *byte == 0) {
        Some(zero) => error(zero, SyntaxErrorKind::ZeroByte),
        None => Ok(()),
    }
}

/// The number of the line that a byte is in, where lines end with `\n`, `\r` or both.
fn line_of(bytes: &[u8], position: usize) -> usize {
    let mut line = 1;
    let mut at = 0;
    while at < position {
        let end = match &bytes[at..] {
            [b'\n', b'\r', ..] | [b'\r', b'\n', ..] => 2,
            [b'\n' | b'\r', ..] => 1,
            _ => 0,
        };
        line += usize::from(end > 0);
        at += end.max(1);
    }
    line
}
