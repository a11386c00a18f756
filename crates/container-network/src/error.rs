//! What can go wrong with networks, each in one line.

use std::io;
use std::path::{Path, PathBuf};

use container_model::name::Name;
use container_model::network::{AddressError, BoundPort, DefinitionError};
use thiserror::Error;

/// Why something was not done.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The kernel's.
        reason: io::Error,
    },
    /// A network's file is wrong.
    #[error("{path}: {reason}")]
    Definition {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: Box<DefinitionError>,
    },
    /// There is no network of that name.
    #[error("there is no network {0}: `launch network create {0}` makes it")]
    Unknown(Name),
    /// There is one of that name.
    #[error("there is a network {0} already")]
    Exists(Name),
    /// The name means something else.
    #[error("no network can be named {0}: the word has a meaning of its own")]
    Reserved(Name),
    /// It is made anew whenever it is wanted.
    #[error("the network bridge is the default one: it stays")]
    Default,
    /// Containers are in it.
    #[error("the network {network} is used by {containers}")]
    InUse {
        /// Which.
        network: Name,
        /// Their names.
        containers: String,
    },
    /// An administrator's file made it.
    #[error("the network {name} is {path}: remove that file instead")]
    Configured {
        /// Which.
        name: Name,
        /// The file.
        path: PathBuf,
    },
    /// A new network contradicts itself.
    #[error("the network {name} cannot be: {reason}")]
    Impossible {
        /// Which.
        name: Name,
        /// Why.
        reason: Box<DefinitionError>,
    },
    /// What was asked for is another's.
    #[error("the subnet {subnet} overlaps {other}, which {owner} has")]
    Overlap {
        /// Asked for.
        subnet: ipnet::IpNet,
        /// The other.
        other: ipnet::IpNet,
        /// Whose.
        owner: String,
    },
    /// The pool is used up.
    #[error("no subnet of the pool is free: write one of your own")]
    NoSubnet,
    /// A container's address.
    #[error("the network {network}: {reason}")]
    Address {
        /// Which.
        network: Name,
        /// Why there is none.
        reason: AddressError,
    },
    /// An address of a family that the network has not.
    #[error("the network {network} has no subnet for the address {address}")]
    NoSuchFamily {
        /// Which.
        network: Name,
        /// What was asked for.
        address: std::net::IpAddr,
    },
    /// Another has the port.
    #[error("the port {port} is in use{}", by(.owner.as_deref()))]
    PortInUse {
        /// Which.
        port: BoundPort,
        /// By whom, if that can be told.
        owner: Option<String>,
    },
    /// The kernel does not give the port.
    #[error("the port {port} cannot be published: {reason}")]
    Port {
        /// Which.
        port: BoundPort,
        /// The kernel's.
        reason: io::Error,
    },
    /// It runs without a network of its own.
    #[error(
        "{0} has no network of its own that another could be added to: it was started with host or none"
    )]
    NotConnected(Name),
    /// It is there.
    #[error("{container} is in the network {network} already")]
    ConnectedAlready {
        /// Who.
        container: Name,
        /// Which.
        network: Name,
    },
    /// It is not there.
    #[error("{container} is not in the network {network}")]
    NotInNetwork {
        /// Who.
        container: Name,
        /// Which.
        network: Name,
    },
    /// Its ports are published by it.
    #[error(
        "{container} publishes its ports by the network {network}: stop it before it leaves that one"
    )]
    Publishes {
        /// Who.
        container: Name,
        /// Which.
        network: Name,
    },
    /// It is the only one.
    #[error(
        "{network} is the only network of {container}, which runs: stop it, or connect it to another one before"
    )]
    Last {
        /// Who.
        container: Name,
        /// Which.
        network: Name,
    },
    /// netavark, or what it calls, failed.
    #[error("netavark: {0}")]
    Netavark(String),
    /// A namespace could not be made.
    #[error("a network namespace: {0}")]
    Namespace(io::Error),
}

fn by(owner: Option<&str>) -> String {
    owner.map_or(String::new(), |owner| format!(" by {owner}"))
}

impl Error {
    /// About a path.
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |reason| Self::Io {
            path: path.as_ref().to_path_buf(),
            reason,
        }
    }
}
