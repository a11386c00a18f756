//! The tables as the database holds them at one commit.
//!
//! When a full disk made a commit fail, redb refuses reads too, until the file is opened again. The
//! last commit is the same then, so its readers wait for that and go on; earlier ones cannot be read
//! any more. It is rare: a flush begins only if there seems to be room.
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_model::{Table, TableError};
use parking_lot::RwLock;
use redb::{ReadOnlyTable, StorageError};

use crate::database::Meta;

pub(crate) type StoredTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// A read transaction's tables, with the database they come from.
pub(crate) struct ReadTables {
    /// By the number of the model's table.
    pub(crate) tables: Vec<StoredTable>,
    /// Dropping it would end the transaction.
    pub(crate) _database: Arc<redb::Database>,
}

/// One commit. Readers that share it share one read transaction.
pub(crate) struct Base {
    pub(crate) meta: Meta,
    link: RwLock<Arc<ReadTables>>,
    /// Nobody will give it another transaction.
    is_abandoned: AtomicBool,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Base")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// How long a reader waits for the file to be opened again after a full disk.
const RELINK_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it looks. It happens only while the disk is full.
const RELINK_POLL: Duration = Duration::from_millis(5);

impl Base {
    pub(crate) fn new(meta: Meta, tables: ReadTables) -> Self {
        Self {
            meta,
            link: RwLock::new(Arc::new(tables)),
            is_abandoned: AtomicBool::new(false),
        }
    }

    /// Reads from another transaction from now on, one of the same content.
    pub(crate) fn relink(&self, other: &Self) {
        let tables = Arc::clone(&other.link.read());
        *self.link.write() = tables;
    }

    /// Lets nobody wait for a [`Self::relink`] any more: it is not the last commit, or the disk
    /// failed for good.
    pub(crate) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
    }

    fn reading<T>(
        &self,
        read: impl Fn(&ReadTables) -> Result<T, StorageError>,
    ) -> Result<T, TableError> {
        loop {
            let link = self.link.read();
            // redb may panic over a page that is not what was written.
            let value = catch_unwind(AssertUnwindSafe(|| read(&link)));
            let value = value.map_err(|_| TableError("a page of the database is damaged".into()));
            match value? {
                Ok(value) => return Ok(value),
                Err(StorageError::PreviousIo | StorageError::DatabaseClosed) => {
                    let failed = Arc::clone(&link);
                    drop(link);
                    self.wait_for_relink(&failed)?;
                }
                Err(error) => return Err(TableError(Box::new(error))),
            }
        }
    }

    fn wait_for_relink(&self, failed: &Arc<ReadTables>) -> Result<(), TableError> {
        let begin = Instant::now();
        while Arc::ptr_eq(&self.link.read(), failed) {
            if self.is_abandoned.load(Ordering::Acquire) || begin.elapsed() > RELINK_TIMEOUT {
                return Err(TableError(Box::new(StorageError::PreviousIo)));
            }
            std::thread::sleep(RELINK_POLL);
        }
        Ok(())
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.reading(|link| {
            let value = link.tables[table as usize].get(key)?;
            Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    /// Some rows of a range, from its beginning: none only if it is empty.
    pub(crate) fn chunk(
        &self,
        table: Table,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        limit: ChunkLimit,
    ) -> Result<Vec<(Bytes, Bytes)>, TableError> {
        self.reading(|link| {
            let mut rows = Vec::new();
            let mut bytes = 0;
            for row in link.tables[table as usize].range::<&[u8]>(bounds)? {
                let (key, value) = row?;
                bytes += key.value().len() + value.value().len();
                let copy = Bytes::copy_from_slice;
                rows.push((copy(key.value()), copy(value.value())));
                if rows.len() >= limit.rows || bytes >= limit.bytes {
                    break;
                }
            }
            Ok(rows)
        })
    }
}

/// Where a chunk ends: at the row that reaches one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkLimit {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// A range of the stored rows, read in chunks that grow: who wants one row pays for few.
pub(crate) struct BaseRows<'a> {
    base: &'a Base,
    table: Table,
    to: Option<Bytes>,
    rows: std::vec::IntoIter<(Bytes, Bytes)>,
    progress: ChunkProgress,
    limit: ChunkLimit,
}

/// Where the next chunk begins.
enum ChunkProgress {
    From(Bytes),
    After(Bytes),
    End,
}

const FIRST_CHUNK: ChunkLimit = ChunkLimit {
    rows: 4,
    bytes: 64 * 1024,
};
const CHUNK_ROWS_MAX: usize = 512;

impl<'a> BaseRows<'a> {
    pub(crate) fn new(base: &'a Base, table: Table, from: &[u8], to: Option<&[u8]>) -> Self {
        Self {
            base,
            table,
            to: to.map(Bytes::copy_from_slice),
            rows: Vec::new().into_iter(),
            progress: ChunkProgress::From(Bytes::copy_from_slice(from)),
            limit: FIRST_CHUNK,
        }
    }

    fn read_chunk(&mut self) -> Result<(), TableError> {
        let to = self.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let from = match &self.progress {
            ChunkProgress::From(key) => Bound::Included(&key[..]),
            ChunkProgress::After(key) => Bound::Excluded(&key[..]),
            ChunkProgress::End => return Ok(()),
        };
        let rows = self.base.chunk(self.table, (from, to), self.limit)?;
        self.progress = match rows.last() {
            Some((last, _)) => ChunkProgress::After(last.clone()),
            None => ChunkProgress::End,
        };
        self.limit.rows = CHUNK_ROWS_MAX.min(self.limit.rows * 2);
        self.rows = rows.into_iter();
        Ok(())
    }
}

impl Iterator for BaseRows<'_> {
    type Item = Result<(Bytes, Bytes), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rows.len() == 0
            && let Err(error) = self.read_chunk()
        {
            self.progress = ChunkProgress::End;
            return Some(Err(error));
        }
        self.rows.next().map(Ok)
    }
}
