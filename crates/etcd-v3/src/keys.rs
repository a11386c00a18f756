//! Keys and ranges of keys as the protocol writes them.
use bytes::Bytes;
use kv_model::command::KeyRange;
use kv_model::{Content, Node};

use crate::header::signed;
use crate::proto::mvccpb::KeyValue;
use crate::status::Status;

/// The end of a range that has none.
const NO_END: &[u8] = b"\0";

/// The keys that a request names: one, or from one on, to before another unless that is `\0`.
pub fn key_range(key: Bytes, range_end: Bytes) -> Result<KeyRange, Status> {
    match &range_end[..] {
        _ if key.is_empty() => Err(Status::EMPTY_KEY),
        b"" => Ok(KeyRange::Single(key)),
        NO_END => Ok(KeyRange::From(key)),
        _ => Ok(KeyRange::HalfOpen(key, range_end)),
    }
}

/// A key as it is sent.
pub fn key_value(node: Node) -> KeyValue {
    KeyValue {
        key: node.key,
        create_revision: signed(node.create_revision.0),
        mod_revision: signed(node.modified.0),
        version: signed(node.version),
        value: match node.content {
            Content::Value(value) => value,
            _ => Bytes::new(),
        },
        lease: node.lease.map_or(0, |lease| lease.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_the_request_says() {
        let key = |text: &'static str| Bytes::from(text);
        let cases = [
            ("a", "", KeyRange::Single(key("a"))),
            ("a", "\0", KeyRange::From(key("a"))),
            ("\0", "\0", KeyRange::From(key("\0"))),
            ("a", "\0a", KeyRange::HalfOpen(key("a"), key("\0a"))),
            ("a", "b", KeyRange::HalfOpen(key("a"), key("b"))),
        ];
        for (from, to, wanted) in cases {
            assert_eq!(key_range(key(from), key(to)), Ok(wanted));
        }
        assert_eq!(key_range(key(""), key("b")), Err(Status::EMPTY_KEY));
    }

    #[test]
    fn a_range_contains_its_beginning_and_not_its_end() {
        let key = |text: &'static str| Bytes::from(text);
        let range = KeyRange::HalfOpen(key("a"), key("b"));
        assert!(range.contains(b"a") && range.contains(b"a\xff"));
        assert!(!range.contains(b"b") && !range.contains(b"A"));
        assert!(KeyRange::From(key("a")).contains(b"\xff"));
        assert!(!KeyRange::Single(key("a")).contains(b"aa"));
    }
}
