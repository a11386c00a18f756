//! A client of etcd's v2 API, for kvd and for any other server that speaks it.
//!
//! It knows several endpoints and goes on to the next when one fails; it sends a request again only
//! where that cannot change anything twice, and says so when an outcome is unknown; its watches go
//! on over broken connections without a gap or a repetition.
//!
//! With the feature `v3` it speaks etcd's v3 API as well: see [`v3`].
//!
//! It keeps no copy of the keys, starts no threads, and reads neither the environment nor a
//! configuration file.
//!
//! ```no_run
//! # async fn example() -> Result<(), kv_client::Error> {
//! use kv_client::{Client, Config, ReadOptions, Write};
//!
//! let client = Client::new(Config::new(["http://127.0.0.1:2379"])?)?;
//! client.write(&Write::set("/message", "hello").ttl_seconds(60)).await?;
//! let answer = client.get("/message", ReadOptions::default()).await?;
//! println!("{}", answer.node.value());
//! # Ok(())
//! # }
//! ```
mod answer;
mod auth;
mod client;
mod config;
mod connection;
mod credentials;
mod endpoint;
mod error;
mod members;
mod read;
mod request;
mod tls;
#[cfg(feature = "v3")]
pub mod v3;
mod watch;
mod write;

pub use crate::answer::{Action, Answer, Node};
pub use crate::auth::{Access, Role, User};
pub use crate::client::Client;
pub use crate::config::{Config, Observer, Tls};
pub use crate::credentials::Credentials;
pub use crate::endpoint::Endpoint;
pub use crate::error::{Attempt, AttemptError, ConfigError, Error, EtcdError};
pub use crate::members::{Health, Member, ServerStatus, Snapshot, Version};
pub use crate::read::{Page, ReadOptions};
pub use crate::request::Request;
pub use crate::watch::{Start, WatchEvent, WatchOptions, Watcher};
pub use crate::write::Write;
