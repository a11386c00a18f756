//! Records that round trip, are damaged, and lose power while they are written.

use std::io::Cursor;

use super::*;
use crate::recording_disk::RecordingDisk;
use crate::verity::RootHash;

const PARTITION_LENGTH: usize = 1024 * 1024;

fn root_hash(byte: u8) -> RootHash {
    RootHash([byte; 32])
}

fn record(failures: &[u8]) -> BootRecord {
    let mut record = BootRecord::default();
    for byte in failures {
        record.count_failed_boot(&root_hash(*byte));
    }
    record
}

fn blank() -> Cursor<Vec<u8>> {
    Cursor::new(vec![0; PARTITION_LENGTH])
}

#[test]
fn a_blank_partition_is_the_default_record() {
    assert_eq!(
        BootRecord::read(&mut blank()).unwrap(),
        (BootRecord::default(), Generation(0))
    );
}

#[test]
fn generations_alternate_between_the_copies() {
    let mut disk = blank();
    for (generation, failures) in [
        (1, vec![7]),
        (2, vec![7, 7]),
        (3, vec![]),
        (4, vec![1, 2, 3]),
    ] {
        let written = record(&failures);
        assert_eq!(written.write(&mut disk).unwrap(), Generation(generation));
        assert_eq!(
            BootRecord::read(&mut disk).unwrap(),
            (written, Generation(generation))
        );
    }
    let generations = COPY_OFFSETS_BYTES.map(|offset| copy::read(&mut disk, offset).unwrap().1);
    assert_eq!(generations, [Generation(4), Generation(3)]);
}

#[test]
fn the_bytes_are_as_documented() {
    let mut disk = blank();
    record(&[7, 7]).write(&mut disk).unwrap();
    let copy = &disk.get_ref()[64 * 1024..64 * 1024 + 4096];
    let mut head = b"KEELMETA\x01\0\0\0\x2c\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0".to_vec();
    head.extend_from_slice(&[7; 32]);
    head.extend_from_slice(&[2, 0, 0, 0, 0]);
    assert_eq!(copy[..head.len()], head);
    assert_eq!(copy[4092..], crc32fast::hash(&copy[..4092]).to_le_bytes());
}

#[test]
fn failures_are_counted_per_version_and_cleared() {
    let mut record = record(&[1, 2, 1]);
    assert_eq!(record.failed_boots(&root_hash(1)), 2);
    assert_eq!(record.failed_boots(&root_hash(2)), 1);
    assert_eq!(record.failed_boots(&root_hash(3)), 0);
    record.clear_failed_boots(&root_hash(1));
    assert_eq!(record.failed_boots(&root_hash(1)), 0);
    assert_eq!(record.count_failed_boot(&root_hash(2)), 2);
}

#[test]
fn a_failure_that_was_none_is_taken_back() {
    let mut record = record(&[1, 2, 1]);
    assert_eq!(record.uncount_failed_boot(&root_hash(1)), 1);
    assert_eq!(record.uncount_failed_boot(&root_hash(1)), 0);
    assert_eq!(record.uncount_failed_boot(&root_hash(1)), 0);
    let others: Vec<_> = record.all_failed_boots().map(|(_, count)| count).collect();
    assert_eq!(others, [1], "what has none is not remembered");
}

#[test]
fn the_longest_past_failure_is_forgotten_first() {
    let record = record(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 9]);
    let remembered: Vec<u8> = record
        .all_failed_boots()
        .map(|(hash, _)| hash.0[0])
        .collect();
    assert_eq!(remembered, [3, 4, 5, 6, 7, 8, 1, 9]);
    assert_eq!(record.failed_boots(&root_hash(1)), 2);
    let mut disk = blank();
    record.write(&mut disk).unwrap();
    assert_eq!(BootRecord::read(&mut disk).unwrap().0, record);
}

#[test]
fn an_order_to_reset_stays_while_boots_are_counted_until_it_is_forgotten() {
    let mut disk = blank();
    let kept = Kept {
        identity: Identity::Kept,
        paths: vec!["/var/lib/x".parse().unwrap()],
    };
    let order = ResetOrder::Clear(kept);
    let mut record = record(&[1, 2, 3, 4, 5, 6, 7, 8]);
    record.order_reset(order.clone()).unwrap();
    record.write(&mut disk).unwrap();
    let (mut record, _) = BootRecord::read(&mut disk).unwrap();
    record.count_failed_boot(&root_hash(9));
    record.write(&mut disk).unwrap();
    let (mut record, _) = BootRecord::read(&mut disk).unwrap();
    assert_eq!(record.reset(), Some(&order));
    assert_eq!(record.failed_boots(&root_hash(9)), 1);
    assert!(record.forget_reset() && !record.forget_reset());
    record.write(&mut disk).unwrap();
    assert_eq!(BootRecord::read(&mut disk).unwrap().0.reset(), None);
}

#[test]
fn the_longest_order_fits_beside_all_failures_and_a_longer_one_is_refused() {
    let path = |length: usize| format!("/var/{}", "x".repeat(length - 5)).parse().unwrap();
    let order = |lengths: &[usize]| {
        ResetOrder::Clear(Kept {
            identity: Identity::New,
            paths: lengths.iter().map(|length| path(*length)).collect(),
        })
    };
    let mut record = record(&[1, 2, 3, 4, 5, 6, 7, 8]);
    // Three numbers, and two bytes for each path.
    let longest = RESET_ORDER_LIMIT_BYTES - 12 - 2 * 2 - 10;
    record.order_reset(order(&[10, longest])).unwrap();
    let mut disk = blank();
    record.write(&mut disk).unwrap();
    assert_eq!(BootRecord::read(&mut disk).unwrap().0, record);
    let before = record.clone();
    let error = record.order_reset(order(&[10, longest + 1])).unwrap_err();
    assert!(error.to_string().contains("room for 3584"), "{error}");
    assert!(record.order_reset(order(&[70_000])).is_err());
    assert_eq!(record, before);
}

#[test]
fn any_damaged_byte_falls_back_to_the_other_copy() {
    let mut disk = blank();
    record(&[1]).write(&mut disk).unwrap();
    record(&[2]).write(&mut disk).unwrap();
    for offset in [0, 8, 13, 16, 24, 40, 4000, 4095] {
        let mut damaged = disk.clone();
        damaged.get_mut()[offset] ^= 0x10;
        let read = BootRecord::read(&mut damaged).unwrap();
        assert_eq!(read, (record(&[1]), Generation(1)), "byte {offset}");
        // The next write repairs the damaged copy, not the good one.
        record(&[3]).write(&mut damaged).unwrap();
        assert_eq!(
            copy::read(&mut damaged, 0).unwrap(),
            (record(&[3]), Generation(2))
        );
    }
}

#[test]
fn two_damaged_copies_are_an_error_that_a_write_repairs() {
    let mut disk = blank();
    record(&[1]).write(&mut disk).unwrap();
    disk.get_mut()[0] = 1;
    disk.get_mut()[64 * 1024 + 100] = 1;
    let message = BootRecord::read(&mut disk).unwrap_err().to_string();
    assert!(
        message.contains("the first does not begin with the magic number"),
        "{message}"
    );
    assert!(
        message.contains("the second has a wrong checksum"),
        "{message}"
    );
    record(&[5]).write(&mut disk).unwrap();
    assert_eq!(BootRecord::read(&mut disk).unwrap().0, record(&[5]));
}

#[test]
fn a_correct_checksum_does_not_excuse_the_payload() {
    for (offset, value, problem) in [
        (12, 0xff, "malformed"),
        (24, 9, "malformed"),
        (24, 2, "malformed"),
        (8, 2, "version 2"),
    ] {
        let mut bytes = copy::encode(&record(&[1]), Generation(1));
        bytes[offset] = value;
        bytes[13] = if offset == 12 { 0xff } else { bytes[13] };
        let checksum = crc32fast::hash(&bytes[..4092]);
        bytes[4092..].copy_from_slice(&checksum.to_le_bytes());
        let error = copy::read(&mut Cursor::new(bytes), 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_short_partition_is_an_error() {
    let error = BootRecord::read(&mut Cursor::new(vec![0; 100])).unwrap_err();
    assert!(matches!(
        error,
        MetaError::NoValidCopy {
            first: CopyProblem::Unreadable(_),
            ..
        }
    ));
}

#[test]
fn a_power_cut_leaves_the_old_record_or_the_new() {
    let mut disk = blank();
    let (mut old, mut contents) = (BootRecord::default(), disk.get_ref().clone());
    for failures in [[1, 1].as_slice(), &[1, 2], &[2]] {
        let new = record(failures);
        let mut recording = RecordingDisk::new(contents.clone(), 512);
        new.write(&mut recording).unwrap();
        recording.each_power_cut(|contents, cut| {
            disk.get_mut().copy_from_slice(contents);
            let (read, _) = BootRecord::read(&mut disk).unwrap_or_else(|e| panic!("{cut}: {e}"));
            assert!(read == old || read == new, "{cut}: {read:?}");
        });
        contents = recording.into_contents();
        old = new;
    }
}
