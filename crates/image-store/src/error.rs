//! Why something with images failed. Each error says what in one line; its sources say why.

use std::num::TryFromIntError;
use std::time::SystemTimeError;

use container_model::Malformed;
use container_model::digest::Digest;
use container_model::oci_spec::OciSpecError;
use container_model::policy::{PolicyError, Refused};
use containerd_client::tonic::metadata::errors::InvalidMetadataValue;
use containerd_client::tonic::{Code, transport};
use image_registry::RegistryError;
use image_registry::signature::SignatureError;
use rustix::io::Errno;
use thiserror::Error;

/// What this crate's functions give back.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed.
#[derive(Debug, Error)]
pub enum Error {
    /// What was done to what, and failed for another of these reasons.
    #[error("{what}")]
    During {
        /// Such as a path, or `the image's manifest`.
        what: String,
        /// Why.
        source: Box<Error>,
    },
    /// Nobody is at containerd's socket.
    #[error("containerd does not answer on {socket}")]
    Unreachable {
        /// Where.
        socket: &'static str,
        /// Why.
        source: transport::Error,
    },
    /// containerd refuses.
    #[error("containerd: {message}")]
    Containerd {
        /// In gRPC's terms.
        code: Code,
        /// In containerd's words.
        message: String,
    },
    /// containerd does not take a blob.
    #[error("containerd ends the writing of {0} before it begins")]
    WritingEnded(Digest),
    /// A blob that is not there.
    #[error("{0} is not in the store")]
    NoBlob(Digest),
    /// A blob that is no manifest or configuration.
    #[error("{digest} is no document: it has more than {limit} bytes")]
    NoDocument {
        /// Which.
        digest: Digest,
        /// The longest one that is read.
        limit: usize,
    },
    /// The snapshotter wants more than a root has.
    #[error("the snapshotter {0} gives more than one mount")]
    Mounts(&'static str),
    /// A layer that does not unpack to what its image says.
    #[error("the layer {layer} unpacks to {unpacked}, and the image says {expected}")]
    Layer {
        /// By its own digest.
        layer: String,
        /// The digest of what came out.
        unpacked: String,
        /// What should have.
        expected: Digest,
    },
    /// An archive that has no images, or other things in it than it says.
    #[error("{0}")]
    Archive(String),
    /// An image that says of itself what cannot be, or that is none.
    #[error("{0}")]
    Image(String),
    /// An image for other machines.
    #[error("{0}")]
    Platform(String),
    /// An image that cannot fit.
    #[error("{0}")]
    NoRoom(String),
    /// A place that cannot be written to.
    #[error("{0}")]
    Place(String),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A signature that is not there, or is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The machine's policy refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The machine's policy cannot be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A digest or name that is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A document that cannot be written or read as OCI's.
    #[error(transparent)]
    Specification(#[from] OciSpecError),
    /// A document that is no JSON, or not the one that was expected.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A size that nothing has.
    #[error(transparent)]
    Size(#[from] TryFromIntError),
    /// The machine's clock is before 1970.
    #[error(transparent)]
    Clock(#[from] SystemTimeError),
    /// A lease whose name cannot be sent.
    #[error(transparent)]
    Lease(#[from] InvalidMetadataValue),
    /// A file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] Errno),
}

impl Error {
    /// What a registry said, if it was a registry that failed.
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::During { source, .. } => source.registry(),
            Self::Registry(error) => Some(error),
            _ => None,
        }
    }
}

/// Says what was done.
pub(crate) trait Context<T> {
    fn context(self, what: impl Into<String>) -> Result<T>;
    fn with_context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.with_context(|| what.into())
    }

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::During {
            what: what(),
            source: Box::new(error.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_chain_says_what_and_why() {
        let broken: std::result::Result<u8, _> = serde_json::from_str("x");
        let error = broken.context("index.json").context("a.tar").unwrap_err();
        assert_eq!(error.to_string(), "a.tar");
        let inner = error.source().unwrap();
        assert_eq!(inner.to_string(), "index.json");
        assert!(inner.source().unwrap().to_string().contains("line 1"));
        assert!(error.registry().is_none());
    }
}
