//! Answers in etcdctl's forms: text, JSON, tables, and one field a line.
//!
//! What an answer is made of stands with the commands.
use std::io::{self, Write};

use serde::Serialize;

use crate::print::go_escaped;
use crate::v3::arguments::Global;
use crate::v3::failure::{Failure, exit_status};

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Simple,
    Json,
    Table,
    Fields,
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) format: Format,
    /// Keys and values as hexadecimal bytes.
    pub(crate) hex: bool,
    /// Values without keys.
    pub(crate) value_only: bool,
}

/// What will be printed.
#[derive(Debug, Default)]
pub(crate) struct Text(Vec<u8>);

/// Rows below a header.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// An answer that can be printed. Its JSON is what it serializes to.
pub(crate) trait Report: Serialize {
    /// As text for people.
    fn simple(&self, style: Style, text: &mut Text);

    /// One field a line; whether there is such a form.
    fn fields(&self, _text: &mut Text) -> bool {
        false
    }

    /// As a table, if there is such a form.
    fn table(&self) -> Option<Table> {
        None
    }
}

impl Style {
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let format = match global.write_out.as_str() {
            "simple" => Format::Simple,
            "json" => Format::Json,
            "table" => Format::Table,
            "fields" => Format::Fields,
            other => {
                let text =
                    format!("unsupported output format {other}: simple, json, table or fields");
                return Err(Failure::new(exit_status::BAD_FEATURE, text));
            }
        };
        Ok(Self {
            format,
            hex: global.hex,
            value_only: false,
        })
    }
}

impl Text {
    pub(crate) fn line(&mut self, line: impl AsRef<[u8]>) {
        self.0.extend_from_slice(line.as_ref());
        self.0.push(b'\n');
    }

    /// A key or a value, as the style wants it.
    pub(crate) fn bytes(&mut self, bytes: &[u8], style: Style) {
        if style.hex {
            let hex = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
            self.line(hex.collect::<Vec<_>>().concat());
        } else {
            self.line(bytes);
        }
    }

    /// Prints it, at once. Whoever reads it may be gone.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(&self.0)
            .and_then(|()| out.flush())
            .map_err(|error| Failure::new(exit_status::IO, format!("cannot print: {error}")))
    }
}

impl Table {
    /// With lines around cells.
    fn draw(&self, text: &mut Text) {
        let columns = self.header.len();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.header[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
        let rule = format!("+{}+", dashes.join("+"));
        text.line(&rule);
        let names = self.header.iter().zip(&widths);
        text.line(row(
            names.map(|(name, width)| format!("{:^width$}", name.to_uppercase()))
        ));
        text.line(&rule);
        for cells in &self.rows {
            let cells = cells.iter().zip(&widths);
            text.line(row(cells.map(|(cell, width)| format!("{cell:>width$}"))));
        }
        text.line(rule);
    }

    /// Rows as lines, for people without tables.
    pub(crate) fn lines(&self, text: &mut Text) {
        for row in &self.rows {
            text.line(row.join(", "));
        }
    }
}

fn row(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {} |", cells.join(" | "))
}

/// An answer in the form that is wanted.
pub(crate) fn render(report: &impl Report, style: Style) -> Result<Text, Failure> {
    let mut text = Text::default();
    let unsupported = |name| {
        let text = format!("{name} not supported as output format");
        Failure::new(exit_status::BAD_FEATURE, text)
    };
    match style.format {
        Format::Simple => report.simple(style, &mut text),
        Format::Json => {
            let json = serde_json::to_string(report).map_err(Failure::plain)?;
            text.line(go_escaped(&json));
        }
        Format::Table => report
            .table()
            .ok_or_else(|| unsupported("table"))?
            .draw(&mut text),
        Format::Fields => {
            if !report.fields(&mut text) {
                return Err(unsupported("fields"));
            }
        }
    }
    Ok(text)
}

/// Prints an answer in the form that is wanted.
pub(crate) fn show(report: &impl Report, style: Style) -> Result<(), Failure> {
    render(report, style)?.print()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_drawn_as_etcdctl_draws_them() {
        let table = Table {
            header: vec!["ID", "Status", "Is Learner"],
            rows: vec![
                vec!["667880157b8812c8".into(), "started".into(), "false".into()],
                vec!["a".into(), "unstarted".into(), "true".into()],
            ],
        };
        let mut text = Text::default();
        table.draw(&mut text);
        assert_eq!(
            String::from_utf8(text.0).expect("text"),
            "+------------------+-----------+------------+\n\
             |        ID        |  STATUS   | IS LEARNER |\n\
             +------------------+-----------+------------+\n\
             | 667880157b8812c8 |   started |      false |\n\
             |                a | unstarted |       true |\n\
             +------------------+-----------+------------+\n"
        );
    }
}
