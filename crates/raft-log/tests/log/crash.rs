//! The power is cut in every single operation of random work, also in the recovery from the cut
//! before. What was reported as durable must be there, in order; nothing that was removed returns.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use raft_log::{LogError, MemoryDisk, OpenError, Options, RaftLog, Survival};

use crate::model::{FOLDER, Model, Numbers, Request, entries, finish, open, send, small_options};

const REQUESTS: u64 = 120;

/// Requests as they were sent, and how many of them are known to be durable.
struct Sent {
    requests: Vec<Request>,
    durable: usize,
}

/// What a log shows, unless the power is off.
fn look(log: &RaftLog, disk: &MemoryDisk, bytes_max: usize) -> Option<Model> {
    match Model::observe(log, bytes_max) {
        Err(LogError::Unreadable { .. }) if disk.is_off() => None,
        other => Some(other.expect("the log can be read")),
    }
}

/// Works on a log until it fails, or is done; the log is then dropped.
fn work(disk: &MemoryDisk, before: &Model, numbers: &mut Numbers) -> Sent {
    let mut sent = Sent {
        requests: Vec::new(),
        durable: 0,
    };
    let log = match open(disk) {
        Ok(log) => log,
        Err(OpenError::Storage(_)) if disk.is_off() => return sent,
        Err(error) => panic!("a power cut is no reason to refuse: {error}"),
    };
    if let Some(found) = look(&log, disk, 5000) {
        assert_eq!(found, *before, "a restart without a cut changes nothing");
    }
    let (sender, receiver) = channel::<(usize, Result<(), LogError>)>();
    let mut model = before.clone();
    let mut awaited = 0;
    for number in 0..REQUESTS {
        let request = model.request(numbers);
        model.apply(&request);
        let position = sent.requests.len();
        sent.requests.push(request.clone());
        awaited += usize::from(!matches!(request, Request::Committed(_)));
        let sender = sender.clone();
        let done = move |result| drop(sender.send((position, result)));
        send(&log, request, Box::new(done));
        // Sometimes many are under way, sometimes one.
        let is_pause = numbers.below(4) == 0 || number + 1 == REQUESTS;
        while is_pause && awaited > 0 {
            let (position, result) = receiver.recv().expect("every request is answered");
            awaited -= 1;
            match result {
                Ok(()) => {
                    assert!(position >= sent.durable, "answers come in order");
                    sent.durable = position + 1;
                }
                Err(LogError::Failed(_) | LogError::Unreadable { .. }) => assert!(disk.is_off()),
                Err(error) => panic!("the request was right: {error}"),
            }
        }
        if disk.is_off() {
            break;
        }
        if is_pause {
            let found = look(&log, disk, 3000);
            assert_eq!(
                found.unwrap_or_else(|| model.clone()),
                model,
                "it is seen at once"
            );
        }
    }
    sent
}

/// Whether `found` is `before` with a beginning of the requests, at least the durable ones.
fn is_explained(before: &Model, sent: &Sent, found: &Model) -> bool {
    let mut model = before.clone();
    for (position, request) in sent.requests.iter().enumerate() {
        if position >= sent.durable {
            if model == *found {
                return true;
            }
            if let Request::Append(entries) = request {
                let mut part = model.clone();
                for entry in entries {
                    part.entries.push(entry.clone());
                    if part == *found {
                        return true;
                    }
                }
            }
        }
        model.apply(request);
    }
    model == *found
}

fn survival(seed: u64) -> Survival {
    match seed % 8 {
        0 => Survival::Nothing,
        1 => Survival::Everything,
        2 | 3 => Survival::Prefix(seed),
        _ => Survival::Sectors(seed),
    }
}

/// The power comes back, or only another process begins; now and then the power goes off again
/// while the log is opened. What was shown by then, if it could be opened.
fn restart(disk: &MemoryDisk, numbers: &mut Numbers) -> Option<Model> {
    let mut shown = None;
    loop {
        if numbers.below(4) == 0 {
            disk.restart_process();
        } else {
            disk.restart(survival(numbers.next()));
        }
        if numbers.below(3) == 0 {
            return shown;
        }
        disk.cut_power_at(disk.operations() + numbers.below(8));
        if let Ok(log) = open(disk) {
            let found = look(&log, disk, usize::MAX);
            assert!(
                shown.is_none() || found.is_none() || shown == found,
                "it was there before"
            );
            shown = shown.or(found);
        }
    }
}

/// Three rounds of work on one disk, each ended by a power cut; the first at `cut`, the others at
/// places that the seed decides. The number of operations of the first.
fn rounds(seed: u64, cut: u64) -> u64 {
    let disk = MemoryDisk::new();
    let mut numbers = Numbers(seed);
    let mut before = Model::default();
    let mut first_operations = 0;
    for round in 0..3 {
        let cut = if round == 0 { cut } else { numbers.below(200) };
        disk.cut_power_at(disk.operations().saturating_add(cut));
        let sent = work(&disk, &before, &mut numbers);
        if round == 0 {
            first_operations = disk.operations();
        }
        let mut places = Numbers(numbers.next().wrapping_add(cut));
        let shown = restart(&disk, &mut places);
        let log = match open(&disk) {
            Ok(log) => log,
            Err(error) => panic!("seed {seed} cut {cut} round {round}: {error}"),
        };
        let found = Model::observe(&log, usize::MAX).expect("the power is on");
        assert!(
            shown.is_none_or(|shown| shown == found) && is_explained(&before, &sent, &found),
            "seed {seed} cut {cut} round {round}: of {} requests {} are durable, \
             found entries {:?}..{:?} purged {:?} vote {:?}",
            sent.requests.len(),
            sent.durable,
            log.first_index(),
            found.entries.last().map(|entry| entry.index),
            found.purged,
            found.vote,
        );
        log.close();
        before = found;
    }
    first_operations
}

fn every_operation(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let operations = rounds(seed, u64::MAX);
        assert!(operations > 40, "{operations} operations are no work");
        for cut in 0..operations {
            rounds(seed, cut);
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_durable() {
    every_operation(0..4);
}

#[test]
fn soak_power_cuts_at_any_operation() {
    every_operation(1000..1100);
}

/// The process ends while a new log is made, and the power goes off after the next one used it.
#[test]
fn a_name_that_was_seen_becomes_durable() {
    let options = Options {
        // No other segment is prepared, which would sync the folder.
        first_segment_bytes: 256 << 10,
        ..small_options()
    };
    let open = |disk: &MemoryDisk| {
        RaftLog::open(Arc::new(disk.clone()), Path::new(FOLDER), options.clone())
    };
    for stop in 0..12 {
        let disk = MemoryDisk::new();
        disk.cut_power_at(stop);
        drop(open(&disk));
        disk.restart_process();
        let log = open(&disk).expect("the power is on");
        finish(&log, entries(0..1, 10)).expect("the power is on");
        disk.restart(Survival::Nothing);
        drop(log);
        let log = open(&disk).expect("a power cut is no reason to refuse");
        assert_eq!(
            log.last().map(|entry| entry.index),
            Some(0),
            "stopped at {stop}"
        );
    }
}

/// The check above must be able to fail.
#[test]
fn a_lost_entry_is_not_explained() {
    let disk = MemoryDisk::new();
    let sent = work(&disk, &Model::default(), &mut Numbers(3));
    assert_eq!(sent.durable, sent.requests.len());
    let log = open(&disk).expect("it was closed");
    let mut found = Model::observe(&log, usize::MAX).expect("the power is on");
    assert!(is_explained(&Model::default(), &sent, &found));
    let last = found.entries.pop().expect("there are entries");
    assert!(!is_explained(&Model::default(), &sent, &found));
    found.entries.push(last);
    found.vote = None;
    assert!(!is_explained(&Model::default(), &sent, &found));
}
