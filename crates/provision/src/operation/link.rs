//! A link, symbolic or another name of a file.
//!
//! Where it leads is not asked.

use std::io;

use machine_facts::provision_record::{Change, Step};

use super::{Attributes, Context, step};
use crate::root::{Kind, Seen};

/// What a link shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkWork {
    pub(crate) path: String,
    pub(crate) kind: LinkKind,
    /// Of a symbolic one.
    pub(crate) attributes: Attributes,
    /// Whether what is there goes first.
    pub(crate) replaces: bool,
}

/// The two kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// With this text.
    Symbolic(String),
    /// Of the file at this real path.
    Hard(String),
}

impl LinkWork {
    pub(super) fn perform(&self, context: &Context<'_>) -> io::Result<Vec<Step>> {
        let root = context.root;
        let found = root.look(&self.path)?;
        let is_there = self.is_there(found.as_ref(), context)?;
        let kept = found.as_ref().filter(|_| is_there);
        let (_, owner) = self.attributes.over(kept, 0o777);
        let is_hard = matches!(self.kind, LinkKind::Hard(_));
        let is_same = kept.is_some_and(|seen| is_hard || seen.owner == owner);
        let change = match &found {
            None => Change::Created,
            Some(_) if is_same => Change::Unchanged,
            Some(_) if is_there || self.replaces => Change::Changed,
            Some(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        };
        if context.really() && change != Change::Unchanged {
            if found.is_some_and(|seen| seen.kind == Kind::Directory) {
                root.remove(&self.path)?;
            }
            root.make_parents(&self.path)?;
            match &self.kind {
                LinkKind::Symbolic(target) => root.symlink(&self.path, target, owner)?,
                LinkKind::Hard(target) => root.hard_link(&self.path, target)?,
            }
        }
        Ok(step(change, self.description()))
    }

    fn is_there(&self, found: Option<&Seen>, context: &Context<'_>) -> io::Result<bool> {
        let Some(seen) = found else {
            return Ok(false);
        };
        Ok(match &self.kind {
            LinkKind::Symbolic(target) => seen.kind == Kind::Link(target.clone()),
            LinkKind::Hard(target) => {
                let other = context.root.look(target)?;
                other.is_some_and(|other| other.node == seen.node)
            }
        })
    }

    fn description(&self) -> String {
        match &self.kind {
            LinkKind::Symbolic(target) => format!("link {} to {target}", self.path),
            LinkKind::Hard(target) => format!("hard link {} to {target}", self.path),
        }
    }
}
