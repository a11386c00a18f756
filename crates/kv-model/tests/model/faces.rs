//! How v2 and v3 see each other's keys.
//!
//! Real etcd has two stores and cannot be asked.
use bytes::Bytes;
use kv_model::command::{KeyAction, LeaseChoice};
use kv_model::event::Content;
use kv_model::memory_tables::MemoryTables;
use kv_model::path::DEPTH_MAX;
use kv_model::query::{self, Tree};
use kv_model::{Action, ErrorCode, LeaseId, UnixNanoseconds};

use crate::fixture::*;

/// Every path below the root, directories with a slash at the end.
fn listed(tables: &MemoryTables) -> Vec<String> {
    fn collect(trees: &[Tree], into: &mut Vec<String>) {
        for tree in trees {
            let mark = if tree.node.content == Content::Directory {
                "/"
            } else {
                ""
            };
            into.push(format!("{}{mark}", text(&tree.node.key)));
            collect(&tree.children, into);
        }
    }
    let mut all = Vec::new();
    let page = query::tree(tables, &recursive("/")).unwrap().unwrap();
    collect(&page.tree.children, &mut all);
    all
}

fn put_all(tables: &mut MemoryTables, keys: &[&str]) {
    for key in keys {
        must(tables, &transaction(vec![put(key, "3")]));
    }
}

#[test]
fn v2_lists_what_v3_wrote_if_it_is_a_path() {
    let mut tables = MemoryTables::default();
    put_all(
        &mut tables,
        &["/a/b/c", "k", "/", "/a/", "/a//b", "/x/./y", "", "/é"],
    );
    assert_eq!(listed(&tables), ["/a/", "/a/b/", "/a/b/c", "/é"]);
    let invalid = transaction(vec![kv_model::command::Operation::Put {
        key: Bytes::from_static(b"/\xff/b"),
        value: Some(Bytes::new()),
        lease: LeaseChoice::None,
        want_previous: false,
    }]);
    must(&mut tables, &invalid);
    assert_eq!(listed(&tables).len(), 4);
}

#[test]
fn implied_directories_vanish_with_the_last_key() {
    let mut tables = MemoryTables::default();
    put_all(&mut tables, &["/a/b/c", "/a/d"]);
    must(&mut tables, &transaction(vec![remove(single("/a/b/c"))]));
    assert_eq!(listed(&tables), ["/a/", "/a/d"]);
    must(&mut tables, &delete("/a/d", false, false));
    assert_eq!(listed(&tables), Vec::<String>::new());
}

#[test]
fn a_directory_that_v2_wrote_into_stays() {
    let mut tables = MemoryTables::default();
    put_all(&mut tables, &["/a/b/c"]);
    must(&mut tables, &set("/a/b/d", "2"));
    must(&mut tables, &transaction(vec![remove(between("/", "0"))]));
    assert_eq!(listed(&tables), ["/a/", "/a/b/"]);
}

#[test]
fn a_key_with_keys_below_it_is_a_directory_to_v2() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set("/a", "file"));
    let outcome = apply(&mut tables, &set("/a/b", "2")).outcome;
    assert_eq!(
        refused(outcome),
        (ErrorCode::NotADirectory, "/a".to_owned())
    );
    put_all(&mut tables, &["/a/b"]);
    assert_eq!(listed(&tables), ["/a/", "/a/b"]);
    let outcome = apply(&mut tables, &set("/a", "2")).outcome;
    assert_eq!(refused(outcome), (ErrorCode::NotAFile, "/a".to_owned()));
    // v3 still has both, and v2 sees the key again when what hid it is gone.
    let keys = query::range(&tables, &query_of(between("/", "0")), None)
        .unwrap()
        .unwrap();
    assert_eq!(keys.count, 2);
    must(&mut tables, &transaction(vec![remove(single("/a/b"))]));
    assert_eq!(listed(&tables), ["/a"]);
}

#[test]
fn removing_a_directory_removes_the_key_it_hid() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set("/a", "file"));
    put_all(&mut tables, &["/a/b/c", "/a//x"]);
    let applied = apply(&mut tables, &delete("/a", true, true));
    let [event] = &applied.events[..] else {
        panic!("one event: {:?}", applied.events);
    };
    let removed = event.removed_keys.iter().map(|node| text(&node.key));
    assert_eq!(removed.collect::<Vec<_>>(), ["/a", "/a/b", "/a/b/c"]);
    assert_eq!(event.node.content, Content::DirectoryGone);
    assert_eq!(listed(&tables), Vec::<String>::new());
    // What v2 cannot see, it does not remove.
    let left = query::range(&tables, &query_of(between("/", "0")), None)
        .unwrap()
        .unwrap();
    assert_eq!(left.nodes.len(), 1);
    assert_eq!(text(&left.nodes[0].key), "/a//x");
}

#[test]
fn a_write_of_v2_takes_a_key_off_its_lease() {
    let mut tables = MemoryTables::default();
    grant(&mut tables, 1);
    let lease = LeaseChoice::Lease(LeaseId(1));
    must(&mut tables, &transaction(vec![put_under("/k", "1", lease)]));
    must(&mut tables, &set("/k", "2"));
    assert!(query::leased_keys(&tables, LeaseId(1)).unwrap().is_empty());
}

#[test]
fn a_put_of_v3_makes_a_key_permanent_unless_it_keeps_its_lease() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set_until("/k", "1", Some(after_seconds(5))));
    must(
        &mut tables,
        &transaction(vec![put_under("/k", "2", LeaseChoice::Keep)]),
    );
    assert_eq!(
        query::next_deadline(&tables).unwrap(),
        Some(after_seconds(5))
    );
    must(&mut tables, &transaction(vec![put("/k", "3")]));
    assert_eq!(query::next_deadline(&tables).unwrap(), None);
}

#[test]
fn indexes_of_v2_and_revisions_of_v3_count_apart() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set("/k", "1"));
    let event = &events(&mut tables, &set("/k", "2"))[0];
    assert_eq!(
        (event.node.created_index.0, event.node.create_revision.0),
        (3, 2)
    );
    assert_eq!(event.node.version, 2);
    let event = &events(&mut tables, &transaction(vec![put("/k", "3")]))[0];
    assert_eq!(
        (event.node.created_index.0, event.node.create_revision.0),
        (4, 2)
    );
    assert_eq!((event.action, event.node.version), (Action::Set, 3));
    let event = &events(&mut tables, &delete("/k", false, false))[0];
    assert_eq!((event.node.version, event.node.create_revision.0), (0, 0));
    assert_eq!(event.previous.as_ref().map(|node| node.version), Some(3));
}

#[test]
fn paths_that_are_none_are_refused() {
    let mut tables = MemoryTables::default();
    let deep = "/a".repeat(DEPTH_MAX + 1);
    for path in ["", "a", "/a/", "/a//b", "/a/../b", deep.as_str()] {
        let (code, cause) = refused(apply(&mut tables, &set(path, "1")).outcome);
        assert_eq!((code, cause.as_str()), (ErrorCode::InvalidField, path));
    }
    let deepest = "/a".repeat(DEPTH_MAX);
    must(&mut tables, &make_directory(&deepest, None));
    let content = value("1");
    let expires: Option<UnixNanoseconds> = None;
    let below = write(&deepest, KeyAction::CreateInOrder { content, expires });
    assert_eq!(
        refused(apply(&mut tables, &below).outcome).0,
        ErrorCode::InvalidField
    );
    assert_eq!(listed(&tables).len(), DEPTH_MAX);
}

/// The keys that v3 sees.
fn keys_of_v3(tables: &MemoryTables) -> Vec<String> {
    let all = query_of(kv_model::command::KeyRange::From(Bytes::new()));
    let reply = query::range(tables, &all, None).unwrap().unwrap();
    reply.nodes.iter().map(|node| text(&node.key)).collect()
}

#[test]
fn v3_sees_hidden_keys_and_no_directories() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set("/a/_hidden/b", "1"));
    must(&mut tables, &make_directory("/empty", None));
    assert_eq!(listed(&tables), ["/a/", "/empty/"]);
    assert_eq!(keys_of_v3(&tables), ["/a/_hidden/b"]);
    // What v3 writes under a hidden name is hidden from v2 too.
    put_all(&mut tables, &["/_x/y"]);
    assert_eq!(listed(&tables), ["/a/", "/empty/"]);
}

#[test]
fn a_directory_that_v2_puts_in_a_keys_place_removes_the_key_for_v3() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set("/a", "1"));
    let content = kv_model::command::NewContent::Directory;
    let expires = None;
    let replaced = write("/a", KeyAction::Set { content, expires });
    let event = &events(&mut tables, &replaced)[0];
    let changes: Vec<_> = event.key_changes().collect();
    assert_eq!((changes.len(), text(changes[0].key).as_str()), (1, "/a"));
    assert!(changes[0].before.is_some() && changes[0].after.is_none());
    assert_eq!(keys_of_v3(&tables), [""; 0]);
}

#[test]
fn a_renewed_time_to_live_is_a_put_to_v3() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set_until("/k", "1", Some(after_seconds(5))));
    let expires = Some(after_seconds(9));
    let renew = KeyAction::Update {
        value: None,
        expires,
        refresh: true,
    };
    let event = &events(&mut tables, &write("/k", renew))[0];
    assert!(event.refresh);
    let after = event.key_changes().next().and_then(|change| change.after);
    let after = after.expect("a put");
    assert_eq!((after.modified.0, after.version), (3, 2));
    assert_eq!(after.content, Content::Value(Bytes::from_static(b"1")));
}

#[test]
fn what_a_lease_takes_with_it_expires_for_v2_and_what_is_revoked_is_deleted() {
    let mut tables = MemoryTables::default();
    for (key, action) in [("/a", Action::Expire), ("/b", Action::Delete)] {
        let epoch = grant(&mut tables, 1);
        let lease = LeaseChoice::Lease(LeaseId(1));
        must(&mut tables, &transaction(vec![put_under(key, "1", lease)]));
        let ends = kv_model::command::LeaseTerm {
            id: LeaseId(1),
            epoch,
        };
        let command = match action {
            Action::Expire => kv_model::Command::Expire {
                now: NOW,
                leases: vec![ends],
            },
            _ => kv_model::Command::RevokeLease { id: LeaseId(1) },
        };
        let event = &events(&mut tables, &command)[0];
        assert_eq!(
            (text(&event.node.key).as_str(), event.action),
            (key, action)
        );
    }
}

#[test]
fn each_change_of_a_transaction_is_an_event_of_its_one_revision() {
    let mut tables = MemoryTables::default();
    put_all(&mut tables, &["/a"]);
    // A range without an end may be removed and written again at once, as in etcd.
    let everything = kv_model::command::KeyRange::From(Bytes::from_static(b"/"));
    let told = events(
        &mut tables,
        &transaction(vec![remove(everything), put("/a", "2"), put("/b", "3")]),
    );
    let told = told.iter();
    let told = told.map(|event| (event.action, text(&event.node.key), event.revision.0));
    let wanted = [
        (Action::Delete, "/a".to_owned(), 3),
        (Action::Set, "/a".to_owned(), 3),
        (Action::Set, "/b".to_owned(), 3),
    ];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
    let reply = query::range(&tables, &query_of(single("/a")), None);
    let reply = reply.unwrap().unwrap();
    assert_eq!(
        (reply.nodes[0].version, reply.nodes[0].create_revision.0),
        (1, 3)
    );
}
