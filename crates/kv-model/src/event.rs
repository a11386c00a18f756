//! What changed, as watchers, history and answers see it.
//!
//! A revision may have no event (a user changed) or several (a transaction).
//!
//! An event is complete: nothing needs to be looked up to render it for etcd v2 or v3.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::units::{LeaseId, Revision, UnixNanoseconds};

/// A change, by etcd v2's names. A v3 transaction with several changes makes several events of one
/// revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Created or replaced.
    Set,
    /// Created.
    Create,
    /// Changed.
    Update,
    /// Changed after a comparison.
    CompareAndSwap,
    /// Removed.
    Delete,
    /// Removed after a comparison.
    CompareAndDelete,
    /// Removed because its time was up.
    Expire,
}

/// A key or directory at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The key's bytes; of v2, the path.
    pub key: Bytes,
    /// What stands there.
    pub content: Content,
    /// The index of its creation as v2 counts: replacing by `set` creates anew.
    pub created_index: Revision,
    /// The revision of its creation as v3 counts: replacing keeps it. 0 for a directory, and for
    /// what was removed.
    pub create_revision: Revision,
    /// The revision of its last change.
    pub modified: Revision,
    /// How often it was written since its creation. 0 for a directory, and for what was removed.
    pub version: u64,
    /// When it goes away by itself, if that is a fixed moment.
    pub expires: Option<UnixNanoseconds>,
    /// The lease it hangs on.
    pub lease: Option<LeaseId>,
}

/// What stands at a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A value.
    Value(Bytes),
    /// A value that is not known any more, or nothing: a key that was removed.
    Gone,
    /// A directory of v2.
    Directory,
    /// A directory of v2 that was removed.
    DirectoryGone,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub revision: Revision,
    /// What was done.
    pub action: Action,
    /// The key or directory afterwards.
    pub node: Node,
    /// The key or directory before.
    pub previous: Option<Node>,
    /// What was removed together with its directory, as it was: directories first, then keys, each
    /// in order. v3 watchers see the keys among it removed; v2 tells whoever watches one of the
    /// paths. Empty in the answer to whoever asked for the removal.
    pub removed_keys: Vec<Node>,
    /// Only the time to live was renewed: v2 keeps a place for it in its history, and tells no watcher.
    pub refresh: bool,
}

/// What a change did to one key, as v3 sees it.
#[derive(Debug, Clone, Copy)]
pub struct KeyChange<'e> {
    /// The key.
    pub key: &'e Bytes,
    /// What it was; nothing if it was not there.
    pub before: Option<&'e Node>,
    /// What it is; nothing if it is gone.
    pub after: Option<&'e Node>,
}

impl Event {
    /// The keys that this changed. Directories are none; a key that made room for a directory, or
    /// went with one, is gone.
    pub fn key_changes(&self) -> impl Iterator<Item = KeyChange<'_>> {
        let node = &self.node;
        let before = self.previous.as_ref().filter(|node| node.is_key());
        let after = Some(node).filter(|node| node.is_key());
        let is_key = before.is_some() || after.is_some() || node.content == Content::Gone;
        let own = is_key.then_some(KeyChange {
            key: &node.key,
            before,
            after,
        });
        let removed = self.removed_keys.iter().filter(|node| node.is_key());
        own.into_iter().chain(removed.map(|node| KeyChange {
            key: &node.key,
            before: Some(node),
            after: None,
        }))
    }
}

impl Node {
    fn is_key(&self) -> bool {
        matches!(self.content, Content::Value(_))
    }
}
