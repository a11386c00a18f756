//! Networks of containers on one machine: which there are, who is in them, and how netavark is called.
//!
//! A [`Networks`] reads and writes networks as files, gives containers addresses and ports, and has netavark make
//! bridges, interfaces, firewall rules and aardvark-dns's names of that. What is set up for a container is written down
//! before it is, so that whatever a crash leaves can be taken down by whoever comes next: by the machine's own next
//! container, never by a daemon. After a restart of the machine nothing is left, and nothing is known.
//!
//! It runs no container: it makes the network namespace that a container is put into.

mod claim;
mod closed_descriptors;
mod connections;
mod definitions;
mod disconnect;
mod error;
mod file;
mod namespace;
mod netavark;
mod networks;
mod occupant;
mod routes;

pub use claim::Claim;
pub use error::Error;
pub use networks::{Attachment, ConnectRequest, Folders, Networks, NewNetwork};
