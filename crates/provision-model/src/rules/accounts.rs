//! Rules of users and groups.
//!
//! Does not know who is there already.

use std::collections::BTreeMap;

use super::{Problems, names};
use crate::key_path::KeyPath;
use crate::plan::{PasswordHash, Plan, User};

pub(super) fn check(plan: &Plan, problems: &mut Problems) {
    let groups = plan.groups.iter();
    let groups = groups.map(|one| (one.value.name.as_str(), one.value.id, &one.key));
    check_unique("group", groups, problems);
    let users = plan.users.iter();
    let users = users.map(|one| (one.value.name.as_str(), one.value.id, &one.key));
    check_unique("user", users, problems);
    for group in &plan.groups {
        check_password(group.value.password.as_ref(), &group.key, problems);
    }
    for user in &plan.users {
        check_user(&user.value, &user.key, problems);
    }
}

fn check_unique<'a>(
    what: &str,
    all: impl Iterator<Item = (&'a str, Option<u32>, &'a KeyPath)>,
    problems: &mut Problems,
) {
    let mut names: BTreeMap<&str, &KeyPath> = BTreeMap::new();
    let mut ids: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, id, key) in all {
        if !names::is_account(name) {
            let text = format!(
                "{name:?} is no name of a {what}: up to 31 of a-z, 0-9, _ and -, no digit or hyphen first"
            );
            problems.add(key, text);
        }
        if let Some(first) = names.insert(name, key) {
            problems.add(key, format!("the {what} {name} stands at {first} already"));
        }
        if let Some(other) = id.and_then(|id| ids.insert(id, name)) {
            problems.add(key, format!("the {what} {other} has the same id"));
        }
    }
}

fn check_user(user: &User, key: &KeyPath, problems: &mut Problems) {
    check_password(user.password.as_ref(), key, problems);
    let fields = [
        ("full name", user.full_name.as_ref()),
        ("home directory", user.home.as_ref()),
        ("shell", user.shell.as_ref()),
    ];
    for (what, text) in fields {
        if text.is_some_and(|text| text.contains([':', '\n'])) {
            let text = format!("the {what} of {} has a colon or a line break", user.name);
            problems.add(key, text);
        }
    }
    for (what, path) in &fields[1..] {
        if path.is_some_and(|path| !path.is_empty() && !path.starts_with('/')) {
            let text = format!("the {what} of {} is no absolute path", user.name);
            problems.add(key, text);
        }
    }
    let groups = user.groups.iter().chain(&user.primary_group);
    for group in groups.filter(|group| !names::is_account(group)) {
        problems.add(key, format!("{group:?} is no name of a group"));
    }
    for line in &user.ssh_keys {
        if !is_ssh_key(line) {
            let text = format!(
                "not an SSH key: {:?}… has to be one line of authorized_keys, with a type and base64",
                line.chars().take(20).collect::<String>()
            );
            problems.add(key, text);
        }
    }
    if user.sudo.iter().any(|line| line.contains('\n')) {
        problems.add(key, "a line of sudo has a line break");
    }
}

/// A line with, somewhere, a type of key and what looks like base64 after it.
fn is_ssh_key(line: &str) -> bool {
    let is_type = |word: &str| {
        ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|start| word.starts_with(start))
    };
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let pairs = words.windows(2);
    let mut keys = pairs.filter(|pair| is_type(pair[0]) && pair[1].starts_with("AAAA"));
    !line.trim().contains(['\n', '\r']) && keys.next().is_some()
}

fn check_password(password: Option<&PasswordHash>, key: &KeyPath, problems: &mut Problems) {
    if password.is_some_and(|hash| hash.0.contains([':', '\n'])) {
        problems.add(key, "the password's hash has a colon or a line break");
    }
}
