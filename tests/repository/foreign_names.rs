//! No tracked file names a path of somebody's machine or the host of a package registry.
//!
//! Mirrors are asked of the machine that builds. `Cargo.lock` names cargo's registry by itself.

use keelson_tests::tracked_files;

use crate::finding::{Finding, assert_none};

/// Beginnings of absolute paths; in halves, so that this file does not contain them.
const PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/."),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
];
/// Hosts of package registries.
const HOSTS: &[&str] = &[
    concat!("deb.", "debian.org"),
    concat!("security.", "debian.org"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("py", "pi.org"),
    concat!("registry.", "npmjs.org"),
];

/// Whether `path` stands in `line` as an absolute path, not as the middle of a longer one.
fn has_absolute_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.}])>*".contains(c))
    })
}

fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for name in PATHS.iter().filter(|name| has_absolute_path(line, name)) {
            let advice =
                format!("`{name}` is a path of one machine: make it relative or an argument");
            findings.push(Finding::new(path, number, advice));
        }
        for name in HOSTS.iter().filter(|name| line.contains(**name)) {
            let advice =
                format!("`{name}` is a registry's host: ask the machine's own configuration");
            findings.push(Finding::new(path, number, advice));
        }
    }
    findings
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    assert_none(
        tracked_files()
            .iter()
            .filter(|file| file.path != "Cargo.lock")
            .flat_map(|file| check(&file.path, &file.text))
            .collect(),
    );
}

#[test]
fn canary_foreign_names() {
    for path in PATHS {
        for text in [
            format!("cp {path}a b"),
            format!("{path}a"),
            format!("\"{path}a\""),
        ] {
            assert_eq!(check("a", &text).len(), 1, "{text}");
        }
        assert_eq!(check("a", &format!("etc/x{path}a and $DIR}}{path}a")), []);
    }
    for host in HOSTS {
        assert_eq!(
            check("a", &format!("\nmirror = https://{host}/a\n")).len(),
            1
        );
    }
    assert_eq!(
        check("a", "kernel/workqueue.c and /root and https://docs.rs"),
        []
    );
}
