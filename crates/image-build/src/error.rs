//! What can go wrong while building, and the few file operations that name their path when they fail.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = BuildError> = std::result::Result<T, E>;

/// Every way a build, a lock or a fetch can fail. The message says what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file system has no room left.
    #[error("the disk is full: cannot {action} {}; free some space (make clean removes every cached build step) and build again", path.display())]
    DiskFull {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// A TOML file does not parse or has an unknown key.
    #[error("{}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// A recipe parses but makes no sense.
    #[error("{}: {reason}", path.display())]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// Key and reason.
        reason: String,
    },
    /// No such product.
    #[error("no product {name:?} in the recipe; it has {known}")]
    UnknownProduct {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The lock does not belong to the recipe.
    #[error("{} does not match the recipe: {reason}; run `keelson lock` to renew it", path.display())]
    LockOutdated {
        /// The lock.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The archive no longer has a locked package.
    #[error(
        "{package} {version} is no longer in the Debian archive ({url} answers {status}); run \
         `keelson build --renew-vanished` to renew just such entries of the lock, or `keelson lock` to renew it all"
    )]
    PackageVanished {
        /// Its name.
        package: String,
        /// The locked version.
        version: String,
        /// Where it was looked for.
        url: String,
        /// The server's answer.
        status: u16,
    },
    /// A step of the build failed.
    #[error("step {step}")]
    Step {
        /// Its name.
        step: &'static str,
        /// Why.
        source: Box<BuildError>,
    },
    /// A download has not the locked length.
    #[error(
        "{package}: {url} has {actual} bytes, the lock says {expected}; nothing was kept. A mirror in between \
         may be damaged or hostile: try another with --mirror"
    )]
    LengthMismatch {
        /// Its name.
        package: String,
        /// Where it came from.
        url: String,
        /// The lock's length, in bytes.
        expected: u64,
        /// How much came: more is not read than shows that it is too much.
        actual: String,
    },
    /// A download has not the locked hash.
    #[error(
        "{package}: {url} has SHA-256 {actual}, the lock says {expected}; nothing was kept. A mirror in between \
         may be damaged or hostile: try another with --mirror"
    )]
    HashMismatch {
        /// Its name.
        package: String,
        /// Where it came from.
        url: String,
        /// The lock's hash.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A server could not be reached.
    #[error(
        "cannot fetch {url}; is there a network? packages already fetched are kept, so the next build goes on from here"
    )]
    Fetch {
        /// What was asked for.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// apt does not know a mirror.
    #[error("{0}")]
    Mirror(String),
    /// apt failed to resolve or update.
    #[error("apt-get {action} failed:\n{output}")]
    Apt {
        /// The subcommand.
        action: String,
        /// What apt printed.
        output: String,
    },
    /// A package is not what it should be.
    #[error("{package}: {reason}")]
    Package {
        /// Its name or file.
        package: String,
        /// What is wrong.
        reason: String,
    },
    /// The composed root breaks a rule of the recipe.
    #[error("the root file system is refused: {0}")]
    Root(String),
    /// An external program failed.
    #[error("{program} failed ({status}):\n{output}")]
    Tool {
        /// Its name.
        program: String,
        /// Exit status.
        status: String,
        /// Standard error and output.
        output: String,
    },
    /// A program could not be started.
    #[error("cannot run {program}; {advice}")]
    ToolMissing {
        /// Its name.
        program: String,
        /// What to install.
        advice: String,
        /// Why.
        source: io::Error,
    },
    /// Another build uses the same cache.
    #[error("another build is running in {}; wait for it or use another --cache", .0.display())]
    CacheBusy(PathBuf),
    /// A format of the disk could not be written.
    #[error("cannot make the {what}")]
    Format {
        /// Which part.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something does not fit where it must.
    #[error("{what} needs {needed} bytes, {limit} are there; {advice}")]
    TooLarge {
        /// What does not fit.
        what: String,
        /// How much it needs.
        needed: u64,
        /// How much there is.
        limit: u64,
        /// What to do.
        advice: String,
    },
}

impl BuildError {
    /// Names the path of a failed file operation, and a full disk for what it is.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                action,
                path: path.into(),
            },
            _ => Self::Io {
                action,
                path: path.into(),
                source,
            },
        }
    }

    /// Wraps an error of a format crate.
    pub fn format<E>(what: &'static str, source: E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::Format {
            what,
            source: source.into(),
        }
    }

    /// Wraps an error of a format crate that was writing to `path`; a full disk is named for what it is.
    pub fn writing<E>(what: &'static str, path: &Path, source: E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let source = source.into();
        if is_disk_full(&*source) {
            return Self::DiskFull {
                action: "write",
                path: path.into(),
            };
        }
        Self::Format { what, source }
    }
}

/// What C programs and libraries print for `ENOSPC`.
pub const NO_SPACE: &str = "No space left on device";

/// Whether a full disk is behind an error: one of Rust's by its kind, one of C's by its text.
fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::StorageFull) || error.to_string().contains(NO_SPACE) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error and all its causes, one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(error.to_string().trim_end());
        cause = error.source();
    }
    text
}

/// Reads a whole text file.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| BuildError::io("read", path, e))
}

/// Reads a whole file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| BuildError::io("read", path, e))
}

/// Writes a whole file.
pub fn write_bytes(path: &Path, contents: &[u8]) -> Result<()> {
    fs::write(path, contents).map_err(|e| BuildError::io("write", path, e))
}

/// Makes a directory and its parents.
pub fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| BuildError::io("create", path, e))
}

/// Moves a finished file to its final name.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| BuildError::io("rename to", to, e))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<fs::File> {
    fs::File::open(path).map_err(|e| BuildError::io("open", path, e))
}

/// Creates or truncates a file; it can be read back too.
pub fn create(path: &Path) -> Result<fs::File> {
    fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(|e| BuildError::io("create", path, e))
}
