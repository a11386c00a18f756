//! etcd's v3 API for our own programs: crate etcd-client over a connection that changes endpoints.
//!
//! - [`Client`] asks one endpoint and goes on to the next when that fails. What is asked is sent again
//!   only where that is safe, and [`Error::OutcomeUnknown`] says so where it is not.
//! - [`Lease`] keeps a lease alive. Its deadline counts from before the last acknowledged keep-alive was
//!   sent, so its holder never believes in it longer than the server does.
//! - [`Watcher`] goes on over broken connections, without a gap or a repetition, and says when the
//!   revisions it would need were compacted.
//!
//! Whatever else the API has is reached by [`Client::etcd`], which changes endpoints as well but leaves
//! repeating to the caller. Nothing here is cached, and no key means anything.
mod channel;
mod client;
mod dial;
mod error;
mod lease;
mod watch;

pub use crate::v3::client::{Client, Leader, Repeat};
pub use crate::v3::error::{Code, Error};
pub use crate::v3::lease::{Lease, LeaseLost};
pub use crate::v3::watch::{Keys, WatchEvent, WatchOptions, Watcher};
