//! A Quadlet file with its drop-ins, and all their assignments in order.
//!
//! Keys are not looked at here.

use systemd_unit::UnitFile;

use super::problem::Problem;

/// A file, as a generator finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuadletFile {
    /// Its name, such as `web.container`.
    pub name: String,
    /// Where it is; relative paths in it begin there.
    pub folder: String,
    /// All of it.
    pub text: String,
    /// Its drop-ins in the order in which they count.
    pub drop_ins: Vec<DropInText>,
}

/// A drop-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropInText {
    /// How problems name it, such as `web.container.d/10-memory.conf`.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// An assignment and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
}

impl Entry {
    pub(super) fn problem(&self, text: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: Some(self.line),
            key: Some((self.section.clone(), self.key.clone())),
            text: text.into(),
        }
    }

    /// Whether systemd resolves something in it, so that it cannot be judged before.
    pub(super) fn has_specifier(&self) -> bool {
        self.value.replace("%%", "").contains('%')
    }
}

/// Every assignment of the file and then of its drop-ins.
pub(super) fn entries(file: &QuadletFile, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let own = std::iter::once((&file.name, &file.text));
    let drop_ins = file.drop_ins.iter().map(|one| (&one.name, &one.text));
    let mut found = Vec::new();
    for (name, text) in own.chain(drop_ins) {
        match UnitFile::parse(text.as_str()) {
            Ok(unit) => collect(name, &unit, &mut found, problems),
            Err(error) => problems.push(Problem {
                file: name.clone(),
                line: Some(error.line),
                key: None,
                text: error.kind.to_string(),
            }),
        }
    }
    found
}

fn collect(name: &str, unit: &UnitFile, found: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    for problem in unit.problems() {
        let text = problem.to_string();
        let text = text
            .split_once(": ")
            .map_or(text.as_str(), |(_, rest)| rest);
        problems.push(Problem {
            file: name.to_owned(),
            line: Some(problem.line),
            key: None,
            text: text.to_owned(),
        });
    }
    found.extend(unit.assignments().map(|assignment| Entry {
        file: name.to_owned(),
        line: assignment.line,
        section: assignment.section.to_owned(),
        key: assignment.key.to_owned(),
        value: assignment.value.to_owned(),
    }));
}

/// What counts of a key that holds a list: what follows the last empty assignment.
pub(super) fn list<'a>(entries: &'a [Entry], section: &str, key: &str) -> Vec<&'a Entry> {
    let mut found = Vec::new();
    for entry in entries
        .iter()
        .filter(|e| e.section == section && e.key == key)
    {
        if entry.value.is_empty() {
            found.clear();
        } else {
            found.push(entry);
        }
    }
    found
}

/// What counts of a key that holds one value; an empty one is none.
pub(super) fn last<'a>(entries: &'a [Entry], section: &str, key: &str) -> Option<&'a Entry> {
    let last = entries
        .iter()
        .rfind(|e| e.section == section && e.key == key);
    last.filter(|entry| !entry.value.is_empty())
}
