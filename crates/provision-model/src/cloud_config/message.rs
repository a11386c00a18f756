//! What user data is made of: one text, or a MIME message of several.
//!
//! Compressed user data is unpacked by whoever fetched it.

use mailparse::{MailHeaderMap as _, ParsedMail};

use crate::key_path::KeyPath;
use crate::problem::{Position, Problem};

/// One text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) kind: Type,
    pub(super) text: String,
    /// Lines of the whole before this text.
    pub(super) lines_before: usize,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    CloudConfig,
    Script,
    Include,
}

/// The texts in order.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, Vec<Problem>> {
    if let Some(kind) = by_first_line(text) {
        let text = text.to_owned();
        return Ok(vec![Part {
            kind,
            text,
            lines_before: 0,
        }]);
    }
    let start = Position { line: 1, column: 1 };
    let problem = |text: String| vec![Problem::at(start, text)];
    let message = mailparse::parse_mail(text.as_bytes())
        .map_err(|error| problem(format!("not a MIME message: {error}")))?;
    if message.subparts.is_empty() {
        return Err(problem("a MIME message without parts".to_owned()));
    }
    let read = |(index, one)| part(text, index, one);
    message.subparts.iter().enumerate().map(read).collect()
}

fn by_first_line(text: &str) -> Option<Type> {
    let line = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .lines()
        .next()?;
    if line.starts_with("#cloud-config") {
        Some(Type::CloudConfig)
    } else if line.starts_with("#!") {
        Some(Type::Script)
    } else if line.starts_with("#include") {
        Some(Type::Include)
    } else {
        None
    }
}

fn part(whole: &str, index: usize, mail: &ParsedMail<'_>) -> Result<Part, Vec<Problem>> {
    let lines_before = lines_before(whole, mail);
    let problem = |text: String| {
        let line = lines_before + 1;
        let mut problem = Problem::at(Position { line, column: 1 }, text);
        problem.key = KeyPath::top().key("part").index(index);
        vec![problem]
    };
    let text = mail
        .get_body()
        .map_err(|error| problem(error.to_string()))?;
    let kind = match mail.ctype.mimetype.as_str() {
        "text/cloud-config" => Some(Type::CloudConfig),
        "text/x-shellscript" => Some(Type::Script),
        "text/x-include-url" => Some(Type::Include),
        "text/plain" => by_first_line(&text),
        _ => None,
    };
    let Some(kind) = kind else {
        let kind = mail.headers.get_first_value("Content-Type");
        let kind = kind.unwrap_or_else(|| "text/plain".to_owned());
        return Err(problem(format!(
            "a part of type {kind:?} is not supported: text/cloud-config, text/x-shellscript and \
             text/x-include-url are"
        )));
    };
    Ok(Part {
        kind,
        text,
        lines_before,
    })
}

/// Up to the body of a part, whose bytes stand somewhere inside of the whole.
fn lines_before(whole: &str, mail: &ParsedMail<'_>) -> usize {
    let raw = mail.raw_bytes;
    let offset = (raw.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    let headers = [&b"\r\n\r\n"[..], b"\n\n"].into_iter().filter_map(|end| {
        let found = raw.windows(end.len()).position(|window| window == end)?;
        Some(found + end.len())
    });
    let end = (offset + headers.min().unwrap_or(0)).min(whole.len());
    whole.as_bytes()[..end].split(|byte| *byte == b'\n').count() - 1
}
