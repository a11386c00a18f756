//! Table `Directories`: the path of a v2 directory to its record.
//!
//! The root has no row. Every other directory's parent has one, and so have all directories that a
//! key is in, if the key is a v2 path.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{decode, encode};
use crate::event::{Content, Node};
use crate::path::ROOT;
use crate::tables::{Table, TableError, Tables};
use crate::units::{Revision, UnixNanoseconds};

/// Why there is a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// Somebody made it through v2, or something in it. It stays when it is empty; all above it
    /// are of this kind too.
    Made,
    /// Only because a key written through v3 stands below. It goes with the last thing in it.
    Implied,
}

/// A directory as it is stored. Meanings as in [`Node`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirectoryRecord {
    pub(crate) origin: Origin,
    pub(crate) created_index: Revision,
    pub(crate) modified: Revision,
    pub(crate) expires: Option<UnixNanoseconds>,
}

impl DirectoryRecord {
    pub(crate) fn read(tables: &dyn Tables, path: &str) -> Result<Option<Self>, TableError> {
        let row = tables.get(Table::Directories, path.as_bytes())?;
        row.map(|row| Self::decode(path.as_bytes(), &row))
            .transpose()
    }

    pub(crate) fn decode(path: &[u8], row: &[u8]) -> Result<Self, TableError> {
        decode(Table::Directories, path, row)
    }

    pub(crate) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(crate) fn into_node(self, path: Bytes) -> Node {
        Node {
            key: path,
            content: Content::Directory,
            created_index: self.created_index,
            create_revision: Revision(0),
            modified: self.modified,
            version: 0,
            expires: self.expires,
            lease: None,
        }
    }
}

/// The root as a node: it was never created or changed.
pub(crate) fn root_node() -> Node {
    let never = DirectoryRecord {
        origin: Origin::Made,
        created_index: Revision(0),
        modified: Revision(0),
        expires: None,
    };
    never.into_node(Bytes::from_static(ROOT.as_bytes()))
}
