//! What can go wrong while a release is made, and the few file operations that name their path.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use update_client::error::ClientError;
use update_model::channel::InvalidChannel;
use update_model::manifest::InvalidManifest;
use update_model::version::Version;

/// A result of this crate.
pub type Result<T, E = ReleaseError> = std::result::Result<T, E>;

/// A release, or its keys, that cannot be made.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// There are keys already.
    #[error("{} has keys already: choose another directory, or rotate them", .0.display())]
    KeysExist(PathBuf),
    /// There are no keys.
    #[error("{} has no root.json of a number: make keys with `keelson keys create`", .0.display())]
    NoKeys(PathBuf),
    /// A key file is none.
    #[error("{}: {problem}", path.display())]
    BadKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Too few keys of a role are here.
    #[error("{found} of the {needed} {role} keys that must sign are in {}", folder.display())]
    TooFewKeys {
        /// Which role.
        role: String,
        /// How many are here.
        found: usize,
        /// How many are needed.
        needed: u64,
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// Numbers of keys that cannot be.
    #[error("{role}: {threshold} of {keys} keys cannot be asked to sign")]
    BadThreshold {
        /// Which role.
        role: String,
        /// How many must sign.
        threshold: u64,
        /// How many there are.
        keys: u64,
    },
    /// Metadata cannot be parsed or written.
    #[error("{what}")]
    Metadata {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The release directory belongs to other keys.
    #[error("{} is not the {} of these keys", theirs.display(), ours.display())]
    OtherKeys {
        /// The root in the release directory.
        theirs: PathBuf,
        /// The root in the directory of keys.
        ours: PathBuf,
    },
    /// What the release directory holds is not to be built on.
    #[error("the release directory is damaged; `keelson release --check` says more")]
    Existing(#[source] ClientError),
    /// The image's parts do not belong together.
    #[error("the image to be released")]
    Image(#[source] ClientError),
    /// The version is there already.
    #[error(
        "{version} is released already, with root hash {root_hash}: build with another --version"
    )]
    Exists {
        /// The version.
        version: Version,
        /// The root hash it has.
        root_hash: String,
    },
    /// A channel goes forward only.
    #[error(
        "{version} is not newer than {newest}, the newest in channel {channel}: build with a later --version"
    )]
    NotNewer {
        /// The version.
        version: Version,
        /// The newest one.
        newest: Version,
        /// In which channel.
        channel: String,
    },
    /// A channel without that release.
    #[error("channel {channel} of {product} has no release {version}")]
    NoRelease {
        /// The product.
        product: String,
        /// The channel.
        channel: String,
        /// The version.
        version: Version,
    },
    /// A channel document that would be wrong.
    #[error("channel {0}")]
    Channel(String, #[source] InvalidChannel),
    /// A manifest that would be wrong.
    #[error("the manifest")]
    Manifest(#[source] InvalidManifest),
    /// Frames could not be made.
    #[error("cannot compress {}", path.display())]
    Compress {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ReleaseError {
    /// An I/O error on a path.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }

    /// An error of metadata.
    pub(crate) fn metadata<E>(what: impl Into<String>, source: E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::Metadata {
            what: what.into(),
            source: source.into(),
        }
    }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| ReleaseError::io("read", path, e))
}

/// Makes a directory and its parents.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| ReleaseError::io("create", path, e))
}

/// Writes a file so that it is complete whenever it has its name.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    written.map_err(|e| ReleaseError::io("write", &partial, e))?;
    fs::rename(&partial, path).map_err(|e| ReleaseError::io("rename to", path, e))
}

/// Names in a directory; none if it does not exist.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| ReleaseError::io("read", folder, e))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| ReleaseError::io("read", folder, e))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
