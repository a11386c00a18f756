//! A disk and a boot folder that stop at some operation, and what a power cut there leaves of them.
//!
//! Does not model a disk that loses what it confirmed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use disk_format::disk::Disk;
use slot_install::boot_folder::BootFolder;

const SECTOR: usize = 512;

/// Operations that change something, counted; after the last one nothing works any more.
#[derive(Clone, Debug)]
pub(crate) struct Power {
    used: Rc<Cell<usize>>,
    cut_after: usize,
}

impl Power {
    pub(crate) fn cut_after(operations: usize) -> Self {
        Self {
            used: Rc::default(),
            cut_after: operations,
        }
    }

    pub(crate) fn never_cut() -> Self {
        Self::cut_after(usize::MAX)
    }

    /// Operations so far.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    fn spend(&self) -> io::Result<()> {
        if self.used.get() >= self.cut_after {
            return Err(io::Error::other("the power is off"));
        }
        self.used.set(self.used.get() + 1);
        Ok(())
    }
}

/// Sectors by their offset.
type Sectors = Vec<(usize, Vec<u8>)>;

/// A disk in memory.
#[derive(Debug)]
pub(crate) struct TestDisk {
    durable: Rc<RefCell<Vec<u8>>>,
    /// Sectors written since the last sync.
    pending: Rc<RefCell<Sectors>>,
    now: Cursor<Vec<u8>>,
    power: Power,
}

/// What is looked at after the power was cut, while the disk itself is with the installation.
#[derive(Clone, Debug)]
pub(crate) struct Platters {
    durable: Rc<RefCell<Vec<u8>>>,
    pending: Rc<RefCell<Sectors>>,
}

impl Platters {
    /// The disk, of whose unsynced sectors those survived for which the mask has a bit.
    pub(crate) fn contents(&self, mask: u64) -> Vec<u8> {
        let mut contents = self.durable.borrow().clone();
        for (index, (offset, sector)) in self.pending.borrow().iter().enumerate() {
            if mask >> (index % 64) & 1 == 1 {
                contents[*offset..*offset + sector.len()].copy_from_slice(sector);
            }
        }
        contents
    }
}

impl TestDisk {
    pub(crate) fn new(contents: Vec<u8>, power: &Power) -> (Self, Platters) {
        let disk = Self {
            durable: Rc::new(RefCell::new(contents.clone())),
            pending: Rc::default(),
            now: Cursor::new(contents),
            power: power.clone(),
        };
        let platters = Platters {
            durable: Rc::clone(&disk.durable),
            pending: Rc::clone(&disk.pending),
        };
        (disk, platters)
    }
}

impl Read for TestDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.now.read(buffer)
    }
}

impl Write for TestDisk {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.power.spend()?;
        let start = usize::try_from(self.now.position()).expect("small");
        assert!(
            start + buffer.len() <= self.now.get_ref().len(),
            "a write past the disk's end"
        );
        for (index, sector) in buffer.chunks(SECTOR).enumerate() {
            let offset = start + index * SECTOR;
            self.pending.borrow_mut().push((offset, sector.to_vec()));
        }
        self.now.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for TestDisk {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        self.now.seek(target)
    }
}

impl Disk for TestDisk {
    fn sync(&mut self) -> io::Result<()> {
        self.power.spend()?;
        self.durable.borrow_mut().clone_from(self.now.get_ref());
        self.pending.borrow_mut().clear();
        Ok(())
    }
}

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A boot folder in memory, each of whose changes is durable at once.
#[derive(Clone, Debug)]
pub(crate) struct TestFolder {
    pub(crate) files: Rc<RefCell<Files>>,
    pub(crate) free_bytes: u64,
    power: Power,
}

impl TestFolder {
    pub(crate) fn new(files: Files, power: &Power) -> Self {
        Self {
            files: Rc::new(RefCell::new(files)),
            free_bytes: 1 << 30,
            power: power.clone(),
        }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl BootFolder for TestFolder {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.borrow().keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.read(name)?.len() as u64)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files.borrow().get(name).cloned().ok_or_else(missing)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.free_bytes)
    }

    /// A power cut leaves half a file.
    fn write(&mut self, name: &str, contents: &[u8]) -> io::Result<()> {
        let half = contents[..contents.len() / 2].to_vec();
        self.power.spend()?;
        self.files.borrow_mut().insert(name.to_owned(), half);
        self.power.spend()?;
        let whole = contents.to_vec();
        self.files.borrow_mut().insert(name.to_owned(), whole);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.power.spend()?;
        let mut files = self.files.borrow_mut();
        assert!(!files.contains_key(to), "{to} exists");
        let contents = files.remove(from).ok_or_else(missing)?;
        files.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.power.spend()?;
        let removed = self.files.borrow_mut().remove(name);
        removed.map(drop).ok_or_else(missing)
    }
}
