//! A disk that fills up: refused in time, never a failed append, and well again by itself.

use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::Duration;

use raft_log::{LogError, MemoryDisk, OpenError, RaftLog, SpaceState};

use crate::model::{Model, Request, entries, finish, open, sent};

/// Room for two segments, not for a third.
const CAPACITY: usize = 170_000;

fn full() -> (MemoryDisk, RaftLog, u64) {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(CAPACITY));
    let log = open(&disk).expect("there is room for one segment");
    let mut next = 0;
    while log.space() == SpaceState::Ok {
        finish(&log, entries(next..next + 1, 4000)).expect("accepted appends never fail");
        next += 1;
        assert!(next < 1000, "the disk has an end");
    }
    (disk, log, next)
}

fn wait_for_room(log: &RaftLog) {
    for _ in 0..2000 {
        if log.space() == SpaceState::Ok {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("room did not come back");
}

#[test]
fn votes_and_reads_go_on_when_it_is_full() {
    let (disk, log, next) = full();
    assert!(next > 15, "{next} entries are not what fits");
    finish(&log, Request::Vote("in need".into())).expect("the reserve is for this");
    finish(&log, entries(next..next + 1, 4000)).expect("the reserve holds the largest entry");
    let model = Model::observe(&log, 10_000).expect("reads go on");
    assert_eq!(model.entries.len() as u64, next + 1);
    log.close();
    let log = open(&disk).expect("a full disk can be opened");
    assert_eq!(Model::observe(&log, 10_000).expect("reads go on"), model);
    disk.set_capacity(None);
    wait_for_room(&log);
    finish(&log, entries(next + 1..next + 100, 4000)).expect("there is room again");
}

#[test]
fn what_is_asked_for_all_the_same_waits_for_room() {
    let (disk, log, next) = full();
    let waiting = sent(&log, entries(next..next + 60, 4000));
    let vote = sent(&log, Request::Vote("later".into()));
    let timeout = Duration::from_millis(50);
    assert!(matches!(
        waiting.recv_timeout(timeout),
        Err(RecvTimeoutError::Timeout)
    ));
    assert!(matches!(vote.try_recv(), Err(TryRecvError::Empty)));
    assert_eq!(log.space(), SpaceState::Full);
    assert!(log.failure().is_none());
    disk.set_capacity(Some(1_000_000));
    waiting.recv().expect("an answer").expect("it is durable");
    vote.recv().expect("an answer").expect("it is durable");
    assert_eq!(log.space(), SpaceState::Ok);
    log.close();
    let log = open(&disk).expect("it was closed");
    assert_eq!(log.last().map(|entry| entry.index), Some(next + 59));
}

#[test]
fn purging_makes_room() {
    let (_disk, log, next) = full();
    finish(&log, Request::Purge(next - 2, "purged".into())).expect("the reserve is for this");
    wait_for_room(&log);
    finish(&log, entries(next..next + 15, 4000)).expect("there is room again");
}

#[test]
fn closing_does_not_wait_for_room() {
    let (disk, log, next) = full();
    let waiting = sent(&log, entries(next..next + 60, 4000));
    log.close();
    let answer = waiting.recv().expect("an answer");
    assert!(matches!(answer, Err(LogError::Failed(failure)) if failure.is_full_disk()));
    let log = open(&disk).expect("a full disk can be opened");
    assert!(log.last().expect("there are entries").index >= next - 1);
}

#[test]
fn a_new_log_needs_room() {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(10_000));
    let Err(OpenError::Storage(failure)) = open(&disk) else {
        panic!("there is no room");
    };
    assert!(failure.is_full_disk());
    assert_eq!(disk.files().len(), 0, "what was begun is removed");
    disk.set_capacity(None);
    open(&disk).expect("there is room");
}
