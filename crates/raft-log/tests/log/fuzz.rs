//! Arbitrary and mutated bytes as segments: reading them never panics, and nothing is made up.
//!
//! `PROPTEST_CASES` says how many of each (256 if it does not).

use std::path::Path;

use proptest::prelude::*;
use raft_log::{MemoryDisk, scan};

use crate::model::{FOLDER, Model, Numbers, open, send};

/// A segment as the log writes it.
fn segment(seed: u64) -> Vec<u8> {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("an empty disk is an empty log");
    let mut numbers = Numbers(seed);
    let mut model = Model::default();
    for _ in 0..numbers.below(40) {
        let request = model.request(&mut numbers);
        model.apply(&request);
        send(&log, request, Box::new(|_| ()));
    }
    log.close();
    disk.contents(&Path::new(FOLDER).join("00000001.log"))
        .unwrap_or_default()
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(usize, u8),
    Zero(usize, usize),
    Move(usize, usize, usize),
    Truncate(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || prop_oneof![0..64_usize, 4096..9000_usize, 0..200_000_usize];
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), 1..5000_usize).prop_map(|(at, length)| Mutation::Zero(at, length)),
        (at(), at(), 1..2000_usize).prop_map(|(from, to, length)| Mutation::Move(from, to, length)),
        at().prop_map(Mutation::Truncate),
    ]
}

fn apply(mutation: &Mutation, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match *mutation {
        Mutation::Flip(at, bit) => bytes[at % length] ^= 1 << bit,
        Mutation::Zero(at, count) => {
            let begin = at % length;
            bytes[begin..(begin + count).min(length)].fill(0);
        }
        Mutation::Move(from, to, count) => {
            let (from, to) = (from % length, to % length);
            let count = count.min(length - from.max(to));
            bytes.copy_within(from..from + count, to);
        }
        Mutation::Truncate(at) => bytes.truncate(at % length),
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        let _ = scan(&bytes);
    }

    /// The preamble is right, what follows is arbitrary.
    #[test]
    fn arbitrary_records_never_panic(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0x5E), Just(0xA5)], 0..3000),
        at in 0..6000_usize,
    ) {
        let mut segment = segment(1);
        let begin = (4096 + at).min(segment.len());
        let end = (begin + bytes.len()).min(segment.len());
        segment[begin..end].copy_from_slice(&bytes[..end - begin]);
        let _ = scan(&segment);
    }

    #[test]
    fn mutated_segments_hold_nothing_that_was_not_written(
        seed in 0..20_u64,
        mutations in proptest::collection::vec(mutation(), 1..4),
    ) {
        let original = segment(seed);
        let records = scan(&original).map(|scan| scan.records).unwrap_or_default();
        let mut bytes = original.clone();
        for mutation in &mutations {
            apply(mutation, &mut bytes);
        }
        if let Ok(scan) = scan(&bytes) {
            prop_assert!(scan.records.len() <= records.len());
            for (found, written) in scan.records.iter().zip(&records) {
                prop_assert_eq!(found, written);
                prop_assert_eq!(&bytes[found.payload()], &original[written.payload()]);
            }
        }
    }

    /// A whole log with one mutated segment opens or is refused, and shows only what was written.
    #[test]
    fn mutated_logs_open_or_are_refused(
        seed in 0..20_u64,
        mutations in proptest::collection::vec(mutation(), 1..3),
    ) {
        let mut bytes = segment(seed);
        for mutation in &mutations {
            apply(mutation, &mut bytes);
        }
        let disk = MemoryDisk::new();
        disk.set_contents(&Path::new(FOLDER).join("00000001.log"), bytes);
        match open(&disk) {
            Ok(log) => {
                let model = Model::observe(&log, 5000).expect("what opened can be read");
                log.close();
                let again = open(&disk).expect("it was put right");
                prop_assert_eq!(Model::observe(&again, 5000).expect("it can be read"), model);
            }
            Err(error) => prop_assert!(error.is_loss(), "{}", error),
        }
    }
}
