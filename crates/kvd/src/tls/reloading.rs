//! A value built from files, built again when they change.
//!
//! The files are looked at when the value is asked for, at most once a second: no thread, no timer.
//! If the new files are broken, the old value stays and the reason is logged once.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::TlsError;

/// Between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(1);

/// What shows that a file is another one; none if it is gone.
type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

struct Seen {
    at: Instant,
    stamps: Vec<Stamp>,
}

/// A value that follows its files.
pub(crate) struct Reloading<T> {
    /// Of what, for the log.
    what: &'static str,
    files: Vec<PathBuf>,
    build: Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>,
    current: ArcSwap<T>,
    seen: Mutex<Seen>,
}

impl<T> Reloading<T> {
    /// Builds it for the first time; then an error counts.
    pub(crate) fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        build: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        // Looked at before building: a change in between is seen as one.
        let stamps = files.iter().map(|path| stamp(path)).collect();
        let current = ArcSwap::from_pointee(build()?);
        let at = Instant::now();
        Ok(Self {
            what,
            files,
            build: Box::new(build),
            current,
            seen: Mutex::new(Seen { at, stamps }),
        })
    }

    /// The value of the moment.
    pub(crate) fn current(&self) -> Arc<T> {
        let is_due = self
            .seen
            .try_lock()
            .is_some_and(|seen| seen.at.elapsed() >= INTERVAL);
        if is_due {
            self.follow();
        }
        self.current.load_full()
    }

    /// Looks at the files now, and builds again if they changed.
    pub(crate) fn follow(&self) {
        let mut seen = self.seen.lock();
        seen.at = Instant::now();
        let stamps: Vec<Stamp> = self.files.iter().map(|path| stamp(path)).collect();
        if stamps == seen.stamps {
            return;
        }
        seen.stamps = stamps;
        match (self.build)() {
            Ok(value) => {
                self.current.store(Arc::new(value));
                tracing::info!("new certificates {} are in use", self.what);
            }
            Err(error) => {
                let what = self.what;
                tracing::error!("the old certificates {what} stay in use: {error}");
            }
        }
    }
}
