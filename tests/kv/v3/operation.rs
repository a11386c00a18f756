//! Random requests, as values that can be printed and asked of several servers.
//!
//! Revisions in them are counted from a beginning that each server has its own number for.

use etcd_client::{
    CompactionOptions, Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, SortOrder,
    SortTarget, Txn, TxnOp,
};
use fastrand::Rng;

/// No more than etcd's sorting keeps in order when they are equal.
const KEYS: &[&str] = &["a", "b", "ab", "a/b", "/a", "/a/b", "/b", "\u{0}", "é", "z"];
const ENDS: &[&str] = &["\u{0}", "a", "b", "/b", "c", "é", "\u{0}\u{0}"];
const VALUES: &[&str] = &["", "1", "2", "two", "\u{0}"];

/// One request.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Put(Put),
    Get(Get),
    Delete(Delete),
    Transaction(Transaction),
    Compact(Compact),
}

#[derive(Debug, Clone)]
pub(super) struct Compact {
    revision: i64,
    physical: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Put {
    key: &'static str,
    value: &'static str,
    previous: bool,
    keep_value: bool,
    keep_lease: bool,
    lease: i64,
}

#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // one for each of the protocol's
pub(super) struct Get {
    key: &'static str,
    end: Option<&'static str>,
    limit: i64,
    sort: Option<(SortTarget, SortOrder)>,
    keys_only: bool,
    count_only: bool,
    serializable: bool,
    /// At least and at most, of the last change and of the creation.
    bounds: [Option<i64>; 4],
    at: At,
}

/// Which state is read.
#[derive(Debug, Clone, Copy)]
enum At {
    Now,
    /// Of this revision, which may be past, compacted, or not there yet.
    Revision(i64),
    Future,
}

#[derive(Debug, Clone)]
pub(super) struct Delete {
    key: &'static str,
    end: Option<&'static str>,
    previous: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Transaction {
    compares: Vec<Condition>,
    success: Vec<Operation>,
    failure: Vec<Operation>,
}

#[derive(Debug, Clone)]
struct Condition {
    key: &'static str,
    end: Option<&'static str>,
    relation: CompareOp,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Version(i64),
    Created(i64),
    Modified(i64),
    Value(&'static str),
    Lease(i64),
}

fn one_of<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

fn seldom(rng: &mut Rng) -> bool {
    rng.u8(..12) == 0
}

fn key(rng: &mut Rng) -> &'static str {
    if rng.u8(..60) == 0 {
        return "";
    }
    one_of(rng, KEYS)
}

fn end(rng: &mut Rng) -> Option<&'static str> {
    rng.bool().then(|| one_of(rng, ENDS))
}

impl Operation {
    /// Any; `now` is the servers' revision.
    pub(super) fn random(rng: &mut Rng, now: i64) -> Self {
        Self::at_depth(rng, now, 0)
    }

    /// Any, seldom one that forgets the past.
    pub(super) fn random_or_compaction(rng: &mut Rng, now: i64) -> Self {
        if rng.u8(..80) == 0 {
            return Self::Compact(Compact::random(rng, now));
        }
        Self::random(rng, now)
    }

    fn at_depth(rng: &mut Rng, now: i64, depth: usize) -> Self {
        match rng.u8(..10) {
            0..=3 => Self::Put(Put::random(rng)),
            4..=6 => Self::Get(Get::random(rng, now)),
            7 => Self::Delete(Delete::random(rng)),
            _ if depth > 2 => Self::Get(Get::random(rng, now)),
            _ => Self::Transaction(Transaction::random(rng, now, depth)),
        }
    }

    fn into_op(self, base: i64) -> TxnOp {
        match self {
            Self::Put(put) => {
                let (key, value, options) = put.arguments();
                TxnOp::put(key, value, Some(options))
            }
            Self::Get(get) => {
                let (key, options) = get.arguments(base);
                TxnOp::get(key, Some(options))
            }
            Self::Delete(delete) => {
                let (key, options) = delete.arguments();
                TxnOp::delete(key, Some(options))
            }
            Self::Transaction(transaction) => TxnOp::txn(transaction.into_txn(base)),
            Self::Compact(_) => unreachable!("none is made for inside a transaction"),
        }
    }
}

impl Compact {
    fn random(rng: &mut Rng, now: i64) -> Self {
        let back = rng.i64(0..400);
        let revision = if seldom(rng) { now + 1 } else { now - back };
        Self {
            revision: revision.max(1),
            physical: rng.bool(),
        }
    }

    pub(super) fn arguments(self, base: i64) -> (i64, CompactionOptions) {
        let mut options = CompactionOptions::new();
        if self.physical {
            options = options.with_physical();
        }
        (base + self.revision, options)
    }
}

impl Put {
    fn random(rng: &mut Rng) -> Self {
        Self {
            key: key(rng),
            value: one_of(rng, VALUES),
            previous: rng.bool(),
            keep_value: seldom(rng),
            keep_lease: seldom(rng),
            lease: if seldom(rng) && seldom(rng) { 77 } else { 0 },
        }
    }

    pub(super) fn arguments(self) -> (&'static str, &'static str, PutOptions) {
        let mut options = PutOptions::new().with_lease(self.lease);
        if self.previous {
            options = options.with_prev_key();
        }
        if self.keep_value {
            options = options.with_ignore_value();
        }
        if self.keep_lease {
            options = options.with_ignore_lease();
        }
        (self.key, self.value, options)
    }
}

impl Get {
    fn random(rng: &mut Rng, now: i64) -> Self {
        let target = [
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ];
        let order = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
        let sort = (one_of(rng, &target), one_of(rng, &order));
        let sort = Some(sort).filter(|_| rng.bool());
        let bound = |rng: &mut Rng| seldom(rng).then(|| rng.i64(1..now + 2));
        Self {
            key: key(rng),
            end: end(rng),
            limit: if rng.bool() { rng.i64(-1..5) } else { 0 },
            sort,
            keys_only: seldom(rng),
            count_only: seldom(rng),
            serializable: rng.bool(),
            bounds: [bound(rng), bound(rng), bound(rng), bound(rng)],
            at: At::random(rng, now),
        }
    }

    pub(super) fn arguments(self, base: i64) -> (&'static str, GetOptions) {
        let mut options = GetOptions::new().with_limit(self.limit);
        if let Some(end) = self.end {
            options = options.with_range(end);
        }
        if let Some((target, order)) = self.sort {
            options = options.with_sort(target, order);
        }
        if self.keys_only {
            options = options.with_keys_only();
        }
        if self.count_only {
            options = options.with_count_only();
        }
        if self.serializable {
            options = options.with_serializable();
        }
        options = match self.at {
            At::Now => options,
            At::Revision(revision) => options.with_revision(base + revision),
            At::Future => options.with_revision(base + 1_000_000),
        };
        let [min_mod, max_mod, min_create, max_create] = self
            .bounds
            .map(|bound| bound.map_or(0, |bound| base + bound));
        options = options
            .with_min_mod_revision(min_mod)
            .with_max_mod_revision(max_mod)
            .with_min_create_revision(min_create)
            .with_max_create_revision(max_create);
        (self.key, options)
    }
}

impl At {
    fn random(rng: &mut Rng, now: i64) -> Self {
        match rng.u8(..24) {
            0 => Self::Future,
            1..=3 => Self::Revision(rng.i64(1..now + 3)),
            4..=8 => Self::Revision((now - rng.i64(0..20)).max(1)),
            _ => Self::Now,
        }
    }
}

impl Delete {
    fn random(rng: &mut Rng) -> Self {
        Self {
            key: key(rng),
            end: rng.bool().then(|| end(rng)).flatten(),
            previous: rng.bool(),
        }
    }

    pub(super) fn arguments(self) -> (&'static str, DeleteOptions) {
        let mut options = DeleteOptions::new();
        if let Some(end) = self.end {
            options = options.with_range(end);
        }
        if self.previous {
            options = options.with_prev_key();
        }
        (self.key, options)
    }
}

impl Transaction {
    fn random(rng: &mut Rng, now: i64, depth: usize) -> Self {
        let operations = |rng: &mut Rng| {
            let count = rng.usize(..4);
            let any = (0..count).map(|_| Operation::at_depth(rng, now, depth + 1));
            any.collect::<Vec<_>>()
        };
        let (success, failure) = (operations(rng), operations(rng));
        let count = rng.usize(..3);
        let compares = (0..count).map(|_| Condition::random(rng, now)).collect();
        Self {
            compares,
            success,
            failure,
        }
    }

    pub(super) fn into_txn(self, base: i64) -> Txn {
        let operations = |list: Vec<Operation>| {
            let list = list.into_iter().map(|one| one.into_op(base));
            list.collect::<Vec<_>>()
        };
        let compares = self.compares.into_iter().map(|one| one.into_compare(base));
        let mut txn = Txn::new();
        if compares.len() > 0 {
            txn = txn.when(compares.collect::<Vec<_>>());
        }
        if !self.success.is_empty() {
            txn = txn.and_then(operations(self.success));
        }
        if !self.failure.is_empty() {
            txn = txn.or_else(operations(self.failure));
        }
        txn
    }
}

impl Condition {
    fn random(rng: &mut Rng, now: i64) -> Self {
        let relations = [
            CompareOp::Equal,
            CompareOp::Greater,
            CompareOp::Less,
            CompareOp::NotEqual,
        ];
        let what = match rng.u8(..5) {
            0 => What::Version(rng.i64(-1..4)),
            1 => What::Created(rng.i64(-1..=now)),
            2 => What::Modified(rng.i64(-1..=now)),
            3 => What::Lease(rng.i64(-1..2)),
            _ => What::Value(one_of(rng, VALUES)),
        };
        Self {
            key: key(rng),
            end: rng.bool().then(|| end(rng)).flatten(),
            relation: one_of(rng, &relations),
            what,
        }
    }

    fn into_compare(self, base: i64) -> Compare {
        let (key, relation) = (self.key, self.relation);
        // 0 and less stay what they are: no key has them.
        let revision = |number: i64| if number > 0 { base + number } else { number };
        let compare = match self.what {
            What::Version(number) => Compare::version(key, relation, number),
            What::Created(number) => Compare::create_revision(key, relation, revision(number)),
            What::Modified(number) => Compare::mod_revision(key, relation, revision(number)),
            What::Value(value) => Compare::value(key, relation, value),
            What::Lease(id) => Compare::lease(key, relation, id),
        };
        match self.end {
            Some(end) => compare.with_range(end),
            None => compare,
        }
    }
}
