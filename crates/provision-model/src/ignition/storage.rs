//! Files, directories and links.
//!
//! Disks are read, and RAID and encryption refused, elsewhere.

use ignition_config::v3_5::{Directory, File, Link, NodeGroup, NodeUser, Storage};

use super::reading::Reading;
use super::resource::contents;
use crate::key_path::KeyPath;
use crate::plan::{self, Account, Mode, Node, Overwrite, Plan, Stated, Writing};

/// Reads the section.
pub(super) fn read(storage: &Storage, key: &KeyPath, reading: &mut Reading, plan: &mut Plan) {
    for (index, one) in storage.directories.iter().flatten().enumerate() {
        let key = key.key("directories").index(index);
        plan.directories
            .push(Stated::new(directory(one, &key, reading), key));
    }
    for (index, one) in storage.files.iter().flatten().enumerate() {
        let key = key.key("files").index(index);
        plan.files.push(Stated::new(file(one, &key, reading), key));
    }
    for (index, one) in storage.links.iter().flatten().enumerate() {
        let key = key.key("links").index(index);
        plan.links.push(Stated::new(link(one, &key, reading), key));
    }
}

fn directory(directory: &Directory, key: &KeyPath, reading: &mut Reading) -> plan::Directory {
    let owners = (directory.user.as_ref(), directory.group.as_ref());
    plan::Directory {
        node: node(&directory.path, directory.overwrite, owners, key, reading),
        mode: mode(directory.mode, key, reading),
    }
}

fn file(file: &File, key: &KeyPath, reading: &mut Reading) -> plan::File {
    let owners = (file.user.as_ref(), file.group.as_ref());
    let whole = file.contents.as_ref();
    let whole = whole.and_then(|whole| contents(whole, &key.key("contents"), reading));
    let appended = file.append.iter().flatten().enumerate();
    let appended: Vec<_> = appended
        .filter_map(|(index, part)| contents(part, &key.key("append").index(index), reading))
        .collect();
    let has_source = file
        .contents
        .as_ref()
        .is_some_and(|whole| whole.source.is_some());
    if file.overwrite == Some(true) && !has_source {
        reading.problem(&key.key("overwrite"), "needs contents to overwrite with");
    }
    plan::File {
        node: node(&file.path, file.overwrite, owners, key, reading),
        mode: mode(file.mode, key, reading),
        writing: match (whole, appended.is_empty()) {
            (None, true) => Writing::Touch,
            (None, false) => Writing::Append(appended),
            (Some(whole), true) => Writing::Whole(whole),
            (Some(whole), false) => Writing::WholeAndAppend(whole, appended),
        },
    }
}

fn link(link: &Link, key: &KeyPath, reading: &mut Reading) -> plan::Link {
    let owners = (link.user.as_ref(), link.group.as_ref());
    let target = link.target.clone().unwrap_or_default();
    if target.is_empty() {
        reading.problem(&key.key("target"), "missing: where the link points");
    }
    plan::Link {
        node: node(&link.path, link.overwrite, owners, key, reading),
        target,
        is_hard: link.hard == Some(true),
    }
}

fn node(
    path: &str,
    overwrite: Option<bool>,
    (user, group): (Option<&NodeUser>, Option<&NodeGroup>),
    key: &KeyPath,
    reading: &mut Reading,
) -> Node {
    let user = user.map(|user| (user.id, user.name.as_deref()));
    let group = group.map(|group| (group.id, group.name.as_deref()));
    Node {
        path: path.to_owned(),
        user: account(user, &key.key("user"), reading),
        group: account(group, &key.key("group"), reading),
        overwrite: if overwrite == Some(true) {
            Overwrite::Replace
        } else {
            Overwrite::Refuse
        },
    }
}

fn account(
    account: Option<(Option<i64>, Option<&str>)>,
    key: &KeyPath,
    reading: &mut Reading,
) -> Option<Account> {
    match account? {
        (Some(_), Some(_)) => {
            reading.problem(key, "has both an id and a name: one of them");
            None
        }
        (id, None) => reading.number(id, &key.key("id")).map(Account::Id),
        (None, Some(name)) => Some(Account::Name(name.to_owned())),
    }
}

fn mode(mode: Option<i64>, key: &KeyPath, reading: &mut Reading) -> Option<Mode> {
    let bits = mode?;
    let mode = Mode::new(bits);
    if mode.is_none() {
        let text = format!("{bits} is no mode: JSON has decimal numbers, 0644 is written 420");
        reading.problem(&key.key("mode"), text);
    }
    mode
}
