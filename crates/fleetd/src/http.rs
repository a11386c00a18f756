//! The fleet's API over HTTP: on the local socket, and by mutual TLS.
//!
//! [`fleet_api::path`] says what there is.

mod answer;
mod api;
mod discovery;
mod events;
mod inspection;
mod listener;
mod machines;
mod metrics;
mod page;
mod peers;
mod query;
mod role;
mod route;
pub(crate) mod tls;
mod units;
mod usage;

pub(crate) use api::{Api, Parts, Readiness};
pub(crate) use listener::{Acceptor, Listener};
pub(crate) use metrics::Metrics;
pub(crate) use peers::Peers;

#[cfg(test)]
mod tests;
