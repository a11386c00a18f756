//! Bytes that are not what was written: told apart from a power cut, and refused with the place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_log::{Damage, End, Expected, Kind, MemoryDisk, OpenError, Options, RaftLog, scan};

use crate::model::{FOLDER, Model, Request, entries, finish, open, small_options};

fn segment(number: u32) -> PathBuf {
    Path::new(FOLDER).join(format!("{number:08x}.log"))
}

/// A log of some segments, closed; each append is a write of its own.
fn written(appends: u64) -> (MemoryDisk, Model) {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("an empty disk is an empty log");
    for index in 0..appends {
        finish(&log, entries(index..index + 1, 700)).expect("there is room");
        if index % 10 == 3 {
            finish(&log, Request::Vote(index.to_string().into())).expect("there is room");
        }
    }
    let model = Model::observe(&log, usize::MAX).expect("it can be read");
    log.close();
    (disk, model)
}

fn has_any(disk: &MemoryDisk, numbers: &[u32]) -> bool {
    numbers
        .iter()
        .any(|number| disk.contents(&segment(*number)).is_some())
}

fn change(disk: &MemoryDisk, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.contents(path).expect("it is there");
    change(&mut bytes);
    disk.set_contents(path, bytes);
}

fn everything(disk: &MemoryDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    disk.files()
        .into_iter()
        .map(|path| (path.clone(), disk.contents(&path)))
        .collect()
}

fn refused(disk: &MemoryDisk) -> OpenError {
    let before = everything(disk);
    let error = open(disk).err().expect("it is damaged");
    assert!(error.is_loss(), "{error}");
    assert!(everything(disk) == before, "a refusal changes nothing");
    error
}

fn open_cut_off(disk: &MemoryDisk) -> Result<RaftLog, OpenError> {
    let options = Options {
        damage: Damage::CutOff,
        ..small_options()
    };
    RaftLog::open(Arc::new(disk.clone()), Path::new(FOLDER), options)
}

/// Every bit error in what was durable is refused, at the record that it is in; in the last write
/// it is taken for a power cut; in padding it does no harm.
#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let (disk, model) = written(24);
    let path = segment(1);
    let bytes = disk.contents(&path).expect("it is there");
    let records = scan(&bytes).expect("it is a segment").records;
    let last_write = records.last().expect("there are records").write_began;
    let mut refusals = 0;
    for at in (4096..records.last().expect("there are").end()).step_by(5) {
        let at = at as usize;
        change(&disk, &path, |bytes| bytes[at] ^= 1 << (at % 8));
        let record = records
            .iter()
            .rfind(|record| record.offset as usize <= at)
            .expect("one");
        let is_padding = at >= record.payload().end;
        if is_padding || record.write_began == last_write {
            let log = open(&disk).expect("it is no damage");
            let found = Model::observe(&log, usize::MAX).expect("it can be read");
            assert_eq!(found == model, is_padding, "at {at}");
            log.close();
        } else {
            let OpenError::Damaged {
                file,
                offset,
                expected,
            } = refused(&disk)
            else {
                panic!("at {at}");
            };
            assert_eq!((file, offset), (path.clone(), u64::from(record.offset)));
            assert_eq!(expected, Expected::Record);
            refusals += 1;
        }
        disk.set_contents(&path, bytes.clone());
    }
    assert!(refusals > 1000, "{refusals}");
}

#[test]
fn a_segment_that_ends_early_is_found_by_the_next() {
    let (disk, _) = written(200);
    let bytes = disk.contents(&segment(1)).expect("it is there");
    let records = scan(&bytes).expect("it is a segment").records;
    let last = records.last().expect("there are records");
    // Not only its last record, but all traces of it.
    change(&disk, &segment(1), |bytes| {
        bytes[last.offset as usize..].fill(0);
    });
    let error = refused(&disk);
    let text = format!(
        "{} is damaged at byte {}: expected",
        segment(1).display(),
        last.offset
    );
    assert!(error.to_string().starts_with(&text), "{error}");
}

#[test]
fn preambles_lengths_and_versions_are_checked() {
    let (disk, _) = written(200);
    let original = disk.contents(&segment(1)).expect("it is there");
    change(&disk, &segment(1), |bytes| bytes[17] ^= 1);
    assert!(matches!(
        refused(&disk),
        OpenError::Damaged {
            offset: 0,
            expected: Expected::Preamble,
            ..
        }
    ));
    disk.set_contents(&segment(1), original.clone());
    change(&disk, &segment(1), |bytes| bytes.truncate(bytes.len() - 1));
    assert!(matches!(
        refused(&disk),
        OpenError::Damaged {
            expected: Expected::Length { .. },
            ..
        }
    ));
    disk.set_contents(&segment(1), Vec::new());
    assert!(matches!(
        refused(&disk),
        OpenError::Damaged {
            expected: Expected::Preamble,
            ..
        }
    ));
    // A segment under another's name.
    disk.set_contents(
        &segment(1),
        disk.contents(&segment(2)).expect("it is there"),
    );
    assert!(matches!(
        refused(&disk),
        OpenError::Damaged {
            offset: 0,
            expected: Expected::Preamble,
            ..
        }
    ));
    // A version that does not exist yet; the checksum is right.
    disk.set_contents(&segment(1), original);
    change(&disk, &segment(1), |bytes| {
        bytes[8] = 2;
        let checksum = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    });
    let error = open(&disk).err().expect("it is not known");
    assert!(
        matches!(error, OpenError::Version { version: 2, .. }),
        "{error}"
    );
}

#[test]
fn missing_segments_are_named() {
    for missing in [1, 2] {
        let (disk, _) = written(300);
        assert!(disk.files().len() >= 3, "{:?}", disk.files());
        raft_log::Disk::remove(&disk, &segment(missing)).expect("it is there");
        let error = refused(&disk);
        assert!(
            matches!(&error, OpenError::Missing { file } if *file == segment(missing)),
            "{error}"
        );
    }
}

#[test]
fn segments_that_came_back_after_a_purge_are_removed() {
    let (disk, _) = written(300);
    let old: Vec<_> = [1, 2]
        .map(|number| (number, disk.contents(&segment(number))))
        .into();
    let log = open(&disk).expect("it was closed");
    finish(&log, Request::Purge(298, "purged".into())).expect("there is room");
    let model = Model::observe(&log, usize::MAX).expect("it can be read");
    log.close();
    open(&disk).expect("it was closed").close();
    assert!(!has_any(&disk, &[1, 2]));
    for (number, bytes) in old {
        disk.set_contents(&segment(number), bytes.expect("it was there"));
    }
    disk.set_contents(&Path::new(FOLDER).join("00000009.tmp"), vec![1; 100]);
    disk.set_contents(&Path::new(FOLDER).join("README"), vec![1; 100]);
    let log = open(&disk).expect("they are not needed");
    assert_eq!(
        Model::observe(&log, usize::MAX).expect("it can be read"),
        model
    );
    assert!(!has_any(&disk, &[1, 2]));
    assert!(
        !disk
            .files()
            .iter()
            .any(|path| path.extension().is_some_and(|e| e == "tmp"))
    );
    assert!(
        disk.contents(&Path::new(FOLDER).join("README")).is_some(),
        "it is somebody else's"
    );
}

#[test]
fn a_torn_tail_is_zeroed_before_anything_new_is_written() {
    let (disk, model) = written(24);
    let bytes = disk.contents(&segment(1)).expect("it is there");
    let end = scan(&bytes).expect("it is a segment").end.offset() as usize;
    change(&disk, &segment(1), |bytes| {
        bytes[end..end + 3000].fill(0xA5);
    });
    let log = open(&disk).expect("it looks like a power cut");
    assert_eq!(
        Model::observe(&log, usize::MAX).expect("it can be read"),
        model
    );
    log.close();
    let bytes = disk.contents(&segment(1)).expect("it is there");
    let end_offset = u32::try_from(end).expect("segments are small");
    assert_eq!(
        scan(&bytes).expect("it is a segment").end,
        End::Clean { offset: end_offset }
    );
}

#[test]
fn damage_is_cut_off_when_that_is_asked_for() {
    let (disk, model) = written(300);
    let bytes = disk.contents(&segment(2)).expect("it is there");
    let scanned = scan(&bytes).expect("it is a segment");
    let broken = scanned
        .records
        .iter()
        .filter(|record| record.kind == Kind::Entry)
        .nth(9);
    let broken = broken.expect("there are entries").clone();
    change(&disk, &segment(2), |bytes| {
        bytes[broken.offset as usize + 50] ^= 1;
    });
    refused(&disk);
    let log = open_cut_off(&disk).expect("it is cut off");
    let found = Model::observe(&log, usize::MAX).expect("it can be read");
    let kept = usize::try_from(broken.index).expect("it is small");
    assert_eq!(found.entries, model.entries[..kept]);
    finish(&log, entries(broken.index..broken.index + 200, 700)).expect("it goes on");
    log.close();
    let log = open(&disk).expect("it is whole again");
    assert_eq!(
        log.last().map(|entry| entry.index),
        Some(broken.index + 199)
    );
}

#[test]
fn a_missing_beginning_cannot_be_cut_off() {
    let (disk, _) = written(300);
    raft_log::Disk::remove(&disk, &segment(1)).expect("it is there");
    let before = everything(&disk);
    assert!(matches!(
        open_cut_off(&disk),
        Err(OpenError::Missing { .. })
    ));
    assert!(everything(&disk) == before);
}

/// Entries may turn bad while the log is open.
#[test]
fn a_damaged_entry_is_not_handed_out() {
    let (disk, _) = written(100);
    let log = open(&disk).expect("it was closed");
    let bytes = disk.contents(&segment(1)).expect("it is there");
    let records = scan(&bytes).expect("it is a segment").records;
    let record = records
        .iter()
        .find(|record| record.index == 20)
        .expect("it is there");
    let at = record.offset as usize + 40;
    // Into the file that the log has open.
    let file = raft_log::Disk::open(&disk, &segment(1)).expect("it is there");
    file.write_at(&[!bytes[at]], at as u64)
        .expect("memory does not fail");
    assert_eq!(
        log.read(10, 20, usize::MAX).expect("they are well").len(),
        10
    );
    let error = log.read(10, 30, usize::MAX).expect_err("20 is damaged");
    let text = format!(
        "{} is damaged at byte {}: expected entry 20",
        segment(1).display(),
        record.offset
    );
    assert_eq!(error.to_string(), text);
}
