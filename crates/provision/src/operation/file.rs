//! A file: its bytes, its mode, its owners.
//!
//! Bytes that are at the end already are not put there again.

use std::io;

use machine_facts::provision_record::{Change, Step};

use super::{Attributes, Context, step};
use crate::contents::Bytes;
use crate::root::{Kind, Seen};

/// What a file shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileWork {
    pub(crate) path: String,
    pub(crate) bytes: Bytes,
    pub(crate) attributes: Attributes,
    /// Whether something of another kind goes first.
    pub(crate) replaces: bool,
}

impl FileWork {
    pub(super) fn perform(&self, context: &Context<'_>) -> io::Result<Vec<Step>> {
        let root = context.root;
        let found = root.look(&self.path)?;
        let old = self.old(found.as_ref(), context)?;
        let kept = found.as_ref().filter(|_| old.is_some());
        let (mode, owner) = self.attributes.over(kept, 0o644);
        let what = context.description("file", &self.path, mode, owner);
        let new = self.new_bytes(old.as_deref().unwrap_or_default());
        let is_same = old.as_deref() == Some(&new[..])
            && kept.is_some_and(|seen| (seen.mode, seen.owner) == (mode, owner));
        let change = match found {
            None => Change::Created,
            Some(_) if is_same => Change::Unchanged,
            Some(_) => Change::Changed,
        };
        if context.really() && change != Change::Unchanged {
            if found.is_some_and(|seen| seen.kind == Kind::Directory) {
                root.remove(&self.path)?;
            }
            root.make_parents(&self.path)?;
            root.write(&self.path, &new, mode, owner)?;
        }
        Ok(step(change, what))
    }

    /// The bytes of a file that is there.
    fn old(&self, found: Option<&Seen>, context: &Context<'_>) -> io::Result<Option<Vec<u8>>> {
        match found.map(|seen| &seen.kind) {
            None => Ok(None),
            Some(Kind::File) => context.root.read(&self.path),
            Some(_) if self.replaces => Ok(None),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn new_bytes(&self, old: &[u8]) -> Vec<u8> {
        match &self.bytes {
            Bytes::Kept => old.to_vec(),
            Bytes::Whole(bytes) => bytes.clone(),
            Bytes::AtEnd(bytes) if old.ends_with(bytes) => old.to_vec(),
            Bytes::AtEnd(bytes) => [old, bytes].concat(),
        }
    }
}
