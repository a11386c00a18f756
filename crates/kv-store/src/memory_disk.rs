//! A file system in memory that can lose what was not synced, fill up, and fail: for tests.
//!
//! At a power cut each unsynced write survives or not, whole or in sectors, regardless of order;
//! names survive in the order in which they changed. Nothing here is fast.
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};

/// A file system in memory. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<FileState>,
    names: Names,
    durable_names: Names,
    /// Name changes that a power cut may undo, oldest first: the names after each.
    unsynced_names: Vec<Names>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    power_off_at: Option<u64>,
    is_sync_failing: bool,
    capacity_bytes: Option<u64>,
    is_capacity_hidden: bool,
    unix_seconds: u64,
}

type Names = BTreeMap<PathBuf, Entry>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

#[derive(Debug, Clone, Default)]
struct FileState {
    content: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<FileChange>,
}

#[derive(Debug, Clone)]
enum FileChange {
    Write(usize, Vec<u8>),
    SetLength(usize),
}

impl FileChange {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(position, data) => {
                let end = position + data.len();
                content.resize(content.len().max(end), 0);
                content[*position..end].copy_from_slice(data);
            }
            Self::SetLength(length) => content.resize(*length, 0),
        }
    }
}

/// A disk writes so many bytes or none of them.
const SECTOR_BYTES: usize = 512;

/// What a power cut leaves of unsynced changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// Some, chosen by this seed.
    Some(u64),
}

/// xorshift64*: decides what survives.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }
}

impl MemoryDisk {
    /// Lets the power fail after so many changing operations from now: that one and all later ones
    /// do nothing and return errors.
    pub fn power_off_after(&self, operations: u64) {
        let mut inner = self.inner.lock();
        inner.power_off_at = Some(inner.operations + operations);
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.inner.lock().operations
    }

    /// Whether the power failed.
    pub fn is_off(&self) -> bool {
        self.inner.lock().is_off()
    }

    /// Lets every sync fail, or work again.
    pub fn fail_syncs(&self, is_failing: bool) {
        self.inner.lock().is_sync_failing = is_failing;
    }

    /// Files may have so many bytes altogether.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner.lock().capacity_bytes = bytes;
    }

    /// Lets nobody see how much room is left, as with a quota.
    pub fn hide_capacity(&self, is_hidden: bool) {
        self.inner.lock().is_capacity_hidden = is_hidden;
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.inner.lock().used_bytes()
    }

    /// Moves the clock.
    pub fn set_unix_seconds(&self, seconds: u64) {
        self.inner.lock().unix_seconds = seconds;
    }

    /// Changes bytes of a file behind its user's back.
    pub fn damage(&self, path: &Path, position: usize, data: &[u8]) {
        let mut inner = self.inner.lock();
        if let Some(Entry::File(file)) = inner.names.get(path).copied() {
            let file = &mut inner.files[file];
            for content in [&mut file.content, &mut file.durable] {
                FileChange::Write(position, data.to_vec()).apply(content);
            }
        }
    }

    /// The disk as it is found after a power cut. The present one is not touched.
    #[must_use]
    pub fn after_power_cut(&self, survival: Survival) -> Self {
        let inner = self.inner.lock();
        let mut chance = match survival {
            Survival::Some(seed) => Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            Survival::Nothing | Survival::Everything => Chance(1),
        };
        let files = inner.files.iter().map(|file| {
            let content = file.after_power_cut(survival, &mut chance);
            FileState {
                durable: content.clone(),
                content,
                unsynced: Vec::new(),
            }
        });
        let files = files.collect();
        let kept = match survival {
            Survival::Nothing => 0,
            Survival::Everything => inner.unsynced_names.len(),
            Survival::Some(_) => {
                let choices = inner.unsynced_names.len() as u64 + 1;
                usize::try_from(chance.next() % choices).unwrap_or_default()
            }
        };
        let names = kept.checked_sub(1).map(|last| &inner.unsynced_names[last]);
        let names = names.unwrap_or(&inner.durable_names).clone();
        let found = Inner {
            files,
            durable_names: names.clone(),
            names,
            unix_seconds: inner.unix_seconds,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(found)),
        }
    }
}

impl FileState {
    fn after_power_cut(&self, survival: Survival, chance: &mut Chance) -> Vec<u8> {
        let mut content = match survival {
            Survival::Everything => return self.content.clone(),
            Survival::Nothing | Survival::Some(_) => self.durable.clone(),
        };
        let unsynced = self
            .unsynced
            .iter()
            .filter(|_| survival != Survival::Nothing);
        for change in unsynced {
            match (chance.next() % 4, change) {
                (0, _) => {}
                (1, FileChange::Write(position, data)) => {
                    let sectors = data.chunks(SECTOR_BYTES).enumerate();
                    let kept = sectors.filter(|_| chance.next().is_multiple_of(2));
                    for (index, sector) in kept {
                        let position = position + index * SECTOR_BYTES;
                        FileChange::Write(position, sector.to_vec()).apply(&mut content);
                    }
                }
                (_, kept) => kept.apply(&mut content),
            }
        }
        content
    }
}

impl Inner {
    fn is_off(&self) -> bool {
        self.power_off_at.is_some_and(|at| self.operations >= at)
    }

    fn check_power(&self) -> io::Result<()> {
        if self.is_off() {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    /// Counts a changing operation.
    fn change(&mut self) -> io::Result<()> {
        self.check_power()?;
        self.operations += 1;
        self.check_power()
    }

    fn used_bytes(&self) -> u64 {
        let files: BTreeSet<usize> = self.names.values().filter_map(Entry::file).collect();
        files
            .iter()
            .map(|file| self.files[*file].content.len() as u64)
            .sum()
    }

    fn check_room(&self, file: usize, length: usize) -> io::Result<()> {
        let growth = length.saturating_sub(self.files[file].content.len()) as u64;
        let is_over = |capacity| growth > 0 && self.used_bytes() + growth > capacity;
        if self.capacity_bytes.is_some_and(is_over) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Entry::File(file)) => Ok(*file),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn renamed(&mut self) {
        self.unsynced_names.push(self.names.clone());
    }
}

impl Entry {
    fn file(&self) -> Option<usize> {
        match self {
            Self::File(file) => Some(*file),
            Self::Folder => None,
        }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.lock();
        inner.check_power()?;
        Ok(Arc::new(MemoryFile {
            file: inner.file(path)?,
            disk: self.clone(),
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.change()?;
        let file = inner.files.len();
        inner.files.push(FileState::default());
        inner.names.insert(path.to_owned(), Entry::File(file));
        inner.renamed();
        let disk = self.clone();
        Ok(Arc::new(MemoryFile { disk, file }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if !inner.names.contains_key(path) {
            inner.change()?;
            inner.names.insert(path.to_owned(), Entry::Folder);
            inner.renamed();
        }
        Ok(())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner.lock();
        inner.check_power()?;
        let inside = inner
            .names
            .keys()
            .filter(|path| path.parent() == Some(folder));
        let name = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        Ok(inside.filter_map(name).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.change()?;
        let file = inner.file(from)?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), Entry::File(file));
        inner.renamed();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.file(path)?;
        inner.change()?;
        inner.names.remove(path);
        inner.renamed();
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if !inner.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change()?;
        inner.names.retain(|name, _| !name.starts_with(path));
        inner.renamed();
        Ok(())
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.change()?;
        if inner.is_sync_failing {
            return Err(io::Error::other("a sync that fails"));
        }
        inner.unsynced_names.clear();
        inner.durable_names = inner.names.clone();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        if !self.inner.lock().locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        let inner = self.inner.lock();
        let visible = inner.capacity_bytes.filter(|_| !inner.is_capacity_hidden);
        let capacity = visible.unwrap_or(u64::MAX);
        Ok(capacity.saturating_sub(inner.used_bytes()))
    }

    fn unix_seconds(&self) -> u64 {
        self.inner.lock().unix_seconds
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.inner.lock().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

impl MemoryFile {
    fn change(&self, end: usize, change: FileChange) -> io::Result<()> {
        let mut inner = self.disk.inner.lock();
        inner.change()?;
        inner.check_room(self.file, end)?;
        let file = &mut inner.files[self.file];
        change.apply(&mut file.content);
        file.unsynced.push(change);
        Ok(())
    }
}

fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(io::Error::other)
}

impl DiskFile for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        let inner = self.disk.inner.lock();
        inner.check_power()?;
        Ok(inner.files[self.file].content.len() as u64)
    }

    fn read_at(&self, position: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.inner.lock();
        inner.check_power()?;
        let content = inner.files[self.file].content.get(index(position)?..);
        let content = content.and_then(|content| content.get(..out.len()));
        out.copy_from_slice(content.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, position: u64, data: &[u8]) -> io::Result<()> {
        let position = index(position)?;
        let change = FileChange::Write(position, data.to_vec());
        self.change(position + data.len(), change)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let length = index(length)?;
        self.change(length, FileChange::SetLength(length))
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner.lock();
        inner.change()?;
        if inner.is_sync_failing {
            return Err(io::Error::other("a sync that fails"));
        }
        let file = &mut inner.files[self.file];
        let FileState {
            durable, unsynced, ..
        } = file;
        for change in unsynced.drain(..) {
            change.apply(durable);
        }
        Ok(())
    }
}
