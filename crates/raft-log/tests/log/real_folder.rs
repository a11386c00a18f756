//! The log on a real file system.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use raft_log::{FileDisk, LogError, OpenError, Options, RaftLog, scan};

use crate::model::{Model, Numbers, Request, entries, finish, sent, small_options};

fn open(folder: &Path) -> RaftLog {
    RaftLog::open(Arc::new(FileDisk), folder, small_options()).expect("it can be opened")
}

#[test]
fn random_work_survives_restarts() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("a/b/log");
    let mut numbers = Numbers(11);
    let mut model = Model::default();
    for round in 0..4 {
        let log = open(&folder);
        assert_eq!(
            Model::observe(&log, 5000).expect("it can be read"),
            model,
            "round {round}"
        );
        let answers: Vec<_> = (0..150)
            .map(|_| {
                let request = model.request(&mut numbers);
                model.apply(&request);
                let is_answered = !matches!(request, Request::Committed(_));
                (is_answered, sent(&log, request))
            })
            .collect();
        for (_, answer) in answers.iter().filter(|(is_answered, _)| *is_answered) {
            answer.recv().expect("an answer").expect("it is durable");
        }
        assert_eq!(Model::observe(&log, 5000).expect("it can be read"), model);
        if round % 2 == 0 {
            log.close();
        }
    }
}

#[test]
fn an_idle_log_is_small_and_its_room_is_real() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log =
        RaftLog::open(Arc::new(FileDisk), folder.path(), Options::default()).expect("it opens");
    finish(&log, entries(0..10, 100)).expect("there is room");
    log.close();
    let files: Vec<_> = fs::read_dir(folder.path())
        .expect("it is there")
        .map(Result::unwrap)
        .collect();
    assert_eq!(files.len(), 1);
    let metadata = files[0].metadata().expect("it is there");
    assert_eq!(metadata.len(), 8 << 20);
    let blocks = std::os::unix::fs::MetadataExt::blocks(&metadata);
    assert!(
        blocks * 512 >= 8 << 20,
        "{blocks} blocks are a file with holes"
    );
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(folder.path());
    let other = RaftLog::open(Arc::new(FileDisk), folder.path(), small_options());
    assert!(matches!(other, Err(OpenError::InUse { .. })));
    log.close();
    open(folder.path());
}

#[test]
fn a_torn_tail_and_a_removed_segment() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(folder.path());
    finish(&log, entries(0..100, 1500)).expect("there is room");
    finish(&log, entries(100..101, 100)).expect("there is room");
    let model = Model::observe(&log, usize::MAX).expect("it can be read");
    log.close();
    let mut paths: Vec<_> = fs::read_dir(folder.path())
        .expect("it is there")
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let last = paths.iter().rfind(|path| {
        let scan = scan(&fs::read(path).expect("it is there")).expect("it is a segment");
        !scan.records.is_empty()
    });
    let last = last.expect("there are records");
    let end = scan(&fs::read(last).expect("it is there"))
        .expect("it is a segment")
        .end
        .offset();
    let file = OpenOptions::new()
        .write(true)
        .open(last)
        .expect("it is there");
    file.write_all_at(b"what a torn write left", u64::from(end))
        .expect("there is room");
    let log = open(folder.path());
    assert_eq!(
        Model::observe(&log, usize::MAX).expect("it can be read"),
        model
    );
    log.close();
    fs::remove_file(&paths[0]).expect("it is there");
    let Err(error) = RaftLog::open(Arc::new(FileDisk), folder.path(), small_options()) else {
        panic!("a segment is missing");
    };
    assert!(
        matches!(&error, OpenError::Missing { file } if *file == paths[0]),
        "{error}"
    );
}

#[test]
fn a_file_that_got_shorter_is_unreadable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(folder.path());
    finish(&log, entries(0..30, 1500)).expect("there is room");
    let path = folder.path().join("00000001.log");
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .expect("it is there");
    file.set_len(10_000).expect("it can be cut");
    assert!(matches!(
        log.read(0, 20, usize::MAX),
        Err(LogError::Unreadable { .. })
    ));
}
