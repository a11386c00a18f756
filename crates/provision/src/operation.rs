//! One thing to be brought about below a root: looked at, and done if it is not so already.
//!
//! It was checked before; what fails here is the machine. Each is durable once it is done.

mod directory;
mod file;
mod home;
mod link;

use std::io;

use machine_facts::provision_record::{Change, Step};

use crate::accounts::{AccountFile, Accounts};
use crate::disks::{DiskWork, FileSystemWork};
use crate::root::{Owner, Root, Seen};

pub(crate) use directory::DirectoryWork;
pub(crate) use file::FileWork;
pub(crate) use home::{HomeWork, KeysWork};
pub(crate) use link::{LinkKind, LinkWork};

/// Whether things are done, or only said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// They are done.
    Really,
    /// Only said.
    DryRun,
}

/// All there is to do. Paths are real ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A disk's partitions.
    Disk(DiskWork),
    /// A file system.
    FileSystem(FileSystemWork),
    /// The files of accounts.
    Accounts(Vec<AccountFile>, Vec<Step>),
    /// A home directory.
    Home(HomeWork),
    /// Lines of `authorized_keys`.
    Keys(KeysWork),
    /// A directory.
    Directory(DirectoryWork),
    /// A file.
    File(FileWork),
    /// A link.
    Link(LinkWork),
    /// Nothing at this path, for this reason.
    Removal { path: String, why: String },
}

/// Mode and owners; what is `None` stays as it is, or becomes the usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: Option<u32>,
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
}

/// What all operations are done with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) root: &'a Root,
    pub(crate) accounts: &'a Accounts,
    pub(crate) manner: Manner,
}

/// An operation that could not be done.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {what}")]
pub struct OperationFailed {
    what: String,
    source: io::Error,
}

impl Attributes {
    /// These and no others.
    pub(crate) fn fixed(mode: u32, owner: Owner) -> Self {
        Self {
            mode: Some(mode),
            user: Some(owner.user),
            group: Some(owner.group),
        }
    }

    /// What holds in the end, over what is there.
    fn over(self, seen: Option<&Seen>, usual_mode: u32) -> (u32, Owner) {
        let old = seen.map(|seen| seen.owner).unwrap_or_default();
        let mode = self.mode.or(seen.map(|seen| seen.mode));
        let owner = Owner {
            user: self.user.unwrap_or(old.user),
            group: self.group.unwrap_or(old.group),
        };
        (mode.unwrap_or(usual_mode), owner)
    }
}

impl Context<'_> {
    fn really(&self) -> bool {
        self.manner == Manner::Really
    }

    /// `file /etc/x (0644 root)`
    fn description(&self, kind: &str, path: &str, mode: u32, owner: Owner) -> String {
        format!("{kind} {path} ({mode:04o} {})", self.accounts.names(owner))
    }
}

/// A step about one thing.
fn step(change: Change, what: impl Into<String>) -> Vec<Step> {
    let what = what.into();
    vec![Step { change, what }]
}

impl Operation {
    /// Brings it about.
    pub(crate) fn perform(&self, context: &Context<'_>) -> Result<Vec<Step>, OperationFailed> {
        let done = match self {
            Self::Disk(work) => work.perform(context.manner),
            Self::FileSystem(work) => work.perform(context.manner),
            Self::Accounts(files, steps) => write_accounts(files, context).map(|()| steps.clone()),
            Self::Home(work) => work.perform(context),
            Self::Keys(work) => work.perform(context),
            Self::Directory(work) => work.perform(context),
            Self::File(work) => work.perform(context),
            Self::Link(work) => work.perform(context),
            Self::Removal { path, why } => remove(path, why, context),
        };
        done.map_err(|source| OperationFailed {
            what: self.name(),
            source,
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Disk(work) => work.name(),
            Self::FileSystem(work) => work.name(),
            Self::Accounts(..) => "the users and groups".to_owned(),
            Self::Home(work) => format!("the home directory {}", work.path),
            Self::Keys(work) => format!("the SSH keys of {}", work.user),
            Self::Directory(work) => format!("the directory {}", work.path),
            Self::File(work) => format!("the file {}", work.path),
            Self::Link(work) => format!("the link {}", work.path),
            Self::Removal { path, .. } => format!("nothing of {path}"),
        }
    }
}

/// Modes and owners of files that are there are the image's.
fn write_accounts(files: &[AccountFile], context: &Context<'_>) -> io::Result<()> {
    for file in files {
        let old = context.root.read(file.path)?;
        if old.as_deref().unwrap_or_default() == file.bytes || !context.really() {
            continue;
        }
        let seen = context.root.look(file.path)?;
        let (mode, owner) = match seen {
            Some(seen) => (seen.mode, seen.owner),
            None => (file.mode, file.owner),
        };
        context.root.make_parents(file.path)?;
        context.root.write(file.path, &file.bytes, mode, owner)?;
    }
    Ok(())
}

fn remove(path: &str, why: &str, context: &Context<'_>) -> io::Result<Vec<Step>> {
    if context.root.look(path)?.is_none() {
        return Ok(Vec::new());
    }
    if context.really() {
        context.root.remove(path)?;
    }
    Ok(step(Change::Removed, format!("{path} ({why})")))
}

#[cfg(test)]
mod tests;
