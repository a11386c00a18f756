//! etcd's v3 API as messages: requests turned into the store's commands and queries, and what came of
//! them into answers, with etcd 3.4.23's checks, codes and texts.
//!
//! The messages themselves are made from etcd's protocol definitions ([`proto`]); gRPC's framing is in
//! [`frame`]. Names are etcd's where a message of the protocol is meant, and the store's elsewhere.
//!
//! It opens no socket, reads no clock, and decides neither what a command does nor who may send it.

pub mod auth;
pub mod events;
pub mod frame;
pub mod header;
pub mod json;
pub mod keys;
pub mod permission;
pub mod proto;
pub mod range;
pub mod schema;
pub mod status;
pub mod transaction;
pub mod write;

pub use header::Place;
pub use status::{Code, Status};
