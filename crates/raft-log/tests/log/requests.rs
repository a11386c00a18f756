//! What requests do, one by one and at random, with restarts between.

use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use raft_log::{Entry, LogError, MemoryDisk, OpenError, Options, RaftLog};

use crate::model::{FOLDER, Model, Numbers, Request, entries, finish, open, sent};

fn new() -> (MemoryDisk, RaftLog) {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("an empty disk is an empty log");
    (disk, log)
}

fn indexes(log: &RaftLog) -> Vec<u64> {
    let read = log.read(0, u64::MAX, usize::MAX).expect("it can be read");
    read.iter().map(|entry| entry.index).collect()
}

fn note(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_log_is_what_its_requests_say(seed: u64, restarts in 1..4_u8) {
        let disk = MemoryDisk::new();
        let mut numbers = Numbers(seed);
        let mut model = Model::default();
        for _ in 0..restarts {
            let log = open(&disk).expect("it was closed");
            prop_assert_eq!(&Model::observe(&log, 2000).expect("it can be read"), &model);
            let mut answers = Vec::new();
            for _ in 0..numbers.below(200) {
                let request = model.request(&mut numbers);
                model.apply(&request);
                let is_answered = !matches!(request, Request::Committed(_));
                let answer = sent(&log, request);
                answers.extend(is_answered.then_some(answer));
                if numbers.below(10) == 0 {
                    let seen = Model::observe(&log, 1000).expect("it can be read");
                    prop_assert_eq!(&seen, &model);
                }
            }
            for answer in answers {
                prop_assert!(matches!(answer.recv(), Ok(Ok(()))));
            }
            log.close();
        }
    }
}

#[test]
fn reads_keep_to_their_bounds() {
    let (_disk, log) = new();
    finish(&log, entries(5..105, 1000)).expect("there is room");
    let read = |from, to, bytes| -> Vec<u64> {
        let read = log.read(from, to, bytes).expect("it can be read");
        read.iter().map(|entry| entry.index).collect()
    };
    assert_eq!(read(0, 7, usize::MAX), [5, 6]);
    assert_eq!(read(50, 50, usize::MAX), [0; 0]);
    assert_eq!(read(60, 50, usize::MAX), [0; 0]);
    assert_eq!(read(200, 300, usize::MAX), [0; 0]);
    assert_eq!(read(50, 100, 0), [50], "at least one");
    assert_eq!(read(50, 100, 2999), [50, 51]);
    assert_eq!(read(50, 100, 3000), [50, 51, 52]);
    assert_eq!(read(103, u64::MAX, usize::MAX), [103, 104]);
    let all = log.read(0, u64::MAX, usize::MAX).expect("it can be read");
    let mut expected = Model::default();
    expected.apply(&entries(5..105, 1000));
    assert_eq!(all, expected.entries);
}

#[test]
fn entries_that_do_not_follow_are_refused_whole() {
    let (_disk, log) = new();
    finish(&log, entries(0..3, 10)).expect("a log may begin at 0");
    let refused = finish(&log, entries(4..6, 10)).expect_err("3 is missing");
    assert!(
        matches!(
            refused,
            LogError::Gap {
                expected: 3,
                found: 4
            }
        ),
        "{refused}"
    );
    let refused = finish(&log, entries(2..6, 10)).expect_err("2 is there");
    assert!(
        matches!(
            refused,
            LogError::Gap {
                expected: 3,
                found: 2
            }
        ),
        "{refused}"
    );
    let entry = |index, length| Entry {
        index,
        payload: vec![0; length].into(),
    };
    let hole = Request::Append(vec![entry(3, 1), entry(5, 1)]);
    let refused = finish(&log, hole).expect_err("4 is missing");
    assert!(
        matches!(
            refused,
            LogError::Gap {
                expected: 4,
                found: 5
            }
        ),
        "{refused}"
    );
    let large = Request::Append(vec![entry(3, 1), entry(4, 4097)]);
    let refused = finish(&log, large).expect_err("it is too large");
    assert!(
        matches!(
            refused,
            LogError::TooLarge {
                bytes: 4097,
                bytes_max: 4096
            }
        ),
        "{refused}"
    );
    let vote = Request::Vote(vec![0; 4097].into());
    assert!(matches!(finish(&log, vote), Err(LogError::TooLarge { .. })));
    assert_eq!(indexes(&log), [0, 1, 2]);
    finish(&log, Request::Append(Vec::new())).expect("nothing is no gap");
    finish(&log, Request::Append(vec![entry(3, 4096)])).expect("the largest is taken");
}

#[test]
fn a_log_goes_on_behind_what_was_purged() {
    let (disk, log) = new();
    assert_eq!(
        (log.first_index(), log.last(), log.purged()),
        (None, None, None)
    );
    finish(&log, Request::Purge(41, note("snapshot"))).expect("also without entries");
    assert_eq!(log.purged(), Some((41, note("snapshot"))));
    let refused = finish(&log, entries(1..2, 10)).expect_err("1 is purged");
    assert!(
        matches!(
            refused,
            LogError::Gap {
                expected: 42,
                found: 1
            }
        ),
        "{refused}"
    );
    finish(&log, entries(42..50, 10)).expect("42 follows");
    finish(&log, Request::Purge(10, note("older"))).expect("it does nothing");
    finish(&log, Request::Truncate(Some(20))).expect("it removes all entries");
    assert_eq!(log.first_index(), None);
    log.close();
    let log = open(&disk).expect("it was closed");
    assert_eq!(log.purged(), Some((41, note("snapshot"))));
    finish(&log, entries(42..43, 10)).expect("42 follows");
    assert_eq!(indexes(&log), [42]);
}

#[test]
fn truncating_keeps_the_last_entry_at_hand() {
    let (_disk, log) = new();
    finish(&log, entries(1..60, 1000)).expect("there is room");
    log.truncate_after(7, Box::new(|result| result.expect("it is durable")));
    assert_eq!(log.last().map(|entry| entry.index), Some(7));
    finish(&log, Request::Truncate(None)).expect("all of them");
    assert_eq!(log.last(), None);
    finish(&log, entries(3..5, 10)).expect("it begins where it likes");
    assert_eq!(indexes(&log), [3, 4]);
}

#[test]
fn notes_on_what_is_committed_ride_along_or_wait_for_the_end() {
    let (disk, log) = new();
    let before = log.fsync_histogram().count();
    (0..50).for_each(|_| log.save_committed(note("one")));
    log.save_committed(note("two"));
    assert_eq!(
        log.fsync_histogram().count(),
        before,
        "nobody waits for them"
    );
    log.close();
    let log = open(&disk).expect("it was closed");
    assert_eq!(log.committed(), Some(note("two")));
    log.save_committed(note("three"));
    finish(&log, Request::Vote(note("vote"))).expect("there is room");
    disk.restart(raft_log::Survival::Nothing);
    drop(log);
    let log = open(&disk).expect("it was durable");
    assert_eq!(
        (log.committed(), log.vote()),
        (Some(note("three")), Some(note("vote")))
    );
}

#[test]
fn many_requests_share_a_sync() {
    let (_disk, log) = new();
    // The first holds the writer up until all others are queued.
    let (release, held) = channel::<()>();
    let entered = channel();
    log.save_vote(
        note("hold"),
        Box::new(move |_| {
            entered.0.send(()).expect("the test listens");
            held.recv().expect("the test releases");
        }),
    );
    entered.1.recv().expect("the vote becomes durable");
    let before = log.fsync_histogram().count();
    let order = Arc::new(Mutex::new(Vec::new()));
    for index in 1..=500 {
        let order = order.clone();
        let Request::Append(entries) = entries(index..index + 1, 20) else {
            unreachable!("entries are appended");
        };
        log.append(
            entries,
            Box::new(move |result| {
                result.expect("it is durable");
                order.lock().expect("nobody panics").push(index);
            }),
        );
    }
    let answer = sent(&log, Request::Vote(note("last")));
    release.send(()).expect("the writer waits");
    answer.recv().expect("an answer").expect("it is durable");
    assert_eq!(
        *order.lock().expect("nobody panics"),
        (1..=500).collect::<Vec<_>>()
    );
    assert_eq!(log.fsync_histogram().count(), before + 1);
}

#[test]
fn segments_without_entries_are_removed() {
    let (disk, log) = new();
    for index in 0..300 {
        finish(&log, entries(index..index + 1, 4000)).expect("there is room");
    }
    let before = log.disk_bytes();
    assert!(before > 1_000_000, "{before}");
    finish(&log, Request::Vote(note("vote"))).expect("there is room");
    finish(&log, Request::Purge(290, note("purged"))).expect("there is room");
    assert!(log.disk_bytes() < 300_000, "{}", log.disk_bytes());
    let model = Model::observe(&log, 1).expect("it can be read");
    // The helper removes them some time; when the log is closed it may not have.
    log.close();
    let log = open(&disk).expect("it was closed");
    assert_eq!(Model::observe(&log, 1).expect("it can be read"), model);
    let files = disk.files();
    assert!(files.len() <= 4, "{files:?}");
}

#[test]
fn a_closed_log_says_so_and_can_be_opened_again() {
    let (disk, log) = new();
    let other = log.clone();
    assert!(matches!(open(&disk), Err(OpenError::InUse { .. })));
    finish(&log, entries(1..2, 10)).expect("there is room");
    log.close();
    assert!(matches!(
        finish(&other, entries(2..3, 10)),
        Err(LogError::Closed)
    ));
    assert_eq!(indexes(&open(&disk).expect("it was closed")), [1]);
}

#[test]
fn an_answer_may_hold_the_last_clone_or_panic() {
    let (disk, log) = new();
    let panic = Box::new(|_| panic!("a caller's mistake"));
    log.append(vec![], panic);
    finish(&log, entries(1..2, 10)).expect("the log goes on");
    let (sender, receiver) = channel();
    let clone = log.clone();
    let done = move |result: Result<(), LogError>| {
        // Until the test's own is gone.
        std::thread::sleep(Duration::from_millis(20));
        drop(clone);
        sender.send(result.is_ok()).expect("the test listens");
    };
    log.save_vote(note("vote"), Box::new(done));
    // The writer needs more segments when all clones are gone.
    log.append(
        match entries(2..80, 4000) {
            Request::Append(entries) => entries,
            _ => unreachable!("entries are appended"),
        },
        Box::new(|_| ()),
    );
    drop(log);
    assert_eq!(receiver.recv(), Ok(true));
    // Now and then the writer has not let go of the folder yet.
    let log = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(2));
        open(&disk).ok()
    });
    let log = log.expect("the folder is free");
    assert_eq!(
        (log.vote(), log.last().map(|entry| entry.index)),
        (Some(note("vote")), Some(79))
    );
}

#[test]
fn sizes_that_do_not_fit_are_raised() {
    let disk = MemoryDisk::new();
    let options = Options {
        first_segment_bytes: 1,
        segment_bytes_max: 1,
        reserve_bytes: 1,
        payload_bytes_max: 1 << 20,
        ..Options::default()
    };
    let log = RaftLog::open(Arc::new(disk), Path::new(FOLDER), options).expect("they are raised");
    for index in 0..8 {
        finish(&log, entries(index..index + 1, 1 << 20)).expect("the largest fits");
    }
}
