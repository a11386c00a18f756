//! Tables in memory and short ways to write commands.
//!
//! Nothing here asserts more than that the tables can be read.
use std::collections::BTreeMap;

use bytes::Bytes;
use kv_model::command::{
    Compare, CompareTarget, Direction, KeyAction, KeyRange, KeyWrite, LeaseChoice, NewContent,
    Operation, Order, OrderBy, RangeQuery, Relation, Transaction,
};
use kv_model::memory_tables::MemoryTables;
use kv_model::outcome::{OperationReply, Outcome, TransactionReply};
use kv_model::query::{self, TreeQuery};
use kv_model::{
    Applied, Command, ErrorCode, Event, LeaseEpoch, LeaseId, Reply, Revision, Table, Tables,
    UnixNanoseconds,
};

/// The moment at which tests happen.
pub(crate) const NOW: UnixNanoseconds = UnixNanoseconds(1_800_000_000_000_000_000);
const SECOND_NANOSECONDS: i64 = 1_000_000_000;

/// So many seconds after [`NOW`].
pub(crate) fn after_seconds(seconds: i64) -> UnixNanoseconds {
    UnixNanoseconds(NOW.0 + seconds * SECOND_NANOSECONDS)
}

pub(crate) fn seconds_left(at: UnixNanoseconds) -> i64 {
    (at.0 - NOW.0) / SECOND_NANOSECONDS
}

pub(crate) fn apply(tables: &mut MemoryTables, command: &Command) -> Applied {
    kv_model::apply(tables, command).expect("tables in memory can be read")
}

/// The reply of a command that must not be refused.
pub(crate) fn must(tables: &mut MemoryTables, command: &Command) -> Reply {
    apply(tables, command).outcome.expect("carried out")
}

pub(crate) fn events(tables: &mut MemoryTables, command: &Command) -> Vec<Event> {
    apply(tables, command).events
}

pub(crate) fn refused(outcome: Outcome) -> (ErrorCode, String) {
    let refusal = outcome.expect_err("refused");
    (refusal.code, refusal.cause)
}

pub(crate) fn revision(tables: &MemoryTables) -> u64 {
    query::revision(tables).expect("readable").0
}

/// All rows of all tables.
pub(crate) fn rows(tables: &MemoryTables) -> BTreeMap<(Table, Bytes), Bytes> {
    let of = |table| {
        let rows = tables.range(table, b"", None);
        rows.map(move |row| row.map(|(key, row)| ((table, key), row)).expect("readable"))
    };
    Table::ALL.into_iter().flat_map(of).collect()
}

pub(crate) fn write(path: &str, action: KeyAction) -> Command {
    let path = path.to_owned();
    Command::Write(KeyWrite { path, action })
}

pub(crate) fn value(text: &str) -> NewContent {
    NewContent::Value(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn set(path: &str, text: &str) -> Command {
    set_until(path, text, None)
}

pub(crate) fn set_until(path: &str, text: &str, expires: Option<UnixNanoseconds>) -> Command {
    let content = value(text);
    write(path, KeyAction::Set { content, expires })
}

pub(crate) fn make_directory(path: &str, expires: Option<UnixNanoseconds>) -> Command {
    let content = NewContent::Directory;
    write(path, KeyAction::Create { content, expires })
}

pub(crate) fn delete(path: &str, directory: bool, recursive: bool) -> Command {
    let action = KeyAction::Delete {
        directory,
        recursive,
    };
    write(path, action)
}

pub(crate) fn expire(now: UnixNanoseconds) -> Command {
    let leases = Vec::new();
    Command::Expire { now, leases }
}

pub(crate) fn put_under(key: &str, text: &str, lease: LeaseChoice) -> Operation {
    Operation::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some(Bytes::copy_from_slice(text.as_bytes())),
        lease,
        want_previous: true,
    }
}

pub(crate) fn put(key: &str, text: &str) -> Operation {
    put_under(key, text, LeaseChoice::None)
}

pub(crate) fn single(key: &str) -> KeyRange {
    KeyRange::Single(Bytes::copy_from_slice(key.as_bytes()))
}

pub(crate) fn between(from: &str, to: &str) -> KeyRange {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    KeyRange::HalfOpen(bytes(from), bytes(to))
}

pub(crate) fn remove(keys: KeyRange) -> Operation {
    Operation::DeleteRange {
        keys,
        want_previous: true,
    }
}

pub(crate) fn query_of(keys: KeyRange) -> RangeQuery {
    let none = (Revision(0), Revision(0));
    RangeQuery {
        keys,
        limit: 0,
        revision: None,
        order: Order {
            by: OrderBy::Key,
            direction: Direction::Unstated,
        },
        keys_only: false,
        count_only: false,
        modified: none,
        created: none,
    }
}

/// Operations without a condition.
pub(crate) fn transaction(success: Vec<Operation>) -> Command {
    Command::Transaction(Transaction {
        success,
        ..Transaction::default()
    })
}

pub(crate) fn compare(keys: KeyRange, relation: Relation, target: CompareTarget) -> Compare {
    Compare {
        keys,
        relation,
        target,
    }
}

/// The reply of a transaction that must not be refused.
pub(crate) fn replies(tables: &mut MemoryTables, command: &Command) -> TransactionReply {
    match must(tables, command) {
        Reply::Transaction(reply) => reply,
        other => panic!("not a transaction: {other:?}"),
    }
}

/// The keys that a range found.
pub(crate) fn keys_of(reply: &OperationReply) -> Vec<String> {
    match reply {
        OperationReply::Range(range) => range.nodes.iter().map(|node| text(&node.key)).collect(),
        other => panic!("not a range: {other:?}"),
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn grant(tables: &mut MemoryTables, id: i64) -> LeaseEpoch {
    let command = Command::GrantLease {
        id: LeaseId(id),
        ttl_seconds: 60,
    };
    match must(tables, &command) {
        Reply::LeaseGranted(_, epoch) => epoch,
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) fn recursive(path: &str) -> TreeQuery {
    TreeQuery {
        path: path.to_owned(),
        recursive: true,
        ..TreeQuery::default()
    }
}
