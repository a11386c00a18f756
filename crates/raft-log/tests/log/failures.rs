//! Storage that fails: the log is over until it is opened again, and nothing is tried twice.

use std::path::Path;

use raft_log::{LogError, MemoryDisk, OpenError, Operation, SpaceState, Survival};

use crate::model::{Model, Request, entries, finish, open, sent};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Number of the operations of one small append: a write and a sync.
const WRITE: u64 = 0;
const SYNC: u64 = 1;

/// The file that the first entries go to; the next one is made in the background.
const SEGMENT: &str = "/log/00000001.log";

/// An operation of the next append fails.
fn fail_next(disk: &MemoryDisk, operation: u64, error_number: i32) {
    let path = Path::new(SEGMENT);
    disk.fail_on(path, disk.operations_on(path) + operation, error_number);
}

#[test]
fn a_failed_write_or_sync_is_final() {
    for (operation, expected) in [(WRITE, Operation::Write), (SYNC, Operation::Sync)] {
        let disk = MemoryDisk::new();
        let log = open(&disk).expect("an empty disk is an empty log");
        finish(&log, entries(1..3, 100)).expect("nothing fails yet");
        fail_next(&disk, operation, EIO);
        let failed = finish(&log, entries(3..4, 100)).expect_err("it fails");
        let LogError::Failed(failure) = &failed else {
            panic!("{failed}");
        };
        assert_eq!(failure.operation, expected);
        assert!(failed.to_string().contains(SEGMENT), "{failed}");
        let operations = disk.operations_on(Path::new(SEGMENT));
        for request in [
            entries(4..5, 10),
            Request::Vote("v".into()),
            Request::Truncate(Some(1)),
        ] {
            assert!(matches!(finish(&log, request), Err(LogError::Failed(_))));
        }
        assert_eq!(
            disk.operations_on(Path::new(SEGMENT)),
            operations,
            "nothing is tried again"
        );
        assert!(log.failure().is_some());
        assert_eq!(log.read(1, 3, usize::MAX).expect("reads go on").len(), 2);
        log.close();
        let log = open(&disk).expect("the disk is well again");
        assert!(log.failure().is_none());
        finish(
            &log,
            entries(log.last().expect("there are").index + 1..20, 10),
        )
        .expect("it goes on");
    }
}

/// A failed sync leaves pages that look clean: what a restart of the process still sees must be
/// written again before it counts as durable.
#[test]
fn what_a_restart_shows_after_a_failed_sync_is_durable() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("an empty disk is an empty log");
    finish(&log, entries(1..3, 100)).expect("nothing fails yet");
    fail_next(&disk, SYNC, EIO);
    assert!(finish(&log, entries(3..9, 100)).is_err());
    log.close();
    let log = open(&disk).expect("the disk is well again");
    let shown = Model::observe(&log, usize::MAX).expect("it can be read");
    assert_eq!(shown.entries.len(), 8);
    disk.restart(Survival::Nothing);
    drop(log);
    let log = open(&disk).expect("a power cut is no reason to refuse");
    assert_eq!(
        Model::observe(&log, usize::MAX).expect("it can be read"),
        shown
    );
}

/// Every operation fails once: every answer is an error from then on, and no answer is missing.
#[test]
fn any_operation_may_fail() {
    let mut failed = 0;
    for operation in 0..150 {
        let disk = MemoryDisk::new();
        disk.fail_at(operation, EIO);
        let Ok(log) = open(&disk).map_err(|error| {
            assert!(matches!(error, OpenError::Storage(_)), "{error}");
        }) else {
            assert!(
                open(&disk).is_ok(),
                "operation {operation} left something behind"
            );
            continue;
        };
        let mut durable = 0;
        let mut broken = false;
        for index in 0..60 {
            let result = finish(&log, entries(index..index + 1, 3900));
            broken |= result.is_err();
            assert_eq!(result.is_err(), broken, "no success behind a failure");
            durable += u64::from(!broken);
        }
        failed += u32::from(broken);
        drop(log);
        disk.restart(Survival::Nothing);
        let log = open(&disk).expect("what is durable can be read");
        let found = Model::observe(&log, usize::MAX)
            .expect("it can be read")
            .entries
            .len() as u64;
        assert!(
            found >= durable,
            "operation {operation}: {found} of {durable}"
        );
    }
    assert!(failed > 50, "{failed} failures are no test");
}

/// Where room cannot be reserved, a full disk shows only when something is written.
#[test]
fn no_room_for_a_write_is_a_failure() {
    let disk = MemoryDisk::new();
    let log = open(&disk).expect("an empty disk is an empty log");
    finish(&log, entries(1..2, 10)).expect("nothing fails yet");
    fail_next(&disk, WRITE, ENOSPC);
    let waiting = sent(&log, entries(2..3, 10));
    assert!(matches!(waiting.recv(), Ok(Err(LogError::Failed(failure))) if failure.is_full_disk()));
    assert_eq!(log.space(), SpaceState::Ok);
}
