//! Directories, files and links of a plan, against what the root has at their places.
//!
//! Something else that is there is a problem, unless the plan says that it goes.

use provision_model::KeyPath;
use provision_model::plan::{Link, Node, Overwrite, Plan};

use super::Preparation;
use crate::contents::Bytes;
use crate::operation::{Attributes, DirectoryWork, FileWork, LinkKind, LinkWork, Operation};
use crate::root::{Kind, Seen, split};

impl Preparation<'_> {
    /// Those above before those below, so that one that is replaced takes nothing new along.
    pub(super) fn directories(&mut self, plan: &Plan) {
        let mut works = Vec::new();
        for directory in &plan.directories {
            let (node, key) = (&directory.value.node, &directory.key);
            let mut attributes = self.attributes(node, key);
            attributes.mode = directory.value.mode.map(provision_model::plan::Mode::bits);
            let Some((path, seen)) = self.node(node, key) else {
                continue;
            };
            let is_kept = seen.is_none_or(|seen| seen.kind == Kind::Directory);
            if !is_kept && node.overwrite == Overwrite::Refuse {
                self.is_there(&path, key);
            }
            works.push(DirectoryWork {
                path,
                attributes,
                replaces: node.overwrite == Overwrite::Replace,
            });
        }
        works.sort_by(|one, other| one.path.cmp(&other.path));
        let works = works.into_iter().map(Operation::Directory);
        self.operations.extend(works);
    }

    pub(super) fn files(&mut self, plan: &Plan, bytes: Vec<Bytes>) {
        for (file, bytes) in plan.files.iter().zip(bytes) {
            let (node, key) = (&file.value.node, &file.key);
            let mut attributes = self.attributes(node, key);
            attributes.mode = file.value.mode.map(provision_model::plan::Mode::bits);
            if matches!(bytes, Bytes::Whole(_)) {
                // What has new bytes has nothing of the old file.
                attributes.mode = attributes.mode.or(Some(0o644));
                attributes.user = attributes.user.or(Some(0));
                attributes.group = attributes.group.or(Some(0));
            }
            let Some((path, seen)) = self.node(node, key) else {
                continue;
            };
            if node.overwrite == Overwrite::Refuse && !self.suits(&path, seen.as_ref(), &bytes) {
                self.is_there(&path, key);
            }
            self.operations.push(Operation::File(FileWork {
                path,
                bytes,
                attributes,
                replaces: node.overwrite == Overwrite::Replace,
            }));
        }
    }

    pub(super) fn links(&mut self, plan: &Plan) {
        for link in &plan.links {
            let (node, key) = (&link.value.node, &link.key);
            let attributes = self.attributes(node, key);
            let Some((path, seen)) = self.node(node, key) else {
                continue;
            };
            let Some(kind) = self.link_kind(&link.value, key) else {
                continue;
            };
            if node.overwrite == Overwrite::Refuse && !self.is_link(seen.as_ref(), &kind) {
                self.is_there(&path, key);
            }
            self.operations.push(Operation::Link(LinkWork {
                path,
                kind,
                attributes,
                replaces: node.overwrite == Overwrite::Replace,
            }));
        }
    }

    /// The owners that are said.
    fn attributes(&mut self, node: &Node, key: &KeyPath) -> Attributes {
        let mut attributes = Attributes::default();
        if let Some(user) = &node.user {
            let user = self.accounts.user(user);
            attributes.user = self.findings.take(&key.key("user"), user);
        }
        if let Some(group) = &node.group {
            let group = self.accounts.group(group);
            attributes.group = self.findings.take(&key.key("group"), group);
        }
        attributes
    }

    /// The place of a node, and what is there.
    fn node(&mut self, node: &Node, key: &KeyPath) -> Option<(String, Option<Seen>)> {
        let path = self.take_place(&node.path, key)?;
        let looked = self.root.look(&path);
        let looked = looked.map_err(|error| format!("{path} cannot be looked at: {error}"));
        let seen = self.findings.take(key, looked)?;
        let is_whole = split(&path).0 == "/" || path == "/usr/local";
        if is_whole && node.overwrite == Overwrite::Replace {
            let text = format!("{path} cannot be replaced as a whole");
            self.findings.add(key, text);
            return None;
        }
        Some((path, seen))
    }

    fn is_there(&mut self, path: &str, key: &KeyPath) {
        let text = format!("{path} is there already and differs: with `overwrite` it is replaced");
        self.findings.add(key, text);
    }

    /// Whether what is there can stay, or be added to.
    fn suits(&self, path: &str, seen: Option<&Seen>, bytes: &Bytes) -> bool {
        match (seen.map(|seen| &seen.kind), bytes) {
            (None, _) | (Some(Kind::File), Bytes::Kept | Bytes::AtEnd(_)) => true,
            (Some(Kind::File), Bytes::Whole(bytes)) => {
                let old = self.root.read(path);
                old.is_ok_and(|old| old.as_ref() == Some(bytes))
            }
            (Some(_), _) => false,
        }
    }

    fn link_kind(&mut self, link: &Link, key: &KeyPath) -> Option<LinkKind> {
        if !link.is_hard {
            return Some(LinkKind::Symbolic(link.target.clone()));
        }
        let key = key.key("target");
        let real = self.root.real_path(&link.target);
        let real = real.map_err(|problem| format!("{} {problem}", link.target));
        let real = self.findings.take(&key, real)?;
        let is_planned = self
            .operations
            .iter()
            .any(|one| matches!(one, Operation::File(file) if file.path == real));
        let seen = self.root.look(&real).ok().flatten();
        if is_planned || seen.is_some_and(|seen| seen.kind == Kind::File) {
            return Some(LinkKind::Hard(real));
        }
        let text = format!("{real} is no file that could have another name");
        self.findings.add(&key, text);
        None
    }

    fn is_link(&self, seen: Option<&Seen>, kind: &LinkKind) -> bool {
        match (seen, kind) {
            (None, _) => true,
            (Some(seen), LinkKind::Symbolic(target)) => seen.kind == Kind::Link(target.clone()),
            (Some(seen), LinkKind::Hard(target)) => {
                let other = self.root.look(target).ok().flatten();
                other.is_some_and(|other| other.node == seen.node)
            }
        }
    }
}
