//! Reads: v2's trees, v3's ranges, leases, deadlines, users.
//!
//! Nothing here changes anything or waits.
pub(crate) mod find;
pub(crate) mod level;
pub mod listing;
pub mod past;
mod permission;
pub(crate) mod range;
mod transaction;
mod tree;

use bytes::Bytes;

use crate::auth::{Access, Role, Subject, User};
use crate::command::{RangeQuery, Transaction};
use crate::error_code::ErrorCode;
use crate::event::Node;
use crate::outcome::{RangeReply, Refusal, TransactionReply};
use crate::record::deadline::Deadline;
use crate::record::lease::{self, LeaseRecord};
use crate::record::{auth, setting};
use crate::tables::{TableError, Tables};
use crate::units::{LeaseEpoch, LeaseId, Revision, UnixNanoseconds};

pub use listing::Listing;
pub use past::Past;

/// A read that may be refused, on storage that may fail.
pub type Queried<T> = Result<Result<T, Refusal>, TableError>;

/// A v2 node with what is listed below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The node itself.
    pub node: Node,
    /// What is in it, in the order of names; empty for a key, and for a directory that was not
    /// opened (below the first level of a listing that is not recursive).
    pub children: Vec<Tree>,
}

/// How to read a v2 path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeQuery {
    /// Cleaned and absolute.
    pub path: String,
    /// All levels, not only the first.
    pub recursive: bool,
    /// At most so many nodes below the path.
    pub limit: Option<usize>,
    /// Only nodes that come after this path, which need not exist any more. The order is that of
    /// names on each level, a directory before what is in it. Directories on the way to the first
    /// node are in the answer too, and do not count.
    pub after: Option<String>,
}

/// A tree, and where to go on if it is not all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePage {
    /// What was read.
    pub tree: Tree,
    /// The last path in it, if there is more: `after` of the next page.
    pub continue_after: Option<String>,
}

/// A lease, without what only the leader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub id: LeaseId,
    /// Which grant it comes from.
    pub epoch: LeaseEpoch,
    /// Its time to live.
    pub ttl_seconds: i64,
}

impl Lease {
    fn new((id, record): (LeaseId, LeaseRecord)) -> Self {
        let LeaseRecord { epoch, ttl_seconds } = record;
        Self {
            id,
            epoch,
            ttl_seconds,
        }
    }
}

pub(crate) fn refuse<T>(tables: &dyn Tables, code: ErrorCode, cause: String) -> Queried<T> {
    let index = setting::revision(tables)?;
    Ok(Err(Refusal { code, cause, index }))
}

/// The revision of the last change.
pub fn revision(tables: &dyn Tables) -> Result<Revision, TableError> {
    setting::revision(tables)
}

/// The last revision whose history was forgotten; 0 if none was.
pub fn compacted(tables: &dyn Tables) -> Result<Revision, TableError> {
    setting::compacted(tables)
}

/// A v2 path, hidden nodes below it left out.
pub fn tree(tables: &dyn Tables, query: &TreeQuery) -> Queried<TreePage> {
    tree::tree(tables, query)
}

/// A v3 range. With `keys_only`, contents are [`Content::Gone`](crate::event::Content::Gone). What it
/// asks for of an earlier revision must be in the [`Past`].
pub fn range(tables: &dyn Tables, query: &RangeQuery, past: Option<&Past>) -> Queried<RangeReply> {
    match range::check(tables, query)? {
        Ok(()) => Ok(Ok(range::read_whole(tables, query, past)?)),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The same if its nodes take at most so many bytes; otherwise nothing, and it is to be read as a
/// [`Listing`].
pub fn range_within(
    tables: &dyn Tables,
    query: &RangeQuery,
    past: Option<&Past>,
    bytes_max: usize,
) -> Queried<Option<RangeReply>> {
    match range::check(tables, query)? {
        Ok(()) => Ok(Ok(range::read(tables, query, past, bytes_max)?)),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Refuses a v3 range of a revision that is not there yet, or that was compacted.
pub fn check_revision(tables: &dyn Tables, query: &RangeQuery) -> Queried<()> {
    range::check(tables, query)
}

/// A v3 transaction that [only reads](Transaction::is_read_only). What it reads of an earlier revision
/// comes back as [`OperationReply::Past`](crate::outcome::OperationReply::Past).
pub fn transaction(tables: &dyn Tables, transaction: &Transaction) -> Queried<TransactionReply> {
    transaction::transaction(tables, transaction)
}

/// The earliest moment at which something expires by itself. Leases do not count: see
/// [`Command::Expire`](crate::Command::Expire).
pub fn next_deadline(tables: &dyn Tables) -> Result<Option<UnixNanoseconds>, TableError> {
    Ok(Deadline::first(tables)?.map(|deadline| deadline.at))
}

/// A lease by its number.
pub fn lease(tables: &dyn Tables, id: LeaseId) -> Result<Option<Lease>, TableError> {
    Ok(LeaseRecord::read(tables, id)?.map(|record| Lease::new((id, record))))
}

/// All leases, by number.
pub fn leases(tables: &dyn Tables) -> Result<Vec<Lease>, TableError> {
    LeaseRecord::all(tables)
        .map(|lease| lease.map(Lease::new))
        .collect()
}

/// The keys that hang on a lease, in order.
pub fn leased_keys(tables: &dyn Tables, id: LeaseId) -> Result<Vec<Bytes>, TableError> {
    lease::leased_keys(tables, id)
}

/// Whether users and roles matter.
pub fn is_auth_enabled(tables: &dyn Tables) -> Result<bool, TableError> {
    setting::is_auth_enabled(tables)
}

/// The revision since which users and roles matter, if they do; 0 if that was not written down.
pub fn auth_enabled_since(tables: &dyn Tables) -> Result<Option<Revision>, TableError> {
    setting::auth_enabled_since(tables)
}

/// The revision of the last change of users and roles, or of whether they matter.
pub fn auth_revision(tables: &dyn Tables) -> Result<Revision, TableError> {
    setting::auth_revision(tables)
}

/// A user by name. The user `root` always has the role `root`.
pub fn user(tables: &dyn Tables, name: &str) -> Result<Option<User>, TableError> {
    auth::user(tables, name)
}

/// All users, by name.
pub fn users(tables: &dyn Tables) -> Result<Vec<User>, TableError> {
    auth::users(tables)
}

/// A role by name. `root` always exists; `guest` is made when users begin to matter, and may be
/// removed.
pub fn role(tables: &dyn Tables, name: &str) -> Result<Option<Role>, TableError> {
    auth::role(tables, name)
}

/// All roles, by name.
pub fn roles(tables: &dyn Tables) -> Result<Vec<Role>, TableError> {
    auth::roles(tables)
}

/// Whether a user, or `None` a guest, may. Always, as long as users do not matter. A guest needs a
/// pattern with `*` for a [`Subject::Tree`], as everybody does; etcd lets guests do without.
pub fn may(
    tables: &dyn Tables,
    user: Option<&str>,
    access: Access,
    subject: &Subject,
) -> Result<bool, TableError> {
    permission::may(tables, user, access, subject)
}
