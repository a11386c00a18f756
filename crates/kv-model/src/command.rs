//! What can be asked of the store, as it stands in the replicated log.
//!
//! Every command gives the same answer on every member: what depends on a clock or on chance (an
//! expiration, a lease's id, a password's hash) was decided by the member that was asked. Checking
//! whether the user may do it is that member's affair too.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::auth::AuthChange;
use crate::units::{LeaseEpoch, LeaseId, Revision, UnixNanoseconds};

/// One change that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A change through etcd's v2 API.
    Write(KeyWrite),
    /// A transaction of etcd's v3 API; a put or a delete is one without compares.
    Transaction(Transaction),
    /// A new lease.
    GrantLease {
        /// Its id; never 0.
        id: LeaseId,
        /// Its time to live.
        ttl_seconds: i64,
    },
    /// Removes a lease and its keys.
    RevokeLease {
        /// Its id.
        id: LeaseId,
    },
    /// Removes what has expired. Only the leader asks for it, and only when something is due.
    Expire {
        /// Keys of v2 whose expiration is not after this are removed.
        now: UnixNanoseconds,
        /// Leases of v3 that were not kept alive.
        leases: Vec<LeaseTerm>,
    },
    /// A change of users, roles, or whether they matter.
    Auth(AuthChange),
    /// Forgets the history up to and including this revision.
    Compact(Revision),
    /// What somebody may do as the users and roles were; refused if they have changed since.
    Permitted {
        /// [`crate::query::auth_revision`] when that was found out.
        as_of: Revision,
        /// What to do.
        command: Box<Command>,
    },
}

impl Command {
    /// What is done if nothing speaks against it.
    pub fn essence(&self) -> &Self {
        match self {
            Self::Permitted { command, .. } => command.essence(),
            command => command,
        }
    }
}

/// A lease of a certain grant: if its number was granted anew meanwhile, it is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTerm {
    /// The lease.
    pub id: LeaseId,
    /// The grant.
    pub epoch: LeaseEpoch,
}

/// A change of one v2 path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyWrite {
    /// Cleaned and absolute, such as `/a/b`; the root is `/`. What is no such path, or deeper than
    /// [`DEPTH_MAX`](crate::path::DEPTH_MAX), is refused.
    pub path: String,
    /// What to do there.
    pub action: KeyAction,
}

/// What to do at a v2 path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAction {
    /// Create or replace (PUT).
    Set {
        /// What shall stand there.
        content: NewContent,
        /// When it goes away.
        expires: Option<UnixNanoseconds>,
    },
    /// Set a key, which must exist, to the value it has, and tell no watcher (PUT with
    /// `refresh=true` and no condition). Unlike an update's refresh it creates the key anew.
    SetRefresh {
        /// When it goes away.
        expires: Option<UnixNanoseconds>,
    },
    /// Create; it must not exist (PUT with `prevExist=false`).
    Create {
        /// What shall stand there.
        content: NewContent,
        /// When it goes away.
        expires: Option<UnixNanoseconds>,
    },
    /// Create a key named by the new index inside the directory (POST).
    CreateInOrder {
        /// What shall stand there.
        content: NewContent,
        /// When it goes away.
        expires: Option<UnixNanoseconds>,
    },
    /// Change what exists (PUT with `prevExist=true`); without `expires` it becomes permanent.
    Update {
        /// The new value; empty for a directory, or for a refresh.
        value: Option<Bytes>,
        /// When it goes away.
        expires: Option<UnixNanoseconds>,
        /// Keep the value and tell no watcher.
        refresh: bool,
    },
    /// Change a key that is as expected (PUT with `prevValue` or `prevIndex`).
    CompareAndSwap {
        /// What is expected.
        expected: Expected,
        /// The new value; empty for a refresh.
        value: Option<Bytes>,
        /// When it goes away.
        expires: Option<UnixNanoseconds>,
        /// Keep the value and tell no watcher.
        refresh: bool,
    },
    /// Remove (DELETE).
    Delete {
        /// Also a directory that is empty.
        directory: bool,
        /// Also a directory with all that is in it.
        recursive: bool,
    },
    /// Remove a key that is as expected (DELETE with `prevValue` or `prevIndex`).
    CompareAndDelete {
        /// What is expected.
        expected: Expected,
    },
}

/// What a v2 write puts at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewContent {
    /// A key with this value.
    Value(Bytes),
    /// An empty directory.
    Directory,
}

/// The condition of a v2 compare. Nothing in it means: anything will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The value that must be there.
    pub value: Option<Bytes>,
    /// The modified index that must be there; etcd takes 0 for "any".
    pub index: Option<Revision>,
}

/// etcd v3's transaction: compares, then one of two lists of operations, all at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// All must hold.
    pub compares: Vec<Compare>,
    /// Done if they do.
    pub success: Vec<Operation>,
    /// Done if one does not.
    pub failure: Vec<Operation>,
}

impl Transaction {
    /// Whether neither of its ways changes anything.
    pub fn is_read_only(&self) -> bool {
        let mut operations = self.success.iter().chain(&self.failure);
        operations.all(|operation| match operation {
            Operation::Range(_) => true,
            Operation::Nested(inside) => inside.is_read_only(),
            Operation::Put { .. } | Operation::DeleteRange { .. } => false,
        })
    }

    /// All its reads, those of transactions inside too.
    pub fn ranges(&self) -> Vec<&RangeQuery> {
        let operations = self.success.iter().chain(&self.failure);
        let ranges = operations.map(|operation| match operation {
            Operation::Range(query) => vec![query],
            Operation::Nested(inside) => inside.ranges(),
            Operation::Put { .. } | Operation::DeleteRange { .. } => Vec::new(),
        });
        ranges.flatten().collect()
    }
}

/// One condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// The keys it is about; every one must fulfil it.
    pub keys: KeyRange,
    /// How to compare the stored to the given.
    pub relation: Relation,
    /// What to compare.
    pub target: CompareTarget,
}

/// How a stored figure relates to the given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// Stored = given.
    Equal,
    /// Stored > given.
    Greater,
    /// Stored < given.
    Less,
    /// Stored ≠ given.
    NotEqual,
}

/// What of a key is compared, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompareTarget {
    /// How often it was written since its creation; 0 for an absent key.
    Version(u64),
    /// The revision of its creation; 0 for an absent key.
    Created(Revision),
    /// The revision of its last change; 0 for an absent key.
    Modified(Revision),
    /// Its value; an absent key fulfils nothing.
    Value(Bytes),
    /// Its lease; `None` for a key without.
    Lease(Option<LeaseId>),
}

/// Keys from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyRange {
    /// This key alone.
    Single(Bytes),
    /// `from <= key < to`.
    HalfOpen(Bytes, Bytes),
    /// `from <= key`.
    From(Bytes),
}

impl KeyRange {
    /// Whether a key is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Single(single) => single == key,
            Self::HalfOpen(from, to) => &from[..] <= key && key < &to[..],
            Self::From(from) => &from[..] <= key,
        }
    }

    /// The first key that can be in it, and the first after it that cannot, if there is one.
    pub fn bounds(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Single(key) => (key.clone(), Some(successor(key))),
            Self::HalfOpen(from, to) => (from.clone(), Some(to.clone())),
            Self::From(from) => (from.clone(), None),
        }
    }

    /// What of it comes after a key that is in it.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        match self.bounds() {
            (_, Some(to)) => Self::HalfOpen(successor(key), to),
            (_, None) => Self::From(successor(key)),
        }
    }
}

/// The bytes right after a key in order.
fn successor(key: &[u8]) -> Bytes {
    [key, b"\0"].concat().into()
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Reads.
    Range(RangeQuery),
    /// Writes a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value; `None` keeps the present one (the key must exist).
        value: Option<Bytes>,
        /// What it hangs on. Unless that is kept, a moment that v2 set for its end is forgotten.
        lease: LeaseChoice,
        /// Answer with what was there before.
        want_previous: bool,
    },
    /// Removes keys.
    DeleteRange {
        /// Which.
        keys: KeyRange,
        /// Answer with what was there before.
        want_previous: bool,
    },
    /// A transaction inside.
    Nested(Transaction),
}

/// What a written key hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseChoice {
    /// Nothing.
    None,
    /// What it hung on before (the key must exist).
    Keep,
    /// This lease, which must exist.
    Lease(LeaseId),
}

/// A read of etcd v3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeQuery {
    /// Which keys.
    pub keys: KeyRange,
    /// At most so many; 0 for all.
    pub limit: u64,
    /// As of this revision; `None` or 0 for now. In a transaction, the revision before it does not
    /// show what it writes.
    pub revision: Option<Revision>,
    /// In which order.
    pub order: Order,
    /// Leave the values out: contents are then `Gone`.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Only keys changed at or after and at or before; 0 for no bound.
    pub modified: (Revision, Revision),
    /// Only keys created at or after and at or before; 0 for no bound.
    pub created: (Revision, Revision),
}

/// The order of a v3 range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// By what.
    pub by: OrderBy,
    /// Which way.
    pub direction: Direction,
}

/// Which way a v3 range goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// The smallest first; but as in etcd, a limit that has no filter beside it is applied to the
    /// order of keys before anything is sorted.
    Unstated,
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

/// What a v3 range is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderBy {
    /// The key.
    Key,
    /// How often it was written.
    Version,
    /// The revision of its creation.
    Created,
    /// The revision of its last change.
    Modified,
    /// The value.
    Value,
}
