//! Transactions, ranges and leases of etcd v3, with the answers that etcd 3.4.23 gave through its
//! JSON gateway.
use bytes::Bytes;
use kv_model::command::{
    CompareTarget, Direction, KeyRange, LeaseChoice, LeaseTerm, Operation, OrderBy, Relation,
    Transaction,
};
use kv_model::event::Content;
use kv_model::memory_tables::MemoryTables;
use kv_model::outcome::OperationReply;
use kv_model::{Action, Command, ErrorCode, LeaseEpoch, LeaseId, Reply, Revision, query};

use crate::fixture::*;

fn nested(success: Vec<Operation>, failure: Vec<Operation>) -> Operation {
    Operation::Nested(Transaction {
        compares: Vec::new(),
        success,
        failure,
    })
}

fn read(keys: KeyRange) -> Operation {
    Operation::Range(query_of(keys))
}

/// Keys a, b, c (twice) and n, each written by a transaction of its own.
fn some_keys() -> MemoryTables {
    let mut tables = MemoryTables::default();
    for (key, text) in [("a", "3"), ("b", "1"), ("c", "2"), ("n", "0"), ("c", "2")] {
        must(&mut tables, &transaction(vec![put(key, text)]));
    }
    tables
}

#[test]
fn a_transaction_has_one_revision_and_sees_what_it_writes() {
    let mut tables = MemoryTables::default();
    let operations = vec![
        put("a", "1"),
        read(single("a")),
        put("b", "1"),
        read(between("a", "z")),
    ];
    let reply = replies(&mut tables, &transaction(operations));
    assert!(reply.succeeded);
    assert_eq!((reply.revision, revision(&tables)), (Revision(2), 2));
    assert_eq!(reply.replies[0], OperationReply::Put(None));
    assert_eq!(keys_of(&reply.replies[1]), ["a"]);
    assert_eq!(keys_of(&reply.replies[3]), ["a", "b"]);
}

#[test]
fn what_changes_nothing_takes_no_revision() {
    let mut tables = some_keys();
    let command = transaction(vec![
        remove(single("x")),
        remove(single("x")),
        nested(vec![], vec![]),
    ]);
    let applied = apply(&mut tables, &command);
    assert!(applied.events.is_empty());
    let reply = replies(&mut tables, &command);
    assert_eq!((reply.revision, revision(&tables)), (Revision(6), 6));
    assert_eq!(reply.replies[0], OperationReply::DeleteRange(0, vec![]));
}

#[test]
fn a_key_is_written_once() {
    let mut tables = MemoryTables::default();
    let a = || put("a", "1");
    for operations in [
        vec![a(), put("a", "2")],
        vec![a(), remove(between("a", "b"))],
        vec![nested(vec![a()], vec![]), a()],
        vec![nested(vec![a()], vec![]), nested(vec![], vec![a()])],
        vec![remove(between("a", "z")), nested(vec![a()], vec![])],
        vec![nested(vec![remove(between("a", "z"))], vec![]), a()],
    ] {
        let outcome = apply(&mut tables, &transaction(operations)).outcome;
        assert_eq!(refused(outcome), (ErrorCode::DuplicateKey, "a".to_owned()));
    }
    let branches = nested(vec![a()], vec![put("a", "2")]);
    let reply = replies(&mut tables, &transaction(vec![branches, put("c", "1")]));
    assert_eq!(reply.revision, Revision(2));
}

#[test]
fn the_branch_not_taken_is_checked_too() {
    let mut tables = MemoryTables::default();
    let failure = vec![put("a", "1"), put("a", "2")];
    let command = Command::Transaction(Transaction {
        failure,
        ..Transaction::default()
    });
    let (code, _) = refused(apply(&mut tables, &command).outcome);
    assert_eq!(code, ErrorCode::DuplicateKey);
}

#[test]
fn transactions_inside_have_an_end() {
    let mut tables = MemoryTables::default();
    let mut operation = nested(vec![], vec![]);
    for _ in 0..100 {
        operation = nested(vec![operation], vec![]);
    }
    let (code, _) = refused(apply(&mut tables, &transaction(vec![operation])).outcome);
    assert_eq!(code, ErrorCode::InvalidField);
}

#[test]
fn compares() {
    use CompareTarget::{Created, Lease, Modified, Value, Version};
    use Relation::{Equal, Greater, Less, NotEqual};
    let mut tables = some_keys();
    let value = |text: &'static str| Value(Bytes::from_static(text.as_bytes()));
    let cases = [
        ("c", Equal, Version(2), true),
        ("c", Greater, Version(2), false),
        ("c", Less, Version(3), true),
        ("c", Equal, Created(Revision(4)), true),
        ("c", Equal, Modified(Revision(6)), true),
        ("c", NotEqual, Modified(Revision(6)), false),
        ("c", Equal, value("2"), true),
        ("c", Greater, value("1"), true),
        ("c", Equal, Lease(None), true),
        ("none", Equal, Version(0), true),
        ("none", Equal, Created(Revision(0)), true),
        ("none", Less, Modified(Revision(1)), true),
        ("none", Equal, Lease(None), true),
        ("none", NotEqual, value("x"), false),
        ("none", Equal, value(""), false),
    ];
    for (key, relation, target, expected) in cases {
        let compares = vec![compare(single(key), relation, target)];
        let command = Command::Transaction(Transaction {
            compares,
            ..Transaction::default()
        });
        let reply = replies(&mut tables, &command);
        assert_eq!(reply.succeeded, expected, "{command:?}");
    }
}

#[test]
fn every_key_of_a_compared_range_must_fulfil_it() {
    let mut tables = some_keys();
    for (version, expected) in [(0, true), (1, false)] {
        let target = CompareTarget::Version(version);
        let compares = vec![compare(between("a", "z"), Relation::Greater, target)];
        let command = Command::Transaction(Transaction {
            compares,
            success: vec![read(single("a"))],
            failure: vec![],
        });
        let reply = replies(&mut tables, &command);
        assert_eq!(
            (reply.succeeded, reply.replies.len()),
            (expected, usize::from(expected))
        );
    }
}

#[test]
fn a_put_may_keep_what_it_does_not_say() {
    let mut tables = some_keys();
    let put = |key: &'static str| Operation::Put {
        key: Bytes::from_static(key.as_bytes()),
        value: None,
        lease: LeaseChoice::None,
        want_previous: false,
    };
    let reply = replies(&mut tables, &transaction(vec![put("c"), read(single("c"))]));
    let OperationReply::Range(range) = &reply.replies[1] else {
        panic!("no range");
    };
    assert_eq!(
        range.nodes[0].content,
        Content::Value(Bytes::from_static(b"2"))
    );
    assert_eq!(
        (range.nodes[0].version, range.nodes[0].modified),
        (3, Revision(7))
    );
    let outcome = apply(&mut tables, &transaction(vec![put("c"), put("missing")])).outcome;
    assert_eq!(
        refused(outcome),
        (ErrorCode::KeyNotFound, "missing".to_owned())
    );
}

#[test]
fn removed_keys_are_told_and_gone() {
    let mut tables = some_keys();
    let operations = vec![remove(between("b", "d")), read(between("a", "z"))];
    let command = transaction(operations);
    let mut other = tables.clone();
    let told = events(&mut other, &command);
    let told = told
        .iter()
        .map(|event| (event.action, text(&event.node.key), &event.node.content));
    let gone = &Content::Gone;
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (Action::Delete, "b".to_owned(), gone),
            (Action::Delete, "c".to_owned(), gone)
        ]
    );
    let reply = replies(&mut tables, &command);
    let OperationReply::DeleteRange(count, previous) = &reply.replies[0] else {
        panic!("no removal");
    };
    assert_eq!((*count, previous.len(), previous[1].version), (2, 2, 2));
    assert_eq!(keys_of(&reply.replies[1]), ["a", "n"]);
}

#[test]
fn ranges() {
    let tables = some_keys();
    let all = || query_of(between("a", "z"));
    let read = |query: &_| {
        let reply = query::range(&tables, query, None).unwrap().unwrap();
        let (more, count) = (reply.more, reply.count);
        (keys_of(&OperationReply::Range(reply)).concat(), more, count)
    };
    let found = |keys: &str, more, count| (keys.to_owned(), more, count);
    assert_eq!(read(&all()), found("abcn", false, 4));
    let mut query = all();
    query.limit = 4;
    assert_eq!(read(&query), found("abcn", false, 4));
    query.limit = 1;
    assert_eq!(read(&query), found("a", true, 4));
    query.modified.0 = Revision(3);
    assert_eq!(read(&query), found("b", true, 4));
    query.limit = 0;
    assert_eq!(read(&query), found("bcn", false, 4));
    query.created.1 = Revision(4);
    assert_eq!(read(&query), found("bc", false, 4));
    let mut query = all();
    for (by, expected) in [
        (OrderBy::Key, "abcn"),
        (OrderBy::Version, "abnc"),
        (OrderBy::Created, "abcn"),
        (OrderBy::Modified, "abnc"),
        (OrderBy::Value, "nbca"),
    ] {
        query.order.by = by;
        query.order.direction = Direction::Ascending;
        assert_eq!(read(&query), found(expected, false, 4));
    }
    query.order.direction = Direction::Descending;
    query.limit = 2;
    assert_eq!(read(&query), found("ac", true, 4));
    query.count_only = true;
    assert_eq!(read(&query), found("", false, 4));
    assert_eq!(read(&query_of(between("z", "a"))), found("", false, 0));
    assert_eq!(
        read(&query_of(KeyRange::From(Bytes::from_static(b"c")))),
        found("cn", false, 2)
    );
    assert_eq!(read(&query_of(single("x"))), found("", false, 0));
}

#[test]
fn keys_only_leaves_values_out() {
    let tables = some_keys();
    let mut query = query_of(single("a"));
    query.keys_only = true;
    let reply = query::range(&tables, &query, None).unwrap().unwrap();
    assert_eq!(reply.nodes[0].content, Content::Gone);
}

#[test]
fn a_lease_holds_its_keys_until_it_is_revoked() {
    let mut tables = MemoryTables::default();
    let lease = LeaseChoice::Lease(LeaseId(77));
    let under = |key| transaction(vec![put_under(key, "1", lease)]);
    let outcome = apply(&mut tables, &under("l")).outcome;
    assert_eq!(
        refused(outcome),
        (ErrorCode::LeaseNotFound, "000000000000004d".to_owned())
    );
    assert_eq!(grant(&mut tables, 77), LeaseEpoch(1));
    assert_eq!(revision(&tables), 1);
    for key in ["l", "m", "n"] {
        must(&mut tables, &under(key));
    }
    // One keeps it, another leaves it.
    must(
        &mut tables,
        &transaction(vec![put_under("l", "2", LeaseChoice::Keep)]),
    );
    must(&mut tables, &transaction(vec![put("m", "2")]));
    assert_eq!(
        query::leased_keys(&tables, LeaseId(77)).unwrap(),
        ["l", "n"]
    );
    let again = Command::GrantLease {
        id: LeaseId(77),
        ttl_seconds: 1,
    };
    assert_eq!(
        refused(apply(&mut tables, &again).outcome).0,
        ErrorCode::LeaseExists
    );

    let applied = apply(&mut tables, &Command::RevokeLease { id: LeaseId(77) });
    assert_eq!(applied.outcome, Ok(Reply::LeaseRevoked(Revision(7))));
    let told: Vec<_> = applied
        .events
        .iter()
        .map(|event| (event.revision.0, event.action))
        .collect();
    assert_eq!(told, [(7, Action::Delete), (7, Action::Delete)]);
    let left = query::range(&tables, &query_of(between("a", "z")), None)
        .unwrap()
        .unwrap();
    assert_eq!(keys_of(&OperationReply::Range(left)), ["m"]);
    let outcome = apply(&mut tables, &Command::RevokeLease { id: LeaseId(77) }).outcome;
    assert_eq!(refused(outcome).0, ErrorCode::LeaseNotFound);
}

#[test]
fn leases_next_to_each_other_do_not_mix() {
    let mut tables = MemoryTables::default();
    for id in [-1, 1, i64::MAX] {
        grant(&mut tables, id);
        let lease = LeaseChoice::Lease(LeaseId(id));
        must(
            &mut tables,
            &transaction(vec![put_under(&format!("k{id}"), "", lease)]),
        );
    }
    let ids: Vec<_> = query::leases(&tables)
        .unwrap()
        .iter()
        .map(|lease| lease.id.0)
        .collect();
    assert_eq!(ids, [-1, 1, i64::MAX]);
    for id in ids {
        let keys = query::leased_keys(&tables, LeaseId(id)).unwrap();
        assert_eq!(keys, [format!("k{id}")]);
    }
    assert_eq!(query::leased_keys(&tables, LeaseId(0)).unwrap().len(), 0);
}

#[test]
fn an_expired_lease_is_that_grant_and_no_later_one() {
    let mut tables = MemoryTables::default();
    let first = grant(&mut tables, 5);
    must(&mut tables, &Command::RevokeLease { id: LeaseId(5) });
    // Neither changed a key.
    assert_eq!(revision(&tables), 1);
    let second = grant(&mut tables, 5);
    let lease = LeaseChoice::Lease(LeaseId(5));
    must(&mut tables, &transaction(vec![put_under("/k", "", lease)]));
    let expire = |epoch| Command::Expire {
        now: NOW,
        leases: vec![LeaseTerm {
            id: LeaseId(5),
            epoch,
        }],
    };
    let before = revision(&tables);
    assert_eq!(must(&mut tables, &expire(first)), Reply::Expired(0));
    assert_eq!(revision(&tables), before);
    let applied = apply(&mut tables, &expire(second));
    assert_eq!(applied.outcome, Ok(Reply::Expired(1)));
    assert_eq!(applied.events[0].action, Action::Expire);
    assert_eq!(query::lease(&tables, LeaseId(5)).unwrap(), None);
}

#[test]
fn compaction() {
    let mut tables = some_keys();
    let compact = |revision| Command::Compact(Revision(revision));
    assert_eq!(
        refused(apply(&mut tables, &compact(99)).outcome).0,
        ErrorCode::FutureRevision
    );
    assert_eq!(
        must(&mut tables, &compact(3)),
        Reply::Compacted(Revision(3))
    );
    assert_eq!(
        refused(apply(&mut tables, &compact(3)).outcome).0,
        ErrorCode::Compacted
    );
    assert_eq!(query::compacted(&tables).unwrap(), Revision(3));
    assert_eq!(revision(&tables), 6);
}
