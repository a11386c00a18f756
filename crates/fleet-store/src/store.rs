//! What the fleet asks of a store.
//!
//! Implementations decide about connections and repetitions; what a failure means is fixed here.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::keys::Keys;
use crate::transaction::{Outcome, Transaction};

/// A point in the store's history; each transaction that changes something has its own.
pub type Revision = u64;

/// The number of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A key with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// Which.
    pub key: String,
    /// What stands there.
    pub value: Vec<u8>,
    /// Since when it is there without a gap.
    pub create_revision: Revision,
    /// When it was last put.
    pub mod_revision: Revision,
    /// The lease it ends with.
    pub lease: Option<LeaseId>,
}

/// What was read at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// How the store was: a watch from the next one misses nothing.
    pub revision: Revision,
    /// In the order of their keys.
    pub pairs: Vec<KeyValue>,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was put.
    Put(KeyValue),
    /// It was deleted, or its lease ended.
    Deleted {
        /// Which.
        key: String,
        /// When.
        revision: Revision,
    },
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// Changes in their order. What one transaction changed is never torn apart.
    Changes {
        /// The revision of the last of them.
        revision: Revision,
        /// At least one.
        changes: Vec<Change>,
    },
    /// Changes that were not seen are no longer known: read anew and begin another watch.
    Compacted,
}

/// Why a lease is no longer to be believed in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LeaseLost {
    /// The store says that it is gone.
    #[error("the lease has ended")]
    Gone,
    /// No keep-alive was acknowledged in time; the store may still have it.
    #[error("the lease could not be kept alive in time: {0}")]
    NotKept(String),
}

/// A store. Clones share a connection.
pub trait Store: Clone + Send + Sync + 'static {
    /// Its watches.
    type Watch: Watch;
    /// Its leases.
    type Lease: Lease;

    /// Reads keys as they are now: whatever was acknowledged to anybody before is seen.
    fn range(&self, keys: Keys) -> impl Future<Output = Result<Range, StoreError>> + Send;

    /// Carries out a transaction of at most [`crate::OPERATIONS_MAX`] conditions and as many operations.
    /// A store may send it again only if it [`Transaction::happens_once`].
    fn transact(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<Outcome, StoreError>> + Send;

    /// Watches keys from a revision on, that one included.
    fn watch(
        &self,
        keys: Keys,
        from: Revision,
    ) -> impl Future<Output = Result<Self::Watch, StoreError>> + Send;

    /// Makes a lease, kept alive in the background as long as it is held. The store may give it more time
    /// than asked for, never less.
    fn grant(&self, ttl: Duration) -> impl Future<Output = Result<Self::Lease, StoreError>> + Send;

    /// Goes on keeping alive a lease that another process, or this one before, was given; nothing if it
    /// has ended.
    fn take_over(
        &self,
        id: LeaseId,
    ) -> impl Future<Output = Result<Option<Self::Lease>, StoreError>> + Send;

    /// Ends a lease, and every key with it. One that has ended is no error.
    fn revoke(&self, id: LeaseId) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A watch. It goes on over broken connections without a gap or a repetition.
pub trait Watch: Send {
    /// Waits for the next event. Can be given up and called again: nothing is lost by that.
    fn next(&mut self) -> impl Future<Output = Result<WatchEvent, StoreError>> + Send;
}

/// A lease, kept alive in the background. Dropped, it is left to end by itself, or to be taken over.
pub trait Lease: Send + Sync + 'static {
    /// Its number.
    fn id(&self) -> LeaseId;

    /// How long it lives after each keep-alive.
    fn ttl(&self) -> Duration;

    /// Until when it certainly lives, counted from before the last acknowledged keep-alive was sent.
    fn deadline(&self) -> Result<Instant, LeaseLost>;

    /// Waits until it is lost. Can be given up and called again.
    fn lost(&mut self) -> impl Future<Output = LeaseLost> + Send;
}

impl Change {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(pair) => &pair.key,
            Self::Deleted { key, .. } => key,
        }
    }

    /// When it was.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(pair) => pair.mod_revision,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}

impl fmt::Display for LeaseId {
    /// As etcdctl writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
