//! What stands at a v2 path, or why nothing does.
//!
//! It reads one node, never what is below.
use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::event::Node;
use crate::path::{self, ROOT};
use crate::record::directory::{self, DirectoryRecord};
use crate::record::key::KeyRecord;
use crate::tables::{TableError, Tables};

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Found {
    Root,
    Key(KeyRecord),
    Directory(DirectoryRecord),
    /// The first component on the way that does not exist.
    Missing(String),
    /// The component on the way that is a key.
    BelowKey(String),
}

impl Found {
    /// The node, or code and cause of the refusal that etcd gives.
    pub(crate) fn into_node(self, path: &str) -> Result<Node, (ErrorCode, String)> {
        let key = Bytes::copy_from_slice(path.as_bytes());
        match self {
            Self::Root => Ok(directory::root_node()),
            Self::Key(record) => Ok(record.into_node(key)),
            Self::Directory(record) => Ok(record.into_node(key)),
            Self::Missing(cause) => Err((ErrorCode::KeyNotFound, cause)),
            Self::BelowKey(cause) => Err((ErrorCode::NotADirectory, cause)),
        }
    }
}

/// Looks at a clean path. A path at which both a key and a directory stand is a directory.
pub(crate) fn find(tables: &dyn Tables, path: &str) -> Result<Found, TableError> {
    if path == ROOT {
        return Ok(Found::Root);
    }
    if let Some(record) = DirectoryRecord::read(tables, path)? {
        return Ok(Found::Directory(record));
    }
    // A key's directories all have their records, so nothing above needs to be looked at.
    if path::v2_path(path.as_bytes()).is_some()
        && let Some(record) = KeyRecord::read(tables, path.as_bytes())?
    {
        return Ok(Found::Key(record));
    }
    first_obstacle(tables, path)
}

/// Why nothing is there: what is wrong nearest to the root.
fn first_obstacle(tables: &dyn Tables, path: &str) -> Result<Found, TableError> {
    let mut obstacle = path;
    for ancestor in path::ancestors(path) {
        // A directory's directories all have their records.
        if DirectoryRecord::read(tables, ancestor)?.is_some() {
            break;
        }
        obstacle = ancestor;
    }
    // What is directly in a directory and is no directory may be a key.
    if obstacle != path && KeyRecord::read(tables, obstacle.as_bytes())?.is_some() {
        return Ok(Found::BelowKey(obstacle.to_owned()));
    }
    Ok(Found::Missing(obstacle.to_owned()))
}
