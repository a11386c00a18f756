//! The face for clients: etcd's v2 API over HTTP/1.1 and its v3 API over HTTP/2, with health and
//! metrics beside them.
//!
//! What etcd's parser and writer do is in `etcd-v2` and `etcd-v3`; here requests are received, allowed or refused,
//! carried out by the replica, and answered. [`serve_connection`] does that for one connection that
//! somebody else accepted (and, with TLS, shook hands on).
//!
//! It does not listen, knows no certificates, and keeps no state but counters and a few verified
//! passwords and tokens in use.
mod answer;
mod auth;
pub mod backend;
mod body;
mod caller;
mod connection;
mod durations;
mod health;
mod keys;
mod log_level;
mod members;
mod metrics;
mod options;
mod origin;
mod password;
mod preface;
mod process;
mod replica_backend;
mod request_body;
mod router;
mod snapshot;
mod state;
mod statistics;
mod token;
mod v3;

#[cfg(test)]
mod tests;

pub use connection::{PeerIdentity, serve_connection};
pub use durations::Durations;
pub use options::{AllowList, HttpOptions, SetLogLevel};
pub use state::ServerState;
