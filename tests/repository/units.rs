//! systemd's units as they are installed: described, with programs that exist, and enabled by name.
//!
//! What systemd itself finds wrong is shown by booting; this does not parse units as systemd does.

use keelson_tests::{TrackedFile, checkout, tracked_files};
use toml::{Table, Value};

use crate::finding::{Finding, assert_none};

/// Where our units stand.
const UNITS: &str = "units/usr/lib/systemd/system/";
/// Where our presets stand.
const PRESETS: &str = "units/usr/lib/systemd/system-preset/";
/// Programs of Debian's packages that our units start.
const PACKAGE_PROGRAMS: &[&str] = &[
    "/bin/bash",
    "/bin/kill",
    "/usr/bin/containerd",
    "/usr/bin/mkdir",
    "/usr/bin/mv",
    "/usr/bin/rm",
    "/usr/bin/sync",
    "/usr/bin/ssh-keygen",
    "/usr/lib/systemd/systemd-socket-proxyd",
    "/usr/sbin/sshd",
];
/// Units of Debian's packages that our presets enable.
const PACKAGE_UNITS: &[&str] = &[
    "boot-complete.target",
    "dbus-broker.service",
    "getty@.service",
    "reboot.target",
    "remote-fs.target",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-pstore.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
];

/// Lines that are settings or rules, with their numbers.
fn settings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_setting = |line: &str| !line.is_empty() && !line.starts_with(['#', ';']);
    (1..)
        .zip(text.lines().map(str::trim))
        .filter(move |(_, line)| is_setting(line))
}

fn check_description(path: &str, text: &str) -> Vec<Finding> {
    let described = settings(text).any(|(_, line)| {
        line.strip_prefix("Description=")
            .is_some_and(|d| !d.is_empty())
    });
    if described {
        return Vec::new();
    }
    vec![Finding::new(path, 1, "say what the unit is: Description=")]
}

fn check_programs(path: &str, text: &str, known: &[String]) -> Vec<Finding> {
    settings(text)
        .filter_map(|(number, line)| {
            let (key, value) = line.split_once('=')?;
            let command = value.trim_start_matches(['-', '@', ':', '+', '!', '|']);
            let program = command.split_whitespace().next()?;
            let starts = key.starts_with("Exec") && !known.iter().any(|one| one == program);
            starts.then(|| {
                let advice = format!(
                    "`{program}` is no [[program]] of image/os.toml; if a package brings it, add it to the table"
                );
                Finding::new(path, number, advice)
            })
        })
        .collect()
}

fn check_preset(path: &str, text: &str, known: &[String]) -> Vec<Finding> {
    let rules: Vec<(usize, &str)> = settings(text).collect();
    let mut findings = Vec::new();
    for (number, rule) in &rules {
        let Some(unit) = rule.strip_prefix("enable ") else {
            continue;
        };
        if !known.iter().any(|one| one == unit) {
            let advice = format!(
                "`{unit}` does not stand in units/; if a package brings it, add it to the table"
            );
            findings.push(Finding::new(path, *number, advice));
        }
    }
    match rules.last() {
        Some((_, "disable *")) => {}
        last => {
            let number = last.map_or(1, |(number, _)| *number);
            let advice = "end with `disable *`: a package starts no service by being installed";
            findings.push(Finding::new(path, number, advice));
        }
    }
    findings
}

fn files_under(folder: &str) -> Vec<TrackedFile> {
    let mut files = tracked_files();
    files.retain(|file| {
        let rest = file.path.strip_prefix(folder);
        rest.is_some_and(|rest| !rest.contains('/'))
    });
    assert!(
        !files.is_empty(),
        "nothing under {folder}: correct this test"
    );
    files
}

/// Paths of the programs that the recipe puts into the image.
fn recipe_programs() -> Vec<String> {
    let text = std::fs::read_to_string(checkout().join("image/os.toml")).expect("the recipe");
    let recipe: Table = text.parse().expect("the recipe is TOML");
    let programs = recipe.get("program").and_then(Value::as_array);
    programs
        .into_iter()
        .flatten()
        .filter_map(|program| Some(format!("/{}", program.get("path")?.as_str()?)))
        .collect()
}

fn with(mut names: Vec<String>, others: &[&str]) -> Vec<String> {
    names.extend(others.iter().map(|&name| name.to_owned()));
    names
}

#[test]
fn units_are_described_and_start_programs_that_exist() {
    let programs = with(recipe_programs(), PACKAGE_PROGRAMS);
    let mut findings = Vec::new();
    for file in files_under(UNITS) {
        findings.extend(check_description(&file.path, &file.text));
        findings.extend(check_programs(&file.path, &file.text, &programs));
    }
    assert_none(findings);
}

#[test]
fn presets_name_what_runs_and_disable_the_rest() {
    let names = files_under(UNITS)
        .iter()
        .map(|file| file.path[UNITS.len()..].to_owned())
        .collect();
    let units = with(names, PACKAGE_UNITS);
    assert_none(
        files_under(PRESETS)
            .iter()
            .flat_map(|file| check_preset(&file.path, &file.text, &units))
            .collect(),
    );
}

#[cfg(test)]
mod canaries {
    use super::*;

    #[test]
    fn canary_descriptions() {
        assert_eq!(check_description("a", "[Unit]\nDescription=A Thing\n"), []);
        for text in [
            "[Unit]\n",
            "[Unit]\nDescription=\n",
            "[Unit]\n#Description=A\n",
        ] {
            assert_eq!(check_description("a", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn canary_programs() {
        let known = ["/usr/bin/a".to_owned()];
        for text in [
            "ExecStart=/usr/bin/a -x",
            "ExecStop=-+/usr/bin/a",
            "ExecStart=",
        ] {
            assert_eq!(check_programs("u", text, &known), [], "{text}");
        }
        for text in [
            "ExecStart=/usr/bin/b",
            "ExecStartPre=!!a",
            "ExecReload=-/usr/bin/ab",
        ] {
            assert_eq!(check_programs("u", text, &known).len(), 1, "{text}");
        }
    }

    #[test]
    fn canary_presets() {
        let known = ["a.service".to_owned()];
        assert_eq!(
            check_preset("p", "enable a.service\ndisable *\n", &known),
            []
        );
        let bad = [
            "",
            "enable a.service\n",
            "disable *\nenable a.service\n",
            "enable b.service\ndisable *\n",
        ];
        for text in bad {
            assert_eq!(check_preset("p", text, &known).len(), 1, "{text}");
        }
    }
}
