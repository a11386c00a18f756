//! A text cut into lines where systemd cuts it, and lines joined where they continue.
//!
//! It does not know sections or keys.

/// U+FEFF, which some editors put before the first line.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';
/// What systemd strips around lines, keys and values.
pub(crate) const WHITESPACE: &[char] = &[' ', '\t', '\n', '\r'];

/// One line with what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: usize,
    /// With its end.
    pub(crate) raw: &'a str,
    /// Without its end, and without a byte order mark.
    pub(crate) content: &'a str,
}

impl Line<'_> {
    /// Whether systemd skips it wherever it stands, in the middle of a value too.
    pub(crate) fn is_comment(&self) -> bool {
        let text = self.content.trim_start_matches(WHITESPACE);
        text.starts_with(['#', ';'])
    }

    /// Whether the next line belongs to this one: it ends with a backslash that none escapes.
    pub(crate) fn continues(&self) -> bool {
        let backslashes = self.content.bytes().rev().take_while(|byte| *byte == b'\\');
        backslashes.count() % 2 == 1
    }
}

/// The lines of a text. A line ends with `\n`, `\r\n`, `\r` or `\n\r`, as systemd's `read_line` has it.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut rest = text;
    let mut number = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let content = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let end = content + end_length(&rest[content..]);
        let (raw, after) = rest.split_at(end);
        rest = after;
        number += 1;
        let mut content = &raw[..content];
        if number == 1 {
            content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
        }
        Some(Line {
            number,
            raw,
            content,
        })
    })
}

fn end_length(rest: &str) -> usize {
    match rest.as_bytes() {
        [] => 0,
        [b'\n', b'\r', ..] | [b'\r', b'\n', ..] => 2,
        _ => 1,
    }
}

/// Lines that are one to systemd: a first one, and what it continues into.
#[derive(Debug)]
pub(crate) struct LogicalLine<'a> {
    /// Of the first line.
    pub(crate) number: usize,
    /// Where the text begins and ends.
    pub(crate) raw: std::ops::Range<usize>,
    /// What systemd makes of it.
    pub(crate) kind: LogicalKind<'a>,
}

/// What a logical line holds.
#[derive(Debug)]
pub(crate) enum LogicalKind<'a> {
    /// `#` or `;` begins it.
    Comment,
    /// Anything else. Backslashes that continue are spaces now, comments in between are gone.
    Text(std::borrow::Cow<'a, str>),
}

/// The logical lines of a text; their raw parts, put together, are the text.
pub(crate) fn logical_lines(text: &str) -> Vec<LogicalLine<'_>> {
    let mut found = Vec::new();
    let mut lines = lines(text);
    let mut position = 0;
    while let Some(line) = lines.next() {
        let start = position;
        position += line.raw.len();
        let kind = if line.is_comment() {
            LogicalKind::Comment
        } else if line.continues() {
            let mut joined = without_backslash(line.content);
            position += join(&mut lines, &mut joined);
            LogicalKind::Text(joined.into())
        } else {
            LogicalKind::Text(line.content.into())
        };
        found.push(LogicalLine {
            number: line.number,
            raw: start..position,
            kind,
        });
    }
    found
}

/// Takes the lines that continue one; returns their length with their ends.
fn join<'a>(lines: &mut impl Iterator<Item = Line<'a>>, joined: &mut String) -> usize {
    let mut length = 0;
    for line in lines {
        length += line.raw.len();
        if line.is_comment() {
            continue;
        }
        if !line.continues() {
            joined.push_str(line.content);
            break;
        }
        joined.push_str(&without_backslash(line.content));
    }
    length
}

fn without_backslash(content: &str) -> String {
    format!("{} ", &content[..content.len() - 1])
}
