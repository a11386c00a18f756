//! Random commands on few paths, keys, leases and moments, so that they meet each other often.
//!
//! Users and roles are not among them.
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

use crate::command::{
    Command, Compare, CompareTarget, Expected, KeyAction, KeyRange, KeyWrite, LeaseChoice,
    LeaseTerm, NewContent, Operation, Relation, Transaction,
};
use crate::memory_tables::MemoryTables;
use crate::query;
use crate::tables::{Table, Tables};
use crate::units::{LeaseEpoch, LeaseId, Revision, UnixNanoseconds};

/// Well after the moment before which etcd takes an expiration for a mistake.
const FIRST_MOMENT: i64 = 1_800_000_000_000_000_000;

pub(super) const PATHS: &[&str] = &[
    "/", "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a-b", "/a-b/c", "/d", "/d/e", "/_h", "/_h/x",
    "/a/_s",
];
const KEYS: &[&str] = &[
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/b/c/d/e",
    "/a-b",
    "/d",
    "/d/e",
    "/_h/x",
    "/a!/b",
    "/",
    "/a/",
    "/a//b",
    "/d/.",
    "k",
    "",
];

fn moment() -> impl Strategy<Value = UnixNanoseconds> {
    (0..6_i64).prop_map(|step| UnixNanoseconds(FIRST_MOMENT + step))
}

fn expires() -> impl Strategy<Value = Option<UnixNanoseconds>> {
    proptest::option::weighted(0.4, moment())
}

fn value() -> impl Strategy<Value = Bytes> {
    select(vec!["", "1", "2"]).prop_map(Bytes::from)
}

fn content() -> impl Strategy<Value = NewContent> {
    prop_oneof![
        3 => value().prop_map(NewContent::Value),
        1 => Just(NewContent::Directory),
    ]
}

fn expected() -> impl Strategy<Value = Expected> {
    let index = proptest::option::of((0..8_u64).prop_map(Revision));
    (proptest::option::of(value()), index).prop_map(|(value, index)| Expected { value, index })
}

fn action() -> impl Strategy<Value = KeyAction> {
    let value = || proptest::option::of(value());
    prop_oneof![
        4 => (content(), expires())
            .prop_map(|(content, expires)| KeyAction::Set { content, expires }),
        2 => (content(), expires())
            .prop_map(|(content, expires)| KeyAction::Create { content, expires }),
        1 => (content(), expires())
            .prop_map(|(content, expires)| KeyAction::CreateInOrder { content, expires }),
        1 => expires().prop_map(|expires| KeyAction::SetRefresh { expires }),
        2 => (value(), expires(), any::<bool>()).prop_map(|(value, expires, refresh)| {
            KeyAction::Update { value, expires, refresh }
        }),
        2 => (expected(), value(), expires(), any::<bool>()).prop_map(
            |(expected, value, expires, refresh)| KeyAction::CompareAndSwap {
                expected,
                value,
                expires,
                refresh,
            }
        ),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(directory, recursive)| {
            KeyAction::Delete { directory, recursive }
        }),
        1 => expected().prop_map(|expected| KeyAction::CompareAndDelete { expected }),
    ]
}

pub(super) fn all_keys() -> impl Iterator<Item = Bytes> {
    KEYS.iter().map(|key| Bytes::from_static(key.as_bytes()))
}

pub(super) fn key() -> impl Strategy<Value = Bytes> {
    select(KEYS).prop_map(|key| Bytes::from_static(key.as_bytes()))
}

pub(super) fn keys() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        key().prop_map(KeyRange::Single),
        (key(), key()).prop_map(|(from, to)| KeyRange::HalfOpen(from, to)),
        key().prop_map(KeyRange::From),
    ]
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (1..3_i64).prop_map(LeaseId)
}

fn put() -> impl Strategy<Value = Operation> {
    let choice = prop_oneof![
        2 => Just(LeaseChoice::None),
        1 => Just(LeaseChoice::Keep),
        3 => lease().prop_map(LeaseChoice::Lease),
    ];
    let value = proptest::option::weighted(0.8, value());
    (key(), value, choice).prop_map(|(key, value, lease)| Operation::Put {
        key,
        value,
        lease,
        want_previous: true,
    })
}

fn transaction(depth: u32) -> BoxedStrategy<Transaction> {
    let delete = keys().prop_map(|keys| Operation::DeleteRange {
        keys,
        want_previous: false,
    });
    let operation = if depth == 0 {
        prop_oneof![4 => put(), 1 => delete].boxed()
    } else {
        let nested = transaction(depth - 1).prop_map(Operation::Nested);
        prop_oneof![4 => put(), 1 => delete, 1 => nested].boxed()
    };
    let compare = (keys(), 0..3_u64).prop_map(|(keys, version)| Compare {
        keys,
        relation: Relation::Equal,
        target: CompareTarget::Version(version),
    });
    let operations = || proptest::collection::vec(operation.clone(), 0..3);
    (proptest::option::of(compare), operations(), operations())
        .prop_map(|(compare, success, failure)| Transaction {
            compares: compare.into_iter().collect(),
            success,
            failure,
        })
        .boxed()
}

fn command() -> impl Strategy<Value = Command> {
    let term = (lease(), 0..4_u64).prop_map(|(id, epoch)| LeaseTerm {
        id,
        epoch: LeaseEpoch(epoch),
    });
    let terms = proptest::collection::vec(term, 0..2);
    prop_oneof![
        8 => (select(PATHS), action()).prop_map(|(path, action)| {
            Command::Write(KeyWrite { path: path.to_owned(), action })
        }),
        6 => transaction(1).prop_map(Command::Transaction),
        2 => lease().prop_map(|id| Command::GrantLease { id, ttl_seconds: 9 }),
        1 => lease().prop_map(|id| Command::RevokeLease { id }),
        1 => (moment(), terms).prop_map(|(now, leases)| Command::Expire { now, leases }),
        1 => (0..9_u64).prop_map(|revision| Command::Compact(Revision(revision))),
    ]
}

pub(super) fn sequence() -> impl Strategy<Value = Vec<Command>> {
    proptest::collection::vec(command(), 1..40)
}

/// Commands that remove everything there is.
pub(super) fn remove_all(tables: &MemoryTables) -> Vec<Command> {
    let mut commands = vec![Command::Transaction(Transaction {
        success: vec![Operation::DeleteRange {
            keys: KeyRange::From(Bytes::new()),
            want_previous: false,
        }],
        ..Transaction::default()
    })];
    let leases = query::leases(tables).unwrap();
    commands.extend(
        leases
            .iter()
            .map(|lease| Command::RevokeLease { id: lease.id }),
    );
    for row in tables.range(Table::Directories, b"", None) {
        let (path, row) = row.unwrap();
        let path = String::from_utf8(path.into()).unwrap();
        let record = crate::record::directory::DirectoryRecord::decode(b"", &row).unwrap();
        // Implied ones go with the keys, and the deeper with those above.
        let is_top = path.rfind('/') == Some(0);
        if is_top && record.origin == crate::record::directory::Origin::Made {
            let action = KeyAction::Delete {
                directory: true,
                recursive: true,
            };
            commands.push(Command::Write(KeyWrite { path, action }));
        }
    }
    commands
}
