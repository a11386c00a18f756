//! The console scan: lines after which a boot is not a good boot, and what they mean.
//!
//! Fedora's test harness kola began this list; entries for dm-verity, systemd and Debian's kernels are
//! ours. It looks at text only: a machine that hangs in silence is for a timeout to find.

use crate::strip::LineAssembler;

mod table;

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The boot goes on, and is not a good one.
    Bad,
    /// Nothing good follows: whoever waits for something need not wait on.
    Fatal,
}

/// One bad line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, without escape sequences.
    pub line: String,
    /// Its number, from 1.
    pub number: usize,
    /// What it means.
    pub reason: &'static str,
    /// How bad it is.
    pub severity: Severity,
}

struct Entry {
    severity: Severity,
    /// All of them, in this order. Where the first begins with a letter or digit, none may stand
    /// before it ("BUG:" is not in "DEBUG:").
    pieces: &'static [&'static str],
    /// Lines with one of these are fine.
    except: &'static [&'static str],
    reason: &'static str,
    /// A line as it really looks, for the tests.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only the tests compare examples")
    )]
    example: &'static str,
}

impl Entry {
    fn matches(&self, line: &str) -> bool {
        let Some((first, others)) = self.pieces.split_first() else {
            return false;
        };
        line.match_indices(first).any(|(position, _)| {
            let before = line[..position].chars().next_back();
            let within_word = before.is_some_and(char::is_alphanumeric)
                && first.starts_with(char::is_alphanumeric);
            let rest = &line[position + first.len()..];
            !within_word && crate::pattern::contains_in_order(rest, others)
        }) && !self.except.iter().any(|text| line.contains(text))
    }
}

/// Finds the bad lines in the console output `text`, which may hold escape sequences. A line that
/// contains one of `allow` is passed over, for tests that provoke it.
pub fn scan<S: AsRef<str>>(text: &str, allow: &[S]) -> Vec<Finding> {
    let mut assembler = LineAssembler::new();
    let mut lines = assembler.push(text.as_bytes());
    lines.push(assembler.take());
    let numbered = lines.iter().enumerate();
    numbered
        .filter_map(|(index, line)| scan_line(line, index + 1, allow))
        .collect()
}

/// Looks at one line without escape sequences, number `number`.
pub fn scan_line<S: AsRef<str>>(line: &str, number: usize, allow: &[S]) -> Option<Finding> {
    let entry = table::ENTRIES.iter().find(|entry| entry.matches(line))?;
    if allow.iter().any(|text| line.contains(text.as_ref())) {
        return None;
    }
    Some(Finding {
        line: line.to_owned(),
        number,
        reason: entry.reason,
        severity: entry.severity,
    })
}

#[cfg(test)]
mod tests;
