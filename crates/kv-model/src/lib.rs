//! The key-value store's data and rules, without any input or output.
//!
//! One keyspace with etcd v3's model underneath: every change of state has a [`Revision`], keys may
//! hang on leases, transactions compare and change at once. etcd v2's directories, indexes and
//! expirations are kept beside it. [`apply()`] takes one [`Command`] and the tables and says what
//! came of it; [`query`] reads.
//!
//! How the two faces see each other, in short (all of it, with its tests, is in
//! `crates/kvd/KEYSPACE.md`):
//!
//! - v2 sees those keys that are [paths](path); v3 sees every key, and no directory.
//! - A key that v3 writes implies the v2 directories it is in. They vanish with the last thing in
//!   them, unless v2 writes something new there: then they stay, as etcd v2's do.
//! - v3 may write both `/a` and `/a/b`. v2 then takes `/a` for a directory, and its value is out of
//!   v2's sight until the directory is gone. Removing that directory through v2 removes the key too.
//! - A put of v3 is a `set` to v2, and a removal a `delete`. A write of v2 takes the key off its
//!   lease; a put of v3 makes it permanent, unless it keeps its lease.
//! - Removing a directory removes what v2 can see below it: not a key such as `/a//b`.
//!
//! Values are kept as they are now. An earlier revision is read by undoing the events since, which
//! whoever keeps them hands over ([`query::Past`]).
//!
//! It opens no file and knows no clock: times come with the commands. It does not replicate, and it
//! does not know HTTP, JSON or protobuf.

pub mod apply;
pub mod auth;
pub mod command;
pub mod error_code;
pub mod event;
pub mod memory_tables;
pub mod outcome;
pub mod path;
pub mod query;
mod record;
pub mod tables;
pub mod units;

pub use apply::apply;
pub use command::Command;
pub use error_code::ErrorCode;
pub use event::{Action, Content, Event, Node};
pub use outcome::{Applied, Refusal, Reply};
pub use tables::{Rows, Table, TableError, Tables, TablesMut};
pub use units::{LeaseEpoch, LeaseId, Revision, UnixNanoseconds};
