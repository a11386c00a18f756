//! Standard output: text for people, or JSON.
//!
//! Nothing else writes there. What goes wrong goes to standard error.

use std::io::{self, Write};

use serde::Serialize;

use crate::table::Table;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Json,
}

impl Output {
    /// A line, or the same as an object.
    pub(crate) fn line(self, text: &str, value: &impl Serialize) -> io::Result<()> {
        match self {
            Self::Text => print(text),
            Self::Json => json(value),
        }
    }

    /// Text that has its own ends of lines, or the same as an object.
    pub(crate) fn text(self, text: &str, value: &impl Serialize) -> io::Result<()> {
        match self {
            Self::Text => io::stdout().lock().write_all(text.as_bytes()),
            Self::Json => json(value),
        }
    }

    /// A list, as a table or as one array.
    pub(crate) fn list(self, table: &Table, values: &[impl Serialize]) -> io::Result<()> {
        match self {
            Self::Text => io::stdout().lock().write_all(table.to_string().as_bytes()),
            Self::Json => json(&values),
        }
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
