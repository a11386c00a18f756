//! The database file: opening, committing deltas, and what stands in it beside the tables.
//!
//! When to commit, and what to do when it fails, is decided elsewhere.
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kv_model::{Revision, Table};
use redb::{ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Failure, Link};
use crate::base::{Base, ReadTables};
use crate::delta::{Change, Delta};
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::options::Options;
use crate::rows::Merged;

/// What a commit stands for. Stored in the same transaction as the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) format: u32,
    /// Which of the folders `history-N` belongs to it.
    pub(crate) generation: u64,
    /// Counts commits, so that after a failed one it can be told whether it happened.
    pub(crate) commit: u64,
    pub(crate) progress: Option<Bytes>,
    pub(crate) history: Position,
}

/// The format this program writes.
pub(crate) const FORMAT: u32 = 1;

/// How far the history goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Where the records that are kept begin, counted over all there ever were in this generation.
    pub(crate) begin: u64,
    /// Where they end.
    pub(crate) end: u64,
    /// Their number.
    pub(crate) events: u64,
    /// The revision of the last.
    pub(crate) newest: Revision,
}

/// One redb table for each of the model's: their keys need no prefix then, so a look-up copies none.
const TABLES: [TableDefinition<'_, &[u8], &[u8]>; Table::ALL.len()] = [
    TableDefinition::new("keys"),
    TableDefinition::new("directories"),
    TableDefinition::new("leases"),
    TableDefinition::new("leased keys"),
    TableDefinition::new("deadlines"),
    TableDefinition::new("users"),
    TableDefinition::new("roles"),
    TableDefinition::new("settings"),
];
/// [`Meta`], by the key `state`.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const META_KEY: &str = "state";

/// An open database file. The only one that writes it.
pub(crate) struct Database {
    redb: Arc<redb::Database>,
    link: Arc<Link>,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    cache_bytes: usize,
}

/// A commit that did not happen.
#[derive(Debug)]
pub(crate) struct CommitError {
    pub(crate) failure: Failure,
    /// redb's words.
    pub(crate) source: Box<redb::Error>,
}

impl Database {
    /// Creates an empty database in place of whatever is at the path. Nothing is in it, nothing is
    /// durable yet.
    pub(crate) fn create(
        disk: &dyn Disk,
        path: &Path,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let file = disk.create(path).map_err(OpenError::io(path))?;
        Self::over(file, path, options.cache_bytes, false)
    }

    /// Opens a database that exists.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, options: &Options) -> Result<Self, OpenError> {
        let file = disk.open(path).map_err(OpenError::io(path))?;
        if file.length().map_err(OpenError::io(path))? == 0 {
            return Err(damaged(path, "it is empty"));
        }
        Self::over(file, path, options.cache_bytes, options.verify_at_open)
    }

    /// Opens the file once more: redb refuses everything after a failed write. This one is of no
    /// use any more, nor are its read transactions.
    pub(crate) fn reopened(&self) -> Result<Self, OpenError> {
        self.link.cut();
        Self::over(Arc::clone(&self.file), &self.path, self.cache_bytes, false)
    }

    fn over(
        file: Arc<dyn DiskFile>,
        path: &Path,
        cache_bytes: usize,
        verify: bool,
    ) -> Result<Self, OpenError> {
        let link = Arc::new(Link::default());
        let backend = Backend {
            file: Arc::clone(&file),
            link: Arc::clone(&link),
        };
        let mut builder = redb::Builder::new();
        builder.set_cache_size(cache_bytes);
        builder.set_check_integrity_on_open(verify);
        // redb may panic over a file that was changed by somebody else.
        let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend)));
        let opened = opened.map_err(|_| damaged(path, "reading it made redb panic"))?;
        Ok(Self {
            redb: Arc::new(opened.map_err(|error| open_error(path, error))?),
            link,
            file,
            path: path.to_owned(),
            cache_bytes,
        })
    }

    /// The file has another name now.
    pub(crate) fn renamed(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(crate) fn length(&self) -> u64 {
        self.file.length().unwrap_or(0)
    }

    /// The last commit, for readers.
    pub(crate) fn base(&self) -> Result<Base, OpenError> {
        let read = catch_unwind(AssertUnwindSafe(|| self.read_base()));
        let read = read.map_err(|_| damaged(&self.path, "reading it made redb panic"))?;
        let (meta, tables) = read.map_err(|error| match error {
            redb::Error::Io(source) => OpenError::io(&self.path)(source),
            other => damaged(&self.path, &other),
        })?;
        let meta: Meta =
            postcard::from_bytes(&meta).map_err(|error| damaged(&self.path, &error))?;
        if meta.format > FORMAT {
            return Err(OpenError::TooNew {
                path: self.path.clone(),
                found: meta.format,
                known: FORMAT,
            });
        }
        Ok(Base::new(meta, tables))
    }

    fn read_base(&self) -> Result<(Vec<u8>, ReadTables), redb::Error> {
        let transaction = self.redb.begin_read()?;
        let meta = transaction.open_table(META)?.get(META_KEY)?;
        let meta = meta.map(|meta| meta.value().to_vec()).unwrap_or_default();
        let open = |definition| Ok(transaction.open_table(definition)?);
        let tables = TABLES.map(open).into_iter();
        let tables = ReadTables {
            tables: tables.collect::<Result<Vec<_>, redb::Error>>()?,
            _database: Arc::clone(&self.redb),
        };
        Ok((meta, tables))
    }

    /// Begins to write.
    pub(crate) fn begin(&self) -> Result<Writing<'_>, CommitError> {
        self.link.forget();
        let begin = || -> Result<_, redb::Error> {
            let mut transaction = self.redb.begin_write()?;
            // So that no crash makes the next start walk the whole file.
            transaction.set_quick_repair(true);
            for definition in TABLES {
                transaction.open_table(definition)?;
            }
            Ok(transaction)
        };
        Ok(Writing {
            transaction: begin().map_err(|error| self.commit_error(error))?,
            database: self,
        })
    }

    /// Writes what deltas (oldest first) changed, in the order of keys, and makes it durable.
    pub(crate) fn commit(&self, deltas: &[Arc<Delta>], meta: &Meta) -> Result<(), CommitError> {
        let mut writing = self.begin()?;
        for table in Table::ALL {
            let all = (Bound::Unbounded, Bound::Unbounded);
            let youngest_first = deltas.iter().rev().map(|delta| &**delta);
            let rows = Merged::new(youngest_first, table, all);
            writing.change(table, rows.map(|(key, change)| (&key[..], change)))?;
        }
        writing.commit(meta)
    }

    fn commit_error(&self, source: redb::Error) -> CommitError {
        CommitError {
            failure: self
                .link
                .failure()
                .unwrap_or_else(|| Failure::Lasting(source.to_string())),
            source: Box::new(source),
        }
    }
}

/// A transaction that is being written.
pub(crate) struct Writing<'a> {
    transaction: redb::WriteTransaction,
    database: &'a Database,
}

impl Writing<'_> {
    /// Changes rows of a table; best in the order of keys.
    pub(crate) fn change<'r>(
        &mut self,
        table: Table,
        rows: impl Iterator<Item = (&'r [u8], &'r Change)>,
    ) -> Result<(), CommitError> {
        let change = || -> Result<(), redb::Error> {
            let mut table = self.transaction.open_table(TABLES[table as usize])?;
            for (key, change) in rows {
                match change {
                    Change::Set(value) => drop(table.insert(key, &value[..])?),
                    Change::Removed => drop(table.remove(key)?),
                }
            }
            Ok(())
        };
        change().map_err(|error| self.database.commit_error(error))
    }

    /// Makes it durable.
    pub(crate) fn commit(self, meta: &Meta) -> Result<(), CommitError> {
        let commit = || -> Result<(), redb::Error> {
            let encoded = postcard::to_stdvec(meta)
                .map_err(|error| redb::Error::Io(io::Error::other(error)))?;
            let mut table = self.transaction.open_table(META)?;
            table.insert(META_KEY, &encoded[..])?;
            drop(table);
            self.transaction.commit()?;
            Ok(())
        };
        commit().map_err(|error| self.database.commit_error(error))
    }
}

fn damaged(path: &Path, reason: &(impl ToString + ?Sized)) -> OpenError {
    OpenError::DatabaseDamaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn open_error(path: &Path, error: redb::DatabaseError) -> OpenError {
    match error {
        // redb says so of a file that is none of its own, or too short.
        redb::DatabaseError::Storage(redb::StorageError::Io(source))
            if !matches!(
                source.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            OpenError::io(path)(source)
        }
        other => damaged(path, &other),
    }
}
