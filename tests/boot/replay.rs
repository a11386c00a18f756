//! A disk brought to what it was when the power failed, from the writes that QEMU recorded.
//!
//! Between two flushes a disk may have kept any of the sectors written, in any order; sectors are whole.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fastrand::Rng;
use keelson_qemu::write_log::{Request, WriteLog};

const SECTOR_BYTES: usize = 512;

/// Bytes and the offset where they were, or were written.
type Piece = (u64, Vec<u8>);

/// The writes between two flushes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Epoch(Vec<Piece>);

impl Epoch {
    /// Whether any of it is in this range of bytes.
    pub(crate) fn touches(&self, start: u64, end: u64) -> bool {
        let mut pieces = self.0.iter();
        pieces.any(|(offset, data)| *offset < end && offset + data.len() as u64 > start)
    }

    /// All of it reached the disk.
    pub(crate) fn apply(&self, disk: &File) {
        write(disk, &self.0);
    }

    /// Some of its sectors reached the disk. Returns what they replaced, for [`undo`].
    pub(crate) fn apply_torn(&self, disk: &File, random: &mut Rng) -> Vec<Piece> {
        let sectors = self.0.iter().flat_map(|(offset, data)| {
            let offsets = (*offset..).step_by(SECTOR_BYTES);
            offsets.zip(data.chunks(SECTOR_BYTES))
        });
        let mut replaced = Vec::new();
        for (offset, sector) in sectors {
            if random.bool() {
                let mut old = vec![0; sector.len()];
                disk.read_exact_at(&mut old, offset)
                    .expect("the disk can be read");
                replaced.push((offset, old));
                disk.write_all_at(sector, offset)
                    .expect("the disk can be written");
            }
        }
        replaced
    }
}

/// Takes [`Epoch::apply_torn`] back, the last sector first.
pub(crate) fn undo(disk: &File, mut replaced: Vec<Piece>) {
    replaced.reverse();
    write(disk, &replaced);
}

fn write(disk: &File, pieces: &[Piece]) {
    for (offset, data) in pieces {
        disk.write_all_at(data, *offset)
            .expect("the disk can be written");
    }
}

/// What was recorded, flush by flush. Nobody may have waited for the last of it.
pub(crate) fn epochs(log: &Path) -> impl Iterator<Item = Epoch> {
    let log = WriteLog::open(log).unwrap_or_else(|e| panic!("{e}"));
    Epochs {
        log,
        read: VecDeque::new(),
    }
}

struct Epochs {
    log: WriteLog<BufReader<File>>,
    read: VecDeque<Request>,
}

impl Epochs {
    fn request(&mut self) -> Option<Request> {
        while self.read.is_empty() {
            self.read.extend(self.log.next()?.expect("a whole log"));
        }
        self.read.pop_front()
    }
}

impl Iterator for Epochs {
    type Item = Epoch;

    fn next(&mut self) -> Option<Epoch> {
        let mut writes = Vec::new();
        while let Some(request) = self.request() {
            match request {
                Request::Write {
                    offset,
                    data,
                    is_durable,
                } => {
                    writes.push((offset, data));
                    if is_durable {
                        break;
                    }
                }
                Request::Flush if !writes.is_empty() => break,
                // A recorded disk ignores discards.
                Request::Flush | Request::Discard { .. } => {}
            }
        }
        (!writes.is_empty()).then_some(Epoch(writes))
    }
}

#[test]
fn recorded_writes_come_flush_by_flush() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("log");
    let mut log = Vec::new();
    let mut sector = |numbers: [u64; 4], data: u8| {
        log.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        log.resize(log.len().next_multiple_of(SECTOR_BYTES), 0);
        log.resize(log.len() + usize::from(data > 0) * SECTOR_BYTES, data);
    };
    // The magic number, version, entries, bytes of a sector; then sector, sectors, flags: 1 is a flush.
    sector([0x006a_7366_7773_6872, 1, 6, 512], 0);
    sector([0, 0, 1, 0], 0);
    sector([4, 1, 0, 0], 7);
    sector([9, 1, 0, 0], 8);
    sector([0, 0, 1, 0], 0);
    sector([0, 0, 1, 0], 0);
    sector([4, 1, 0, 0], 9);
    std::fs::write(&path, log).expect("written");
    let piece = |sector: u64, byte| (sector * 512, vec![byte; 512]);
    let found: Vec<_> = epochs(&path).collect();
    let expected = [
        Epoch(vec![piece(4, 7), piece(9, 8)]),
        Epoch(vec![piece(4, 9)]),
    ];
    assert_eq!(found, expected);
    assert!(found[0].touches(5 * 512 - 1, 5 * 512) && !found[0].touches(5 * 512, 9 * 512));
}

#[test]
fn a_torn_epoch_is_some_of_it_and_can_be_taken_back() {
    let disk = tempfile::tempfile().expect("a file");
    disk.set_len(64 * 512).expect("grown");
    let epoch = Epoch(vec![(0, vec![1; 40 * 512]), (10 * 512, vec![2; 20 * 512])]);
    let contents = || {
        let mut bytes = vec![0; 64 * 512];
        disk.read_exact_at(&mut bytes, 0).expect("read");
        bytes
    };
    let before = contents();
    let replaced = epoch.apply_torn(&disk, &mut Rng::with_seed(1));
    let torn = contents();
    let sectors: Vec<u8> = torn.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect();
    assert!(
        (0..3).all(|byte| sectors[..40].contains(&byte)),
        "{sectors:?}"
    );
    undo(&disk, replaced);
    assert!(contents() == before);
    epoch.apply(&disk);
    assert_eq!(
        (contents()[0], contents()[10 * 512], contents()[40 * 512]),
        (1, 2, 0)
    );
}
