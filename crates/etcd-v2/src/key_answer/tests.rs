//! Answers compared to those of etcd 3.4.23, byte for byte.

use bytes::Bytes;
use kv_model::query::Tree;
use kv_model::{Action, Content, ErrorCode, Event, Node, Refusal, Revision, UnixNanoseconds};

use super::{event_status, next_page_link, value_octets, write_event, write_refusal, write_tree};
use crate::server_sent_events;

/// 2026-11-23 01:00:30.180971622 UTC.
const EXPIRES: UnixNanoseconds = UnixNanoseconds(1_795_395_630_180_971_622);

fn node(key: &str, content: Content, modified: u64, created: u64) -> Node {
    Node {
        key: Bytes::copy_from_slice(key.as_bytes()),
        content,
        created_index: Revision(created),
        create_revision: Revision(created),
        modified: Revision(modified),
        version: 1,
        expires: None,
        lease: None,
    }
}

fn value(bytes: &'static [u8]) -> Content {
    Content::Value(Bytes::from_static(bytes))
}

fn event(action: Action, node: Node, previous: Option<Node>) -> Event {
    Event {
        revision: node.modified,
        action,
        node,
        previous,
        removed_keys: Vec::new(),
        refresh: false,
    }
}

fn before(seconds: i64) -> UnixNanoseconds {
    UnixNanoseconds(EXPIRES.0 - seconds * 1_000_000_000)
}

fn text(bytes: &Bytes) -> &str {
    str::from_utf8(bytes).expect("JSON is UTF-8")
}

#[test]
fn writes_events_as_etcd_does() {
    let created = event(Action::Set, node("/foo", value(b"bar"), 4, 4), None);
    let replaced = event(
        Action::Set,
        node("/foo", value(b"<a>"), 5, 5),
        Some(node("/foo", value(b"bar"), 4, 4)),
    );
    let removed = event(
        Action::Delete,
        node("/foo", Content::Gone, 6, 5),
        Some(node("/foo", value(b""), 5, 5)),
    );
    let expired = event(
        Action::Expire,
        node("/d", Content::DirectoryGone, 17, 15),
        Some(node("/d", Content::Directory, 15, 15)),
    );
    for (event, status, json) in [
        (
            created,
            201,
            r#"{"action":"set","node":{"key":"/foo","value":"bar","modifiedIndex":4,"createdIndex":4}}"#,
        ),
        (
            replaced,
            200,
            r#"{"action":"set","node":{"key":"/foo","value":"\u003ca\u003e","modifiedIndex":5,"createdIndex":5},"prevNode":{"key":"/foo","value":"bar","modifiedIndex":4,"createdIndex":4}}"#,
        ),
        (
            removed,
            200,
            r#"{"action":"delete","node":{"key":"/foo","modifiedIndex":6,"createdIndex":5},"prevNode":{"key":"/foo","value":"","modifiedIndex":5,"createdIndex":5}}"#,
        ),
        (
            expired,
            200,
            r#"{"action":"expire","node":{"key":"/d","dir":true,"modifiedIndex":17,"createdIndex":15},"prevNode":{"key":"/d","dir":true,"modifiedIndex":15,"createdIndex":15}}"#,
        ),
    ] {
        assert_eq!(event_status(&event), status);
        let written = write_event(&event, EXPIRES, false);
        assert_eq!(text(&written), format!("{json}\n"));
    }
}

#[test]
fn writes_times_to_live_as_etcd_does() {
    let mut left = node("/foo", value(b"body"), 11, 11);
    left.expires = Some(EXPIRES);
    let tree = |now| {
        let tree = Tree {
            node: left.clone(),
            children: Vec::new(),
        };
        text(&write_tree(&tree, now)).to_owned()
    };
    let json = r#"{"action":"get","node":{"key":"/foo","value":"body","expiration":"2026-11-23T01:00:30.180971622Z","ttl":100,"modifiedIndex":11,"createdIndex":11}}"#;
    assert_eq!(tree(before(100)), format!("{json}\n"));
    let gone = json.replace(r#""ttl":100,"#, "");
    assert_eq!(tree(EXPIRES), format!("{gone}\n"));
    let past = json.replace(":100,", ":-1,");
    assert_eq!(tree(before(-1)), format!("{past}\n"));
}

#[test]
fn no_value_on_success_leaves_nodes_out_of_what_wrote() {
    let set = event(Action::Set, node("/a", value(b"x"), 4, 4), None);
    assert_eq!(
        text(&write_event(&set, EXPIRES, true)),
        "{\"action\":\"set\"}\n"
    );
    let delete = event(Action::Delete, node("/a", Content::Gone, 5, 4), None);
    let written = write_event(&delete, EXPIRES, true);
    assert!(text(&written).contains("\"node\":{\"key\":\"/a\""));
}

#[test]
fn writes_trees_as_etcd_does() {
    let leaf = |node| Tree {
        node,
        children: Vec::new(),
    };
    let mut root = leaf(node("/", Content::Directory, 0, 0));
    assert_eq!(
        text(&write_tree(&root, EXPIRES)),
        "{\"action\":\"get\",\"node\":{\"dir\":true}}\n"
    );
    let mut directory = leaf(node("/d", Content::Directory, 5, 5));
    directory.children = vec![
        leaf(node("/d/a", value(b"1"), 6, 6)),
        leaf(node("/d/b", Content::Directory, 7, 7)),
    ];
    root.children = vec![directory, leaf(node("/e", value(b""), 8, 8))];
    let json = r#"{"action":"get","node":{"dir":true,"nodes":[{"key":"/d","dir":true,"nodes":[{"key":"/d/a","value":"1","modifiedIndex":6,"createdIndex":6},{"key":"/d/b","dir":true,"modifiedIndex":7,"createdIndex":7}],"modifiedIndex":5,"createdIndex":5},{"key":"/e","value":"","modifiedIndex":8,"createdIndex":8}]}}"#;
    assert_eq!(text(&write_tree(&root, EXPIRES)), format!("{json}\n"));
}

#[test]
fn writes_errors_as_etcd_does() {
    for (code, cause, index, status, json) in [
        (
            ErrorCode::KeyNotFound,
            "/nope",
            11,
            404,
            r#"{"errorCode":100,"message":"Key not found","cause":"/nope","index":11}"#,
        ),
        (
            ErrorCode::InvalidForm,
            "invalid URL escape \"%4\\\"\"",
            0,
            400,
            r#"{"errorCode":210,"message":"Invalid POST form","cause":"invalid URL escape \"%4\\\"\"","index":0}"#,
        ),
        (
            ErrorCode::CompareFailed,
            "[zz != baz] [99 != 5]",
            6,
            412,
            r#"{"errorCode":101,"message":"Compare failed","cause":"[zz != baz] [99 != 5]","index":6}"#,
        ),
        (
            ErrorCode::RaftInternal,
            "",
            0,
            500,
            r#"{"errorCode":300,"message":"Raft Internal Error","index":0}"#,
        ),
    ] {
        let cause = cause.to_owned();
        let index = Revision(index);
        let (written_status, body) = write_refusal(&Refusal { code, cause, index });
        assert_eq!(
            (written_status, text(&body)),
            (status, &*format!("{json}\n"))
        );
    }
    let (status, body) = write_refusal(&super::unauthorized());
    let json = r#"{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}"#;
    assert_eq!((status, text(&body)), (401, &*format!("{json}\n")));
}

#[test]
fn raw_bytes_are_of_keys_only() {
    let mut tree = Tree {
        node: node("/a", value(b"\xff\0"), 4, 4),
        children: Vec::new(),
    };
    assert_eq!(
        value_octets(&tree, Revision(9)),
        Ok(Bytes::from_static(b"\xff\0"))
    );
    tree.node.content = Content::Directory;
    let refusal = value_octets(&tree, Revision(9)).expect_err("a directory has no value");
    assert_eq!(
        (refusal.code, &*refusal.cause, refusal.index.0),
        (ErrorCode::NotAFile, "/a", 9)
    );
}

#[test]
fn frames_server_sent_events() {
    let created = event(Action::Set, node("/a", value(b"x\ny"), 4, 4), None);
    let framed = server_sent_events::write(&created, EXPIRES);
    let json =
        r#"{"action":"set","node":{"key":"/a","value":"x\ny","modifiedIndex":4,"createdIndex":4}}"#;
    assert_eq!(
        text(&framed),
        format!("id: 4\nevent: set\ndata: {json}\n\n")
    );
}

#[test]
fn links_to_the_next_page() {
    assert_eq!(
        next_page_link("/a b", true, 10, "/a b/c&d"),
        "</v2/keys/a%20b?recursive=true&limit=10&after=%2Fa+b%2Fc%26d>; rel=\"next\""
    );
    assert!(next_page_link("/", false, 1, "/x").starts_with("</v2/keys?"));
}
