//! A directory.
//!
//! One that is there is kept with all that is in it, unless it is to be replaced.

use std::io;

use machine_facts::provision_record::{Change, Step};

use super::{Attributes, Context, step};
use crate::root::Kind;

/// What a directory shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirectoryWork {
    pub(crate) path: String,
    pub(crate) attributes: Attributes,
    /// Whether what is there goes first.
    pub(crate) replaces: bool,
}

impl DirectoryWork {
    pub(super) fn perform(&self, context: &Context<'_>) -> io::Result<Vec<Step>> {
        let root = context.root;
        let found = root.look(&self.path)?;
        let kept = found.as_ref().filter(|_| !self.replaces);
        let (mode, owner) = self.attributes.over(kept, 0o755);
        let what = context.description("directory", &self.path, mode, owner);
        let change = match (&found, kept) {
            (None, _) => Change::Created,
            (_, Some(seen)) if seen.kind != Kind::Directory => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            (_, Some(seen)) if (seen.mode, seen.owner) == (mode, owner) => Change::Unchanged,
            (Some(_), _) => Change::Changed,
        };
        if context.really() && change != Change::Unchanged {
            if kept.is_some() {
                root.set_attributes(&self.path, mode, owner)?;
            } else {
                if found.is_some() {
                    root.remove(&self.path)?;
                }
                root.make_parents(&self.path)?;
                root.make_directory(&self.path, mode, owner, |_| Ok(()))?;
            }
        }
        Ok(step(change, what))
    }
}
