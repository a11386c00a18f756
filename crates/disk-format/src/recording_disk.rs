//! A disk for tests that remembers every write and sync, and what a power cut could leave of them.
//!
//! Does not model a disk that loses writes it confirmed as synced.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use crate::disk::Disk;
use crate::test_tools::Noise;

#[derive(Debug)]
struct Sector {
    offset_bytes: usize,
    contents: Vec<u8>,
}

/// Writes between two syncs, cut into sectors: those reach the disk whole, in any order.
type Epoch = Vec<Sector>;

/// A disk in memory.
#[derive(Debug)]
pub(crate) struct RecordingDisk {
    sector_bytes: usize,
    before: Vec<u8>,
    now: Cursor<Vec<u8>>,
    epochs: Vec<Epoch>,
}

impl RecordingDisk {
    pub(crate) fn new(contents: Vec<u8>, sector_bytes: u64) -> Self {
        Self {
            sector_bytes: usize::try_from(sector_bytes).expect("small"),
            before: contents.clone(),
            now: Cursor::new(contents),
            epochs: vec![Vec::new()],
        }
    }

    /// What is on the disk when nothing is lost.
    pub(crate) fn into_contents(self) -> Vec<u8> {
        assert!(
            self.epochs.last().is_none_or(Vec::is_empty),
            "writes after the last sync"
        );
        self.now.into_inner()
    }

    /// Calls `check` with what a power cut could leave, for many cuts: after each sector in order,
    /// and with random sectors of an unsynced epoch missing. Says how many cuts there were.
    pub(crate) fn each_power_cut(&self, mut check: impl FnMut(&[u8], &str)) -> usize {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let mut durable = self.before.clone();
        let mut cuts = 0;
        for (number, epoch) in self.epochs.iter().enumerate() {
            for last in 0..=epoch.len() {
                let survivors = |index: usize| index < last;
                check(
                    &cut(&durable, epoch, survivors),
                    &format!("epoch {number}, {last} sectors"),
                );
                let mask = noise.next();
                let survivors = |index: usize| mask >> (index % 64) & 1 == 1;
                check(
                    &cut(&durable, epoch, survivors),
                    &format!("epoch {number}, mask {mask:x}"),
                );
                cuts += 2;
            }
            durable = cut(&durable, epoch, |_| true);
        }
        cuts
    }
}

fn cut(durable: &[u8], epoch: &Epoch, survives: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut contents = durable.to_vec();
    let survivors = epoch
        .iter()
        .enumerate()
        .filter(|(index, _)| survives(*index));
    for (_, sector) in survivors {
        let end = sector.offset_bytes + sector.contents.len();
        contents[sector.offset_bytes..end].copy_from_slice(&sector.contents);
    }
    contents
}

impl Read for RecordingDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.now.read(buffer)
    }
}

impl Write for RecordingDisk {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let start = usize::try_from(self.now.position()).expect("small");
        assert_eq!(
            start % self.sector_bytes,
            0,
            "a write must begin at a sector"
        );
        assert_eq!(
            buffer.len() % self.sector_bytes,
            0,
            "a write must be of whole sectors"
        );
        assert!(
            start + buffer.len() <= self.now.get_ref().len(),
            "a write past the disk's end"
        );
        let epoch = self.epochs.last_mut().expect("never empty");
        for (index, contents) in buffer.chunks(self.sector_bytes).enumerate() {
            let offset_bytes = start + index * self.sector_bytes;
            epoch.push(Sector {
                offset_bytes,
                contents: contents.to_vec(),
            });
        }
        self.now.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for RecordingDisk {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        self.now.seek(target)
    }
}

impl Disk for RecordingDisk {
    fn sync(&mut self) -> io::Result<()> {
        self.epochs.push(Vec::new());
        Ok(())
    }
}
