//! The parts of the key-value store's daemon that are more than its start: the face for clients and
//! the watchers behind it.
//!
//! Flags, listeners and TLS are the program's, in `main.rs`.
mod clock;
pub mod http;
pub mod watch;
