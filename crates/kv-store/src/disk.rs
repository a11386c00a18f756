//! What the store asks of a file system, so that tests can put another in its place.
//!
//! Only what it needs: whole files read and written at positions, names that change atomically.
use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system. Names (creations, renames, removals) are durable after [`Disk::sync_folder`].
pub trait Disk: Send + Sync + 'static {
    /// Opens a file that exists.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file, empty, whatever stood there before.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a folder and those above it; it may exist.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, in no particular order.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, over another if there is one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with the files in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Takes a lock that lasts until it is dropped; an error of kind `WouldBlock` if it is held.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// Bytes that can still be written, in files below this folder.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
    /// Seconds since 1970-01-01 00:00 UTC.
    fn unix_seconds(&self) -> u64;
}

/// An open file. What was written is durable after [`DiskFile::sync`].
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads exactly so many bytes.
    fn read_at(&self, position: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of it; past the end, what lies between reads as zeros.
    fn write_at(&self, position: u64, data: &[u8]) -> io::Result<()>;
    /// Cuts the file off, or fills it up with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
}

/// Whether an error says that there is no room left, for now.
pub(crate) fn is_no_space(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
