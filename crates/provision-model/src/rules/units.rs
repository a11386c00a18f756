//! Rules of units.
//!
//! Which settings systemd knows is not checked: it ignores what it does not know, and says so itself.

use std::collections::BTreeMap;

use systemd_unit::UnitFile;

use super::Problems;
use crate::key_path::KeyPath;
use crate::plan::{Plan, Unit};

pub(super) fn check(plan: &Plan, problems: &mut Problems) {
    let mut seen: BTreeMap<&str, &KeyPath> = BTreeMap::new();
    for unit in &plan.units {
        let name = unit.value.name.as_str();
        if let Some(first) = seen.insert(name, &unit.key) {
            problems.add(&unit.key, format!("{name} stands at {first} already"));
        }
        check_unit(&unit.value, &unit.key, problems);
    }
}

fn check_unit(unit: &Unit, key: &KeyPath, problems: &mut Problems) {
    if let Some(text) = &unit.contents {
        check_text(text, &key.key("contents"), problems);
    }
    let mut seen = Vec::new();
    for drop_in in &unit.drop_ins {
        let name = drop_in.name.as_str();
        let is_conf = name
            .strip_suffix(".conf")
            .is_some_and(|stem| !stem.is_empty());
        if !is_conf || name.contains('/') {
            let text = format!("{name:?} is no file name of a drop-in: it ends in .conf");
            problems.add(key, text);
        }
        if seen.contains(&name) {
            problems.add(key, format!("the drop-in {name} is there twice"));
        }
        seen.push(name);
        check_text(&drop_in.contents, key, problems);
    }
}

fn check_text(text: &str, key: &KeyPath, problems: &mut Problems) {
    match UnitFile::parse(text) {
        Ok(file) => {
            for problem in file.problems() {
                problems.add(key, problem.to_string());
            }
        }
        Err(error) => problems.add(key, error.to_string()),
    }
}
