//! Rules of files, directories and links: one thing a path, where the machine can be written.
//!
//! Does not know what is there.

use std::collections::BTreeMap;

use super::Problems;
use crate::key_path::KeyPath;
use crate::plan::{Node, Plan};

/// All that stays of the machine over reboots and is not the image's.
const WRITABLE: &[&str] = &[
    "/etc",
    "/var",
    "/home",
    "/root",
    "/opt",
    "/srv",
    "/usr/local",
];

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

pub(super) fn check(plan: &Plan, problems: &mut Problems) {
    let nodes = nodes(plan);
    let mut taken: BTreeMap<String, (Kind, &KeyPath)> = BTreeMap::new();
    for (node, kind, key) in &nodes {
        match clean(&node.path) {
            Err(text) => problems.add(key, format!("{:?} {text}", node.path)),
            Ok(path) => {
                check_place(&path, key, problems);
                if let Some((_, first)) = taken.get(&path) {
                    problems.add(key, format!("{path} stands at {first} already"));
                } else {
                    taken.insert(path, (*kind, key));
                }
            }
        }
    }
    for (path, (_, key)) in &taken {
        if let Some((parent, at)) = not_a_directory_above(path, &taken) {
            problems.add(
                key,
                format!("{path} is below {parent}, which is no directory ({at})"),
            );
        }
    }
}

fn nodes(plan: &Plan) -> Vec<(&Node, Kind, &KeyPath)> {
    let directories = plan.directories.iter();
    let directories = directories.map(|one| (&one.value.node, Kind::Directory, &one.key));
    let files = plan.files.iter();
    let files = files.map(|one| (&one.value.node, Kind::File, &one.key));
    let links = plan.links.iter();
    let links = links.map(|one| (&one.value.node, Kind::Link, &one.key));
    directories.chain(files).chain(links).collect()
}

/// Without doubled slashes and dots.
fn clean(path: &str) -> Result<String, &'static str> {
    if !path.starts_with('/') {
        return Err("is no absolute path");
    }
    if path.contains('\0') {
        return Err("has a zero byte");
    }
    let mut cleaned = String::new();
    for part in path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        if part == ".." {
            return Err("leads upward with `..`");
        }
        cleaned.push('/');
        cleaned.push_str(part);
    }
    if cleaned.is_empty() {
        return Err("is the root, which belongs to the image");
    }
    Ok(cleaned)
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_place(path: &str, key: &KeyPath, problems: &mut Problems) {
    if let Some(text) = why_not_at(path) {
        problems.add(key, text);
    }
}

/// Why nothing can be put at a path for good; `None` if it can. The path has no dots and no links in it.
pub fn why_not_at(path: &str) -> Option<String> {
    if WRITABLE.iter().any(|folder| is_below(path, folder)) {
        return None;
    }
    let is_lost = ["/run", "/tmp", "/dev", "/proc", "/sys"];
    let why = if is_lost.iter().any(|folder| is_below(path, folder)) {
        "would be gone with the next reboot"
    } else {
        "is part of the read-only image"
    };
    let places = WRITABLE.join(", ");
    Some(format!("{path} {why}: what stays is below {places}"))
}

fn not_a_directory_above<'a>(
    path: &str,
    taken: &'a BTreeMap<String, (Kind, &'a KeyPath)>,
) -> Option<(&'a str, &'a KeyPath)> {
    let mut above = path;
    while let Some((parent, _)) = above.rsplit_once('/') {
        match taken.get_key_value(parent) {
            Some((name, (Kind::File | Kind::Link, key))) => return Some((name, key)),
            _ => above = parent,
        }
    }
    None
}
