//! The database's view of a [`DiskFile`], with a note of the first write that failed.
//!
//! redb reports only that something failed before; which operation it was decides whether trying
//! again is allowed. Locking is the store's affair.
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::disk::{DiskFile, is_no_space};

/// What became of the first operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A write found no room; nothing of it counts.
    NoSpace(String),
    /// A write failed otherwise, or a sync failed: what is on disk is unknown.
    Lasting(String),
}

/// What a [`Backend`] and its owner share: a note of what failed, and whether it may go on.
#[derive(Debug, Default)]
pub(crate) struct Link {
    failure: Mutex<Option<Failure>>,
    /// Shared by each access, so that none is under way when it is cut.
    is_cut: RwLock<bool>,
}

impl Link {
    /// What failed since the last [`Self::forget`].
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.lock().clone()
    }

    pub(crate) fn forget(&self) {
        *self.failure.lock() = None;
    }

    /// Lets nothing through any more, and waits for what is under way: another is about to use the
    /// file, and would change what readers of this one see.
    pub(crate) fn cut(&self) {
        *self.is_cut.write() = true;
    }

    fn access<T>(&self, access: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let is_cut = self.is_cut.read();
        if *is_cut {
            return Err(io::Error::other("the file is used by another"));
        }
        access()
    }

    fn note<T>(&self, result: io::Result<T>, retry: Retry) -> io::Result<T> {
        if let Err(error) = &result {
            let text = error.to_string();
            let failure = match retry {
                Retry::IfNoSpace if is_no_space(error.kind()) => Failure::NoSpace(text),
                Retry::IfNoSpace | Retry::Never => Failure::Lasting(text),
            };
            let mut noted = self.failure.lock();
            // redb passes over some writes that fail; the first that was worse counts.
            if !matches!(*noted, Some(Failure::Lasting(_))) {
                *noted = Some(failure);
            }
        }
        result
    }
}

/// After a failed sync nobody knows which pages the kernel dropped.
#[derive(Clone, Copy)]
enum Retry {
    IfNoSpace,
    Never,
}

/// redb's storage.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) link: Arc<Link>,
}

impl Backend {
    fn change(&self, retry: Retry, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.link.access(|| self.link.note(change(), retry))
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.link.access(|| self.file.length())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.link.access(|| self.file.read_at(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Retry::IfNoSpace, || self.file.set_length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Retry::Never, || self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Retry::IfNoSpace, || self.file.write_at(offset, data))
    }
}
