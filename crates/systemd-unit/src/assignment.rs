//! One `Key=value` with the section it stands in, and how repeated ones are read.
//!
//! Whether a key may be repeated, and whether an empty value resets it, depends on the key: the reader
//! picks the function.

/// A key and its value, as it stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// Without brackets.
    pub section: &'a str,
    /// Without whitespace around it.
    pub key: &'a str,
    /// Without whitespace around it, continued lines joined; quotes and specifiers are left.
    pub value: &'a str,
    /// The line it begins on, from 1.
    pub line: usize,
}

impl Assignment<'_> {
    /// Whether it is the key of the section. Both are case-sensitive, as systemd's are.
    pub fn is(&self, section: &str, key: &str) -> bool {
        self.section == section && self.key == key
    }
}

/// What counts for a key that holds one value: the last assignment.
pub fn last<'a>(
    assignments: impl IntoIterator<Item = Assignment<'a>>,
    section: &str,
    key: &str,
) -> Option<Assignment<'a>> {
    let of_key = assignments
        .into_iter()
        .filter(|assignment| assignment.is(section, key));
    of_key.last()
}

/// What counts for a key that holds a list: all assignments after the last empty one.
pub fn list<'a>(
    assignments: impl IntoIterator<Item = Assignment<'a>>,
    section: &str,
    key: &str,
) -> Vec<Assignment<'a>> {
    let mut found = Vec::new();
    for assignment in assignments {
        if !assignment.is(section, key) {
            continue;
        }
        if assignment.value.is_empty() {
            found.clear();
        } else {
            found.push(assignment);
        }
    }
    found
}
