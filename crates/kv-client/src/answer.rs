//! What a server says about keys.
//!
//! Values are text: v2's JSON can carry nothing else.
use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Read.
    Get,
    /// Created or replaced.
    Set,
    /// Created.
    Create,
    /// Changed.
    Update,
    /// Removed.
    Delete,
    /// Changed under a condition.
    CompareAndSwap,
    /// Removed under a condition.
    CompareAndDelete,
    /// Removed because its time was over.
    Expire,
    /// Something this client does not know.
    #[serde(untagged)]
    Other(String),
}

impl Action {
    /// etcd's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::CompareAndSwap => "compareAndSwap",
            Self::CompareAndDelete => "compareAndDelete",
            Self::Expire => "expire",
            Self::Other(other) => other,
        }
    }

    /// Whether the key is gone afterwards.
    pub const fn is_removal(&self) -> bool {
        matches!(self, Self::Delete | Self::CompareAndDelete | Self::Expire)
    }
}

/// A key or a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Node {
    /// Its path; empty for the root.
    pub key: String,
    /// Whether it is a directory.
    pub dir: bool,
    /// Its value; directories and removed keys have none.
    pub value: Option<String>,
    /// What is in a directory, as far as it was asked for.
    pub nodes: Vec<Self>,
    /// The index of its creation.
    pub created_index: u64,
    /// The index of its last change.
    pub modified_index: u64,
    /// When it goes away, in RFC 3339.
    pub expiration: Option<String>,
    /// Seconds until then.
    pub ttl: Option<i64>,
}

impl Node {
    /// Its value, or the empty text.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// The nodes below, not the directories, in the order given.
    pub fn leaves(&self) -> Vec<&Self> {
        if self.dir {
            self.nodes.iter().flat_map(Self::leaves).collect()
        } else {
            vec![self]
        }
    }
}

/// An answer about keys, with the figures of its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was done.
    pub action: Action,
    /// The key or directory as it is now.
    pub node: Node,
    /// As it was before.
    pub previous: Option<Node>,
    /// The store's index when it was answered; for a watch, when it began.
    pub index: u64,
    /// The cluster that answered, in hexadecimal.
    pub cluster_id: String,
}

/// The JSON of an answer.
#[derive(Deserialize)]
pub(crate) struct AnswerBody {
    pub(crate) action: Action,
    #[serde(default)]
    pub(crate) node: Node,
    #[serde(rename = "prevNode")]
    pub(crate) previous: Option<Node>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_answers_are_understood() {
        let text = r#"{"action":"compareAndSwap","node":{"key":"/a","value":"","expiration":"2026-11-22T18:35:55.5Z","ttl":3,"modifiedIndex":5,"createdIndex":4},"prevNode":{"key":"/a","value":"<x>","modifiedIndex":4,"createdIndex":4}}"#;
        let body: AnswerBody = serde_json::from_str(text).expect("etcd's JSON");
        assert_eq!(body.action, Action::CompareAndSwap);
        assert_eq!(body.node.value.as_deref(), Some(""));
        assert_eq!(body.node.ttl, Some(3));
        assert_eq!((body.node.created_index, body.node.modified_index), (4, 5));
        assert_eq!(body.previous.expect("it was there").value(), "<x>");
    }

    #[test]
    fn unknown_actions_keep_their_name() {
        let body: AnswerBody = serde_json::from_str(r#"{"action":"renew"}"#).expect("JSON");
        assert_eq!(body.action.as_str(), "renew");
        assert!(!body.action.is_removal());
    }

    #[test]
    fn leaves_leave_out_directories() {
        let text = r#"{"dir":true,"nodes":[{"key":"/b","dir":true,"nodes":[{"key":"/b/c","value":"1"}]},{"key":"/d","value":"2"}]}"#;
        let root: Node = serde_json::from_str(text).expect("JSON");
        let keys: Vec<&str> = root.leaves().iter().map(|node| node.key.as_str()).collect();
        assert_eq!(keys, ["/b/c", "/d"]);
        assert_eq!(root.nodes[0].nodes[0].name(), "c");
    }
}
