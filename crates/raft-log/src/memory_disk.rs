//! The storage seam in memory, for tests: power cuts, failing operations, a disk that fills up.
//!
//! What was not synced is lost at a power cut, or kept in part; so are names. It models one folder
//! tree without permissions, and is not fast.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, FolderLock};

/// What a power cut loses is lost in pieces of this many bytes.
const SECTOR_BYTES: usize = 512;

/// What a power cut leaves of the operations that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// A beginning, in the order of the operations; the seed says how long.
    Prefix(u64),
    /// Any sectors of any writes, any beginning of the changes of names; the seed says which.
    Sectors(u64),
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Operations that change something, so far.
    operations: u64,
    cut_at: Option<u64>,
    is_off: bool,
    /// Files opened before a power cut are of no use behind it.
    session: u64,
    failures: BTreeMap<u64, i32>,
    capacity_bytes: Option<usize>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    name_changes: Vec<NameChange>,
    contents: Vec<Content>,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Default, Clone)]
struct Content {
    /// As reads see it.
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// Writes, syncs and changes of length, so far.
    operations: u64,
    failures: BTreeMap<u64, i32>,
}

#[derive(Clone)]
enum Unsynced {
    Length(usize),
    Write(usize, Vec<u8>),
}

struct MemoryFile {
    disk: MemoryDisk,
    session: u64,
    content: usize,
}

struct MemoryLock {
    disk: MemoryDisk,
    session: u64,
    folder: PathBuf,
}

/// Knuth's multiplicative generator (MMIX): enough to choose sectors.
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).expect("below the limit")
    }
}

fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

impl MemoryDisk {
    /// An empty disk without an end.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations that change something there were.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The power goes off in the middle of operation number `operation` (from 0): it may have its
    /// effect or not, and everything behind it fails.
    pub fn cut_power_at(&self, operation: u64) {
        self.lock().cut_at = Some(operation);
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Cuts the power, unless it is off, and turns it on again. What was to fail is forgotten.
    pub fn restart(&self, survival: Survival) {
        self.restart_process();
        let mut inner = self.lock();
        let mut choices = Choices(match survival {
            Survival::Prefix(seed) | Survival::Sectors(seed) => seed.wrapping_mul(2) + 1,
            _ => 1,
        });
        let changes = std::mem::take(&mut inner.name_changes);
        let kept = match survival {
            Survival::Nothing => 0,
            Survival::Everything => changes.len(),
            _ => choices.below(changes.len() + 1),
        };
        let mut names = std::mem::take(&mut inner.durable_names);
        for change in changes.into_iter().take(kept) {
            change.apply(&mut names);
        }
        inner.names.clone_from(&names);
        inner.durable_names = names;
        for content in &mut inner.contents {
            content.survive(survival, &mut choices);
        }
    }

    /// The process ends and another one begins: what is not synced is seen and not durable.
    pub fn restart_process(&self) {
        let mut inner = self.lock();
        inner.session += 1;
        inner.is_off = false;
        inner.cut_at = None;
        inner.failures.clear();
        for content in &mut inner.contents {
            content.failures.clear();
        }
        inner.locked.clear();
    }

    /// Operation number `operation` (from 0) fails with an error number of the system and without
    /// effect. A sync that fails loses what it should have made durable, but reads still see it.
    pub fn fail_at(&self, operation: u64, error_number: i32) {
        self.lock().failures.insert(operation, error_number);
    }

    /// How many operations that change its content there were on a file.
    pub fn operations_on(&self, path: &Path) -> u64 {
        let inner = self.lock();
        let content = inner.names.get(path);
        content.map_or(0, |content| inner.contents[*content].operations)
    }

    /// As [`MemoryDisk::fail_at`], for an operation on one file, counted by
    /// [`MemoryDisk::operations_on`]: whatever else happens on the disk meanwhile, it is this that fails.
    ///
    /// # Panics
    ///
    /// If there is no such file.
    pub fn fail_on(&self, path: &Path, operation: u64, error_number: i32) {
        let mut inner = self.lock();
        let content = inner.content_of(path).expect("the file is there");
        let failures = &mut inner.contents[content].failures;
        failures.insert(operation, error_number);
    }

    /// How many bytes all files may have together; none for no limit.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.lock().capacity_bytes = bytes;
    }

    /// The files there are.
    pub fn files(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// A file's bytes.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.lock();
        let content = *inner.names.get(path)?;
        Some(inner.contents[content].current.clone())
    }

    /// Puts a file there, or in the place of another, durably.
    pub fn set_contents(&self, path: &Path, bytes: Vec<u8>) {
        let mut inner = self.lock();
        inner.contents.push(Content {
            durable: bytes.clone(),
            current: bytes,
            ..Content::default()
        });
        let content = inner.contents.len() - 1;
        inner.names.insert(path.to_owned(), content);
        inner.durable_names.insert(path.to_owned(), content);
    }
}

impl Inner {
    /// Counts an operation; an error if it fails. When the power goes off with it, `true`: its
    /// effect is then up to what survives.
    fn begin(&mut self, session: Option<u64>) -> io::Result<bool> {
        self.check(session)?;
        let number = self.operations;
        self.operations += 1;
        if let Some(error_number) = self.failures.remove(&number) {
            return Err(io::Error::from_raw_os_error(error_number));
        }
        self.is_off = self.cut_at == Some(number);
        Ok(self.is_off)
    }

    /// As [`Inner::begin`], for an operation on a file.
    fn begin_on(&mut self, content: usize, session: u64) -> io::Result<bool> {
        let is_cut = self.begin(Some(session))?;
        let content = &mut self.contents[content];
        content.operations += 1;
        match content.failures.remove(&(content.operations - 1)) {
            Some(error_number) => Err(io::Error::from_raw_os_error(error_number)),
            None => Ok(is_cut),
        }
    }

    fn check(&self, session: Option<u64>) -> io::Result<()> {
        if self.is_off || session.is_some_and(|session| session != self.session) {
            return Err(input_output_error());
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let is_cut = self.begin(None)?;
        change.apply(&mut self.names);
        self.name_changes.push(change);
        if is_cut {
            Err(input_output_error())
        } else {
            Ok(())
        }
    }

    fn content_of(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used_bytes(&self) -> usize {
        self.names
            .values()
            .map(|content| self.contents[*content].current.len())
            .sum()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Set(path, content) => {
                names.insert(path.clone(), *content);
            }
            Self::Rename(from, to) => {
                if let Some(content) = names.remove(from) {
                    names.insert(to.clone(), content);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl Unsynced {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, written) => write(bytes, *offset, written),
        }
    }

    /// In pieces that do not cross the bounds of sectors.
    fn sectors(self) -> Vec<Self> {
        let Self::Write(mut offset, mut written) = self else {
            return vec![self];
        };
        let mut pieces = Vec::new();
        while !written.is_empty() {
            let piece = (SECTOR_BYTES - offset % SECTOR_BYTES).min(written.len());
            let rest = written.split_off(piece);
            pieces.push(Self::Write(offset, written));
            written = rest;
            offset += piece;
        }
        pieces
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[offset..end].copy_from_slice(written);
}

impl Content {
    fn survive(&mut self, survival: Survival, choices: &mut Choices) {
        let pieces: Vec<Unsynced> = self
            .unsynced
            .drain(..)
            .flat_map(Unsynced::sectors)
            .collect();
        let kept = choices.below(pieces.len() + 1);
        for (position, piece) in pieces.iter().enumerate() {
            let is_kept = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Prefix(_) => position < kept,
                Survival::Sectors(_) => choices.below(2) == 0,
            };
            if is_kept {
                piece.apply(&mut self.durable);
            }
        }
        self.current.clone_from(&self.durable);
    }
}

impl Disk for MemoryDisk {
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        self.lock().check(None)
    }

    fn lock_folder(&self, folder: &Path) -> io::Result<Box<dyn FolderLock>> {
        let mut inner = self.lock();
        inner.check(None)?;
        if !inner.locked.insert(folder.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock {
            disk: self.clone(),
            session: inner.session,
            folder: folder.to_owned(),
        }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        inner.check(None)?;
        let here = inner
            .names
            .keys()
            .filter(|path| path.parent() == Some(folder));
        Ok(here
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.contents.push(Content::default());
        let content = inner.contents.len() - 1;
        inner.change_name(NameChange::Set(path.to_owned(), content))?;
        Ok(self.file(&inner, content))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.lock();
        inner.check(None)?;
        Ok(self.file(&inner, inner.content_of(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.content_of(from)?;
        inner.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.content_of(path)?;
        inner.change_name(NameChange::Remove(path.to_owned()))
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.begin(None)? {
            return Err(input_output_error());
        }
        inner.name_changes.clear();
        inner.durable_names = inner.names.clone();
        Ok(())
    }
}

impl MemoryDisk {
    fn file(&self, inner: &Inner, content: usize) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile {
            disk: self.clone(),
            session: inner.session,
            content,
        })
    }
}

impl FolderLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut inner = self.disk.lock();
        if inner.session == self.session {
            inner.locked.remove(&self.folder);
        }
    }
}

impl MemoryFile {
    fn change(&self, unsynced: Unsynced) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let is_cut = inner.begin_on(self.content, self.session)?;
        let content = &mut inner.contents[self.content];
        unsynced.apply(&mut content.current);
        content.unsynced.push(unsynced);
        if is_cut {
            Err(input_output_error())
        } else {
            Ok(())
        }
    }

    /// Whether this many bytes would fit on the disk.
    fn check_room(&self, length: usize) -> io::Result<()> {
        let inner = self.disk.lock();
        let more = length.saturating_sub(inner.contents[self.content].current.len());
        match inner.capacity_bytes {
            Some(capacity) if more > 0 && inner.used_bytes() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

fn memory_size(number: u64) -> usize {
    usize::try_from(number).expect("files in memory fit into it")
}

impl DiskFile for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        let inner = self.disk.lock();
        inner.check(Some(self.session))?;
        Ok(inner.contents[self.content].current.len() as u64)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.check_room(memory_size(length))?;
        self.change(Unsynced::Length(memory_size(length)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let inner = self.disk.lock();
        inner.check(Some(self.session))?;
        let begin = memory_size(offset);
        let bytes = inner.contents[self.content]
            .current
            .get(begin..begin + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = memory_size(offset);
        self.check_room(offset + bytes.len())?;
        self.change(Unsynced::Write(offset, bytes.to_vec()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let result = inner.begin_on(self.content, self.session);
        let content = &mut inner.contents[self.content];
        match result {
            Ok(false) => {
                // Only what is known as unsynced: see below.
                for unsynced in content.unsynced.drain(..) {
                    unsynced.apply(&mut content.durable);
                }
                Ok(())
            }
            Ok(true) => Err(input_output_error()),
            Err(error) => {
                // As Linux does: the pages count as clean, and their content never reaches the disk.
                if !inner.is_off {
                    inner.contents[self.content].unsynced.clear();
                }
                Err(error)
            }
        }
    }
}
