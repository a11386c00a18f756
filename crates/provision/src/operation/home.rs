//! Homes of users: the directory, with what `/etc/skel` has, and the keys that let in by SSH.
//!
//! A home that is there is left as it is, but for keys that are added.

use std::io;

use machine_facts::provision_record::{Change, Step};

use super::{Context, step};
use crate::root::{Kind, Owner, Root, join};

/// What every new home begins with.
const SKELETON: &str = "/etc/skel";
/// Others see nothing of a home.
const HOME_MODE: u32 = 0o700;
/// sshd refuses keys that others can write.
const KEYS_FOLDER_MODE: u32 = 0o700;
const KEYS_MODE: u32 = 0o600;

/// A home that shall be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HomeWork {
    pub(crate) path: String,
    pub(crate) owner: Owner,
}

/// Keys that shall let a user in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeysWork {
    pub(crate) user: String,
    /// The home's.
    pub(crate) path: String,
    pub(crate) owner: Owner,
    pub(crate) lines: Vec<String>,
}

impl HomeWork {
    pub(super) fn perform(&self, context: &Context<'_>) -> io::Result<Vec<Step>> {
        let root = context.root;
        let what = context.description("home directory", &self.path, HOME_MODE, self.owner);
        match root.look(&self.path)?.map(|seen| seen.kind) {
            Some(Kind::Directory) => return Ok(step(Change::Unchanged, what)),
            Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
            None => {}
        }
        if context.really() {
            root.make_parents(&self.path)?;
            root.make_directory(&self.path, HOME_MODE, self.owner, |inside| {
                copy(root, SKELETON, inside, self.owner)
            })?;
        }
        Ok(step(Change::Created, what))
    }
}

/// Everything in one directory into another, as its owner's.
fn copy(root: &Root, from: &str, to: &str, owner: Owner) -> io::Result<()> {
    for name in root.names(from)? {
        let (source, target) = (join(from, &name), join(to, &name));
        let Some(seen) = root.look(&source)? else {
            continue;
        };
        match seen.kind {
            Kind::File => {
                let bytes = root.read(&source)?.unwrap_or_default();
                root.write(&target, &bytes, seen.mode, owner)?;
            }
            Kind::Link(to) => root.symlink(&target, &to, owner)?,
            Kind::Directory => root.make_directory(&target, seen.mode, owner, |inside| {
                copy(root, &source, inside, owner)
            })?,
            Kind::Other => {}
        }
    }
    Ok(())
}

impl KeysWork {
    pub(super) fn perform(&self, context: &Context<'_>) -> io::Result<Vec<Step>> {
        let root = context.root;
        let folder = join(&self.path, ".ssh");
        let path = join(&folder, "authorized_keys");
        let old = match root.look(&path)?.map(|seen| seen.kind) {
            None => None,
            Some(Kind::File) => root.read_text(&path)?,
            // It would be replaced, and whatever it leads to is not looked at.
            Some(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let mut text = old.clone().unwrap_or_default();
        let mut added = 0;
        for line in self.lines.iter().map(|line| line.trim()) {
            if !text.lines().any(|known| known.trim() == line) {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.extend([line, "\n"]);
                added += 1;
            }
        }
        let plural = if self.lines.len() == 1 { "" } else { "s" };
        let what = format!(
            "{} SSH key{plural} of {} in {path}",
            self.lines.len(),
            self.user
        );
        let change = match (added, old) {
            (0, Some(_)) => Change::Unchanged,
            (_, Some(_)) => Change::Changed,
            (_, None) => Change::Created,
        };
        if context.really() && change != Change::Unchanged {
            if root.look(&folder)?.is_none() {
                root.make_directory(&folder, KEYS_FOLDER_MODE, self.owner, |_| Ok(()))?;
            }
            root.write(&path, text.as_bytes(), KEYS_MODE, self.owner)?;
        }
        Ok(step(change, what))
    }
}
