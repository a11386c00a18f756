//! The key-value store's replication: one [`Replica`] is one member of a cluster.
//!
//! It puts commands into a replicated log (openraft over [`raft_log`]), applies what is committed to
//! the store, and talks to the other members over HTTP/2 on their peer URLs. It forms clusters, takes
//! members in and out, and refuses starts that would lose data.
//!
//! It does not know etcd's API: what clients ask arrives as [`kv_model::Command`]s, and they read
//! from the store themselves, after [`Replica::linearize`] if they want the latest.

mod bootstrap;
mod codec;
mod compaction;
mod error;
mod expiry;
mod force_new;
mod forming;
mod housekeeping;
mod identity;
mod json;
mod lease_desk;
mod leases;
mod log_storage;
mod member;
mod membership;
mod peer;
mod progress;
mod propose;
mod random;
mod read_index;
mod replica;
mod restore;
mod room;
mod route;
mod services;
mod settings;
mod start;
mod state_machine;
mod statistics;
mod status;
mod types;
mod watcher;

/// What a daemon's log filter should have besides its own level: openraft tells of every heartbeat
/// that is not answered, and what matters of it is told by this crate.
pub const LOG_DIRECTIVE: &str = "openraft=error";

pub use compaction::Compaction;
pub use error::{
    MembershipError, ProposeError, ReadError, RestoreError, StartError, TransferError,
};
pub use member::{ClusterId, Member, MemberId};
pub use replica::{Committed, Position, Replica};
pub use restore::{SNAPSHOT_BLOCK_BYTES, restore};
pub use settings::{Link, OpenLink, PeerTls, Settings, Start, listen};
pub use statistics::{Latency, PeerStatistics, PeerTraffic};
pub use status::{Role, Status};
