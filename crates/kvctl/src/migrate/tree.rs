//! A tree of v2 as a list in order: directories before what is in them.
//!
//! It is read whole, since v2 gives it no other way.
use std::collections::BTreeMap;

use kv_client::{Client, Error, EtcdError, Node, ReadOptions};

use crate::failure::Failure;

/// A key or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Nothing for a directory.
    pub(super) value: Option<String>,
    pub(super) ttl_seconds: Option<u64>,
}

/// By path.
pub(super) type Tree = BTreeMap<String, Entry>;

impl From<&Node> for Entry {
    fn from(node: &Node) -> Self {
        Self {
            value: (!node.dir).then(|| node.value().to_owned()),
            ttl_seconds: node.ttl.and_then(|ttl| u64::try_from(ttl).ok()),
        }
    }
}

fn add(tree: &mut Tree, node: &Node) {
    // The root has no name, and is everywhere.
    if !node.key.is_empty() {
        tree.insert(node.key.clone(), node.into());
    }
    node.nodes.iter().for_each(|node| add(tree, node));
}

/// Reads what stands at a path and below it; also when it was read.
pub(super) async fn read(client: &Client, path: &str, tree: &mut Tree) -> Result<u64, Failure> {
    let options = ReadOptions {
        recursive: true,
        sorted: true,
        quorum: true,
    };
    match client.get(path, options).await {
        Ok(answer) => {
            add(tree, &answer.node);
            Ok(answer.index)
        }
        Err(Error::Etcd(error)) if error.code == EtcdError::KEY_NOT_FOUND => Ok(error.index),
        Err(error) => Err(Failure::Request(error)),
    }
}
