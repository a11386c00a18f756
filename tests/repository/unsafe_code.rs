//! `unsafe` stands in one small file per crate, each listed here with its reason.
//!
//! Whether a block is sound is for its `// SAFETY:` comment, which clippy demands.

use std::collections::BTreeMap;

use crate::finding::{Finding, assert_none};
use crate::rust_source::{flatten, is_word, line_of, rust_files, tokens};

/// The files that may contain `unsafe`, and why they must.
const FILES: &[(&str, &str)] = &[
    (
        "crates/container-network/src/closed_descriptors.rs",
        "what netavark's process does between fork and exec: it keeps no descriptor of a container",
    ),
    (
        "crates/fleetd/src/system_calls.rs",
        "sockets that systemd passed on, as bare descriptors",
    ),
    (
        "crates/kvd/src/system_calls.rs",
        "sockets that systemd passed on, as bare descriptors; the bounds of glibc's allocator",
    ),
    (
        "crates/launcherd/src/system_calls.rs",
        "sockets that systemd passed on, as bare descriptors",
    ),
    (
        "crates/osctl/src/system_calls.rs",
        "the ioctl that asks the device mapper for a table, without a safe wrapper",
    ),
    (
        "initramfs/src/system_calls.rs",
        "ioctls without a safe wrapper, and a child that starts inside a chroot",
    ),
    (
        "qemu/src/child_setup.rs",
        "what a child does between fork and exec",
    ),
];

/// The folder of a file's crate: what comes before `/src/`, or before its last part.
fn crate_of(path: &str) -> &str {
    let end = path.find("/src/").or_else(|| path.rfind('/'));
    &path[..end.unwrap_or(0)]
}

fn check(path: &str, text: &str, allowed: &[(&str, &str)]) -> Vec<Finding> {
    let uses: Vec<usize> = flatten(tokens(path, text))
        .iter()
        .filter(|token| is_word(token, "unsafe"))
        .map(line_of)
        .collect();
    let listed = allowed.iter().any(|(file, _)| *file == path);
    match (listed, uses.is_empty()) {
        (true, true) => {
            let advice = "contains no `unsafe` any more: remove it from the table";
            vec![Finding::new(path, 1, advice)]
        }
        (false, false) => {
            let advice = "`unsafe` outside the one file of its crate: use a safe wrapper, or the file in the table";
            uses.into_iter()
                .map(|line| Finding::new(path, line, advice))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn unsafe_code_stands_in_one_file_per_crate() {
    let files = rust_files();
    let mut findings: Vec<Finding> = files
        .iter()
        .flat_map(|file| check(&file.path, &file.text, FILES))
        .collect();
    let mut of_crate = BTreeMap::new();
    for (path, reason) in FILES {
        assert!(!reason.is_empty(), "{path} needs its reason");
        if !files.iter().any(|file| file.path == *path) {
            findings.push(Finding::new(
                path,
                1,
                "does not exist: remove it from the table",
            ));
        }
        if let Some(other) = of_crate.insert(crate_of(path), path) {
            let advice = format!("one file per crate, and {other} is one already");
            findings.push(Finding::new(path, 1, advice));
        }
    }
    assert_none(findings);
}

#[test]
fn canary_unsafe() {
    let text = "//! unsafe\nfn a() {\n    unsafe { b() }\n}\n";
    assert_eq!(check("a.rs", text, &[]).len(), 1);
    assert_eq!(check("a.rs", text, &[("a.rs", "because")]), []);
    assert_eq!(check("a.rs", "const A: &str = \"unsafe\";", &[]), []);
    let stale = check("a.rs", "fn a() {}", &[("a.rs", "because")]);
    assert_eq!(stale.len(), 1);
    assert_eq!(
        crate_of("crates/a/src/b/c.rs"),
        crate_of("crates/a/src/d.rs")
    );
}
