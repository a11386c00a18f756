//! `[Install]` of a generated unit: links, since `systemctl enable` does not work on generated units.
//!
//! `Also=` is refused: what is generated enables itself alone.

use systemd_unit::UnitName;
use systemd_unit::name::NameKind;

use super::problem::Problem;
use super::source::{Entry, last, list};

const SECTION: &str = "Install";

/// The links, relative to the unit's folder.
pub(super) fn links(
    unit: &UnitName,
    entries: &[Entry],
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let mut links = Vec::new();
    let enabled = instance(unit, entries, problems);
    for (key, folder) in [
        ("WantedBy", "wants"),
        ("RequiredBy", "requires"),
        ("UpheldBy", "upholds"),
    ] {
        for (target, _) in names(entries, key, problems) {
            if let Some(enabled) = &enabled {
                links.push(format!("{target}.{folder}/{enabled}"));
            }
        }
    }
    for (alias, entry) in names(entries, "Alias", problems) {
        if alias.unit_type() == unit.unit_type() {
            links.push(alias.to_string());
        } else {
            problems.push(entry.problem(format!("`{alias}` is not of the unit's type")));
        }
    }
    links
}

/// The unit that a link enables: a template needs an instance.
fn instance(unit: &UnitName, entries: &[Entry], problems: &mut Vec<Problem>) -> Option<UnitName> {
    if unit.kind() != NameKind::Template {
        return Some(unit.clone());
    }
    let entry = last(entries, SECTION, "DefaultInstance")?;
    match unit.instantiate(&entry.value) {
        Ok(name) => Some(name),
        Err(error) => {
            problems.push(entry.problem(error.to_string()));
            None
        }
    }
}

fn names<'a>(
    entries: &'a [Entry],
    key: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(UnitName, &'a Entry)> {
    let mut found = Vec::new();
    for entry in list(entries, SECTION, key) {
        for word in entry.value.split_whitespace() {
            match UnitName::new(word) {
                Ok(name) => found.push((name, entry)),
                Err(error) => problems.push(entry.problem(error.to_string())),
            }
        }
    }
    found
}

pub(super) fn check(entry: &Entry, problems: &mut Vec<Problem>) {
    const KEYS: &[&str] = &[
        "Alias",
        "WantedBy",
        "RequiredBy",
        "UpheldBy",
        "DefaultInstance",
    ];
    if !KEYS.contains(&entry.key.as_str()) {
        let text = format!("not supported here; {} are", KEYS.join(", "));
        problems.push(entry.problem(text));
    }
}
