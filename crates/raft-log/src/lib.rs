//! A durable log for Raft: preallocated segments, one writer thread, group commit.
//!
//! [`RaftLog`] keeps numbered entries, the vote, a note on what is committed and one on what was
//! purged, in one stream of records. Requests are queued; the writer takes all that has gathered,
//! writes it with one write and one `fdatasync` into room that is allocated and zeroed already, and
//! calls their [`Done`]s in order. While it syncs, the next batch gathers.
//!
//! - **After a power cut** a write that was cut off is removed by itself. Damage in what was durable
//!   is told apart from that, and opening is refused with the place ([`OpenError::Damaged`]).
//! - **A failed write or sync** is final: every request from then on fails, nothing is tried again.
//! - **A full disk** is no failure: [`RaftLog::space`] says so while there is still room for what is
//!   under way, and recovers by itself. (On file systems that write to new places, as btrfs and ZFS
//!   do, room cannot be reserved; there it is a failed write.)
//!
//! Entries are opaque bytes; the crate knows nothing of any Raft implementation, and replicates
//! nothing. What it cannot notice: damage in the very last write, and a newest segment that somebody
//! removed. Both look like a power cut.
//!
//! The bytes on the disk are described in `format`; [`scan()`] reads a segment without a file system.

mod cache;
mod disk;
mod error;
mod file_disk;
mod format;
mod histogram;
mod keeper;
mod locations;
mod log;
mod log_state;
mod memory_disk;
mod options;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared;
mod writer;

pub use disk::{Disk, DiskFile, FolderLock};
pub use error::{Expected, Failure, LogError, OpenError, Operation};
pub use file_disk::FileDisk;
pub use format::{Kind, Preamble};
pub use histogram::Histogram;
pub use log::{RaftLog, SpaceState};
pub use memory_disk::{MemoryDisk, Survival};
pub use options::{Damage, Options};
pub use scan::{End, Record, Scan, ScanError, scan};
pub use shared::{Done, Entry};
