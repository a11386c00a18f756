//! What a checker found, and how it is told.
//!
//! It knows none of the rules.

use std::fmt;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    advice: String,
}

impl Finding {
    /// At a line of a file, counting from 1, with what to do about it.
    pub(crate) fn new(path: &str, line: usize, advice: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

/// Fails with every finding, one a line.
#[track_caller]
pub(crate) fn assert_none(mut findings: Vec<Finding>) {
    findings.sort();
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} places break this rule:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
#[should_panic(expected = "a.rs:3: write it anew")]
fn canary_a_finding_fails_the_test() {
    assert_none(vec![Finding::new("a.rs", 3, "write it anew")]);
}
