//! Prints how many appends of 256 bytes a second a folder takes, with 1 and with 64 in flight.
//!
//! `appends FOLDER [SECONDS]`: makes a log in a new folder inside FOLDER and removes it afterwards.
//! It judges nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_log::{Entry, FileDisk, LogError, Options, RaftLog};

const PAYLOAD: Bytes = Bytes::from_static(&[0x5A; 256]);

/// Appends for some time; the next one begins when one of those in flight is durable.
fn run(
    folder: &Path,
    in_flight: u64,
    duration: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let log = RaftLog::open(Arc::new(FileDisk), folder, Options::default())?;
    let (sender, receiver) = channel::<Result<(), LogError>>();
    let append = |index| {
        let sender = sender.clone();
        let entry = Entry {
            index,
            payload: PAYLOAD,
        };
        log.append(
            vec![entry],
            Box::new(move |result| drop(sender.send(result))),
        );
    };
    let began = Instant::now();
    (0..in_flight).for_each(append);
    let mut next = in_flight;
    while began.elapsed() < duration {
        receiver.recv()??;
        append(next);
        next += 1;
    }
    for _ in 0..in_flight {
        receiver.recv()??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let appends = u32::try_from(next)?;
    let syncs = log.fsync_histogram();
    let mean = syncs.sum() / u32::try_from(syncs.count().max(1))?;
    println!(
        "{in_flight:3} in flight: {:8.0} appends/s, {} syncs of {mean:?} on average",
        f64::from(appends) / seconds,
        syncs.count(),
    );
    log.close();
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = PathBuf::from(arguments.next().ok_or("usage: appends FOLDER [SECONDS]")?);
    let seconds = arguments.next().map_or(Ok(2), |seconds| seconds.parse())?;
    let folder = parent.join(format!("appends.{}", std::process::id()));
    let result = [1, 64].into_iter().try_for_each(|in_flight| {
        let log = folder.join(in_flight.to_string());
        run(&log, in_flight, Duration::from_secs(seconds))
    });
    std::fs::remove_dir_all(&folder)?;
    result
}
