//! The storage seam: the few operations on files that the log needs.
//!
//! [`FileDisk`](crate::FileDisk) does them on a real file system, [`MemoryDisk`](crate::MemoryDisk)
//! in memory with power cuts and faults. Nothing here knows what the bytes mean.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// Held as long as a folder is in use by this log; dropping it lets go.
pub trait FolderLock: Send + Sync {}

/// Folders and names.
pub trait Disk: Send + Sync + 'static {
    /// Creates a folder with its parents, durably; none of it is an error if it is there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes a folder for this log alone; `WouldBlock` if it is taken.
    fn lock_folder(&self, folder: &Path) -> io::Result<Box<dyn FolderLock>>;

    /// The names of the files in a folder, in no particular order. Names that are no UTF-8 are left
    /// out: none of the log's are like that.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file, in place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file within its folder, in place of one that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; whoever has it open can go on using it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes what was created, renamed and removed in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file. Reads and writes may come from several threads at once.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Makes it `length` bytes long with room on the disk for all of them, or fails for want of room.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Fills `buffer` from `offset` on; the end of the file before that is an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. Durable only after [`sync_data`](Self::sync_data).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written, and the length, durable. After an error nothing is known of what
    /// was written since the last success, and asking again proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}
