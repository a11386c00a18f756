//! What the root's presets say of a unit, as systemd.preset(5) has it.
//!
//! Knows the files of the system's units, not of users'.

use std::collections::BTreeMap;
use std::io;

use systemd_unit::UnitName;

use crate::root::{Root, join};

/// Where presets are; a file hides those of its name further down.
const FOLDERS: &[&str] = &[
    "/etc/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
];

/// Whether presets enable a unit. One that none of them names is enabled, which is systemd's rule.
pub(super) fn enables(root: &Root, unit: &UnitName) -> io::Result<bool> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for folder in FOLDERS {
        for name in root.names(folder)? {
            if name.ends_with(".preset") {
                files.entry(name).or_insert_with(|| (*folder).to_owned());
            }
        }
    }
    for (name, folder) in files {
        let text = root.read_text(&join(&folder, &name))?.unwrap_or_default();
        if let Some(answer) = text.lines().find_map(|line| rule(line, unit.as_str())) {
            return Ok(answer);
        }
    }
    Ok(true)
}

/// What a line says of a unit, if it is about it. Instances after a template's name are left alone.
fn rule(line: &str, unit: &str) -> Option<bool> {
    let mut words = line.split_whitespace();
    let answer = match words.next()? {
        "enable" => true,
        "disable" | "ignore" => false,
        _ => return None,
    };
    matches(words.next()?.as_bytes(), unit.as_bytes()).then_some(answer)
}

/// As fnmatch(3) without character classes, which no preset has.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(_, text)| matches(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => matches(rest, text),
        (Some((byte, rest)), Some((other, text))) => byte == other && matches(rest, text),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_of_the_first_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "usr/lib/systemd/system-preset/50-a.preset",
                "# x\nenable a*.service\ndisable *\n",
            ),
            (
                "usr/lib/systemd/system-preset/10-b.preset",
                "disable all.service\n",
            ),
            (
                "etc/systemd/system-preset/10-b.preset",
                "enable mine?.service\n",
            ),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        let enabled = |name: &str| enables(&root, &UnitName::new(name).unwrap()).unwrap();
        assert!(enabled("mine1.service") && enabled("all.service"));
        assert!(!enabled("mine.service") && !enabled("b.service"));
        let empty = tempfile::tempdir().unwrap();
        let root = Root::open(empty.path()).unwrap();
        assert!(enables(&root, &UnitName::new("x.service").unwrap()).unwrap());
    }
}
