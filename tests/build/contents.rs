//! What is in the root, and what must not be: promises, sizes, and traces of the build machine.

use image_build::compose::ROOT_TAR;
use image_build::output::{BuiltImage, Manifest};
use image_build::tar_tree::open_tree;
use image_build::tree::{NodeKind, Tree};
use std::collections::BTreeSet;
use std::fs;
use std::time::SystemTime;

use crate::fixture::{built, programs, repository};

/// Programs that run with more rights than their caller's, each with its reason to.
const PRIVILEGED: [&str; 5] = [
    "usr/bin/mount",
    "usr/bin/passwd",
    "usr/bin/su",
    "usr/bin/umount",
    "usr/sbin/unix_chkpwd",
];
/// What only exists on a running system.
const MADE_AT_BOOT: [&str; 5] = ["dev/", "proc/", "run/", "sys/", "var/"];
/// Links the kernel and the resolver would follow at most.
const LINKS_FOLLOWED: usize = 40;

const MIB: u64 = 1 << 20;

fn manifest() -> Manifest {
    let path = built().join("image/keelson-vm.json");
    BuiltImage::load(&path).expect("built").manifest
}

/// The root of the last build.
fn root() -> Tree {
    let results = fs::read_dir(built().join("compose")).expect("a step");
    let used = |folder: &std::path::PathBuf| -> Option<SystemTime> {
        fs::metadata(folder.join(".record.json"))
            .ok()?
            .modified()
            .ok()
    };
    let results = results.map(|entry| entry.expect("an entry").path());
    let last = results.filter(|path| path.is_dir()).max_by_key(used);
    open_tree(&last.expect("a result").join(ROOT_TAR)).expect("a tree")
}

#[test]
fn there_is_no_package_manager_and_no_interpreter_but_the_shell() {
    let root = root();
    let names = ["dpkg", "apt", "perl", "python", "ruby", "tclsh", "lua"];
    let is_forbidden = |path: &str| {
        let Some(name) = path
            .strip_prefix("usr/bin/")
            .or(path.strip_prefix("usr/sbin/"))
        else {
            return path.starts_with("var/lib/dpkg/") || path.starts_with("usr/lib/apt/");
        };
        let starts =
            |forbidden: &&str| name == *forbidden || name.starts_with(&format!("{forbidden}-"));
        names.iter().any(starts) || name.starts_with("python3")
    };
    let found: Vec<&str> = root
        .iter()
        .map(|(path, _)| path)
        .filter(|path| is_forbidden(path))
        .collect();
    assert_eq!(found, Vec::<&str>::new());
    assert!(
        root.get("usr/bin/bash").is_some(),
        "the right tree was looked at"
    );
}

#[test]
fn only_known_programs_run_with_more_rights() {
    let root = root();
    let is_privileged = |mode: u32| mode & 0o6000 != 0;
    let files = root
        .iter()
        .filter(|(_, node)| !matches!(node.kind, NodeKind::Directory));
    let found: Vec<&str> = files
        .filter(|(_, node)| {
            is_privileged(node.mode) || node.attributes.contains_key("security.capability")
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(found, PRIVILEGED);
}

#[test]
fn nothing_but_temporary_folders_is_writable_by_everybody() {
    let root = root();
    let nodes = root
        .iter()
        .filter(|(_, node)| !matches!(node.kind, NodeKind::Symlink(_)));
    let found: Vec<&str> = nodes
        .filter(|(_, node)| node.mode & 0o002 != 0 && node.mode & 0o1000 == 0)
        .map(|(path, _)| path)
        .collect();
    assert_eq!(found, Vec::<&str>::new());
}

/// Where a path leads with every link followed; an error names where it ends in nothing.
fn resolve(root: &Tree, path: &str) -> Result<(), String> {
    let mut todo: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
    let (mut done, mut links): (Vec<String>, usize) = (Vec::new(), 0);
    while let Some(component) = todo.pop() {
        match component.as_str() {
            "" | "." => continue,
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(component),
        }
        let here = done.join("/");
        if MADE_AT_BOOT
            .iter()
            .any(|folder| format!("{here}/").starts_with(folder))
        {
            return Ok(());
        }
        let node = root
            .get(&here)
            .ok_or_else(|| format!("{path} leads to {here}, which is not there"))?;
        if let NodeKind::Symlink(target) = &node.kind {
            links += 1;
            if links > LINKS_FOLLOWED {
                return Err(format!("{path} is a loop"));
            }
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            todo.extend(target.rsplit('/').map(str::to_owned));
        }
    }
    Ok(())
}

#[test]
fn every_link_leads_somewhere() {
    let root = root();
    let links = root
        .iter()
        .filter(|(_, node)| matches!(node.kind, NodeKind::Symlink(_)));
    let outcomes: Vec<Result<(), String>> = links.map(|(path, _)| resolve(&root, path)).collect();
    assert!(outcomes.len() > 100, "{} links", outcomes.len());
    let dangling: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(dangling.is_empty(), "{dangling:#?}");
}

#[test]
fn sizes_stay_within_their_budgets() {
    let manifest = manifest();
    for (path, limit) in [
        (&manifest.root, 400 * MIB),
        (&manifest.initramfs, 3 * MIB),
        (&manifest.uki, 16 * MIB),
    ] {
        let length = fs::metadata(path).expect("published").len();
        let name = path.display();
        assert!(
            length > 0 && length <= limit,
            "{name}: {length} bytes, {limit} are the limit"
        );
    }
}

#[test]
fn no_file_tells_where_it_was_built() {
    let mut traces = BTreeSet::from([repository().display().to_string()]);
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo_home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    traces.insert(format!("{cargo_home}/registry"));
    traces.insert(built().display().to_string());
    traces.insert(".staging-".to_owned());
    let assert_clean = |name: &str, contents: &[u8]| {
        for trace in &traces {
            let found = contents
                .windows(trace.len())
                .any(|window| window == trace.as_bytes());
            assert!(!found, "{name} holds {trace}");
        }
    };
    let init = fs::read(programs().join("init")).expect("built");
    assert_clean("init", &init);
    for (path, node) in root().iter() {
        if let NodeKind::File(content) = &node.kind {
            assert_clean(path, &content.to_vec().expect("readable"));
        }
    }
}
