//! containerd: where images and root file systems are.
//!
//! A [`Store`] speaks to its services in a namespace of ours; what is written under a lease is safe from
//! containerd's garbage collection until the lease is over. It knows no archive, registry or container.

mod content;
mod images;
mod ingest;
mod leases;
mod root_mount;
mod snapshots;

use std::path::Path;

use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Status};

use crate::error::{Error, Result};

pub use content::BlobPieces;
pub use images::Image;
pub use ingest::{Begun, Committed, Ingest};
pub use leases::Lease;
pub use root_mount::{MountError, RootMount};

const SOCKET: &str = "/run/containerd/containerd.sock";
/// Where containerd itself listens while it runs: the other socket leads there through a process that starts it.
const RUNNING_SOCKET: &str = "/run/containerd/containerd-backend.sock";
/// Not Docker's or Kubernetes': nobody else's garbage is ours to collect.
const NAMESPACE: &str = "keelson";

/// A connection.
#[derive(Debug, Clone)]
pub struct Store {
    channel: Channel,
    lease: Option<MetadataValue<Ascii>>,
}

impl Store {
    /// Connects to the machine's containerd.
    pub async fn connect() -> Result<Self> {
        let channel = containerd_client::connect(Path::new(SOCKET)).await;
        Ok(Self {
            channel: channel.map_err(|source| Error::Unreachable {
                socket: SOCKET,
                source,
            })?,
            lease: None,
        })
    }

    /// Connects for a few calls: without anybody between if containerd runs, and not again should it be restarted.
    pub async fn connect_briefly() -> Result<Self> {
        match containerd_client::connect(Path::new(RUNNING_SOCKET)).await {
            Ok(channel) => Ok(Self {
                channel,
                lease: None,
            }),
            Err(_) => Self::connect().await,
        }
    }

    /// A call's message with the headers that containerd wants.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert(
            "containerd-namespace",
            MetadataValue::from_static(NAMESPACE),
        );
        if let Some(lease) = &self.lease {
            headers.insert("containerd-lease", lease.clone());
        }
        request
    }
}

/// What a name is made unique with: this process's number, and the time.
fn unique() -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(format!("{}-{}", std::process::id(), now.as_nanos()))
}

/// An answer that may say that there is no such thing.
fn found<T>(answer: Result<T, Status>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(plain(&status)),
    }
}

/// An answer that may say that it is there already.
fn new<T>(answer: Result<T, Status>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == Code::AlreadyExists => Ok(None),
        Err(status) => Err(plain(&status)),
    }
}

/// containerd's message without the protocol's words around it.
fn plain(status: &Status) -> Error {
    Error::Containerd {
        code: status.code(),
        message: status.message().to_owned(),
    }
}
