//! The pages a reader starts with exist, and the commands on them do too.
//!
//! Whether what they say is true is for their readers.

use std::collections::BTreeSet;

use keelson_tests::{checkout, tracked_files};

use crate::finding::{Finding, assert_none};

/// Files without which nobody finds their way.
const FILES: &[&str] = &["LICENSE", "README.md", "crates/README.md"];

/// The targets of a makefile.
fn targets(makefile: &str) -> BTreeSet<&str> {
    let is_target = |name: &str| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !name.is_empty() && name.chars().all(is_name)
    };
    makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(_, rest)| !rest.starts_with('='))
        .map(|(name, _)| name)
        .filter(|name| is_target(name))
        .collect()
}

/// The targets that a Markdown page tells its reader to make, with their lines: in code only.
fn made(page: &str) -> Vec<(usize, &str)> {
    let mut in_block = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.extend(made_by(line).map(|target| (number, target)));
        } else {
            for code in line.split('`').skip(1).step_by(2) {
                found.extend(made_by(code).map(|target| (number, target)));
            }
        }
    }
    found
}

/// The targets in a line of shell; what is quoted names none.
fn made_by(code: &str) -> impl Iterator<Item = &str> {
    let code = code.split('#').next().unwrap_or_default();
    code.split('"')
        .step_by(2)
        .flat_map(|unquoted| unquoted.split(['&', ';', '|']))
        .filter_map(|command| command.trim().strip_prefix("make "))
        .flat_map(str::split_whitespace)
        .filter(|word| !word.contains('=') && !word.starts_with('-'))
}

fn check(path: &str, page: &str, makefile: &str) -> Vec<Finding> {
    let targets = targets(makefile);
    made(page)
        .into_iter()
        .filter(|(_, target)| !targets.contains(target))
        .map(|(line, target)| {
            let advice = format!("the Makefile has no target `{target}`");
            Finding::new(path, line, advice)
        })
        .collect()
}

#[test]
fn the_first_pages_exist() {
    let tracked = tracked_files();
    let missing = FILES
        .iter()
        .filter(|path| {
            !tracked
                .iter()
                .any(|file| file.path == **path && !file.text.is_empty())
        })
        .map(|path| Finding::new(path, 1, "write this page and add it to git"));
    assert_none(missing.collect());
}

#[test]
fn commands_on_pages_exist() {
    let makefile = std::fs::read_to_string(checkout().join("Makefile")).expect("a Makefile");
    assert_none(
        tracked_files()
            .iter()
            .filter(|file| file.has_extension("md"))
            .flat_map(|file| check(&file.path, &file.text, &makefile))
            .collect(),
    );
}

#[test]
fn canary_commands() {
    let makefile = ".PHONY: run\nA := 1\nrun: setup\n\t@a b:c\ntest:\n";
    assert_eq!(targets(makefile), BTreeSet::from(["run", "test"]));
    let good = "Run `make run ARGS=--ssh`; make sure `make` works.\n```\nmake run && make test # make x\nmake run ARGS=\"--disk a\"\n```\n";
    assert_eq!(check("a.md", good, makefile), []);
    for bad in [
        "Say `make walk`.",
        "```sh\nmake run walk\n```",
        "`make run; make walk`",
    ] {
        assert_eq!(check("a.md", bad, makefile).len(), 1, "{bad}");
    }
}
