//! What can go wrong with volumes, each in one line.

use std::io;
use std::path::{Path, PathBuf};

use container_model::name::Name;
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
    /// There is no volume of that name.
    #[error("there is no volume {0}")]
    Unknown(Name),
    /// There is one of that name.
    #[error("there is a volume {0} already")]
    Exists(Name),
    /// A container has it.
    #[error("the volume {0} is used by a container that runs")]
    InUse(Name),
    /// What is known of a volume cannot be read.
    #[error("{path}: {reason}")]
    Record {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An image's folder was not copied.
    #[error("the image's contents were not copied into {path}: {reason}")]
    Copy {
        /// The volume.
        path: PathBuf,
        /// What `cp` says.
        reason: String,
    },
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
