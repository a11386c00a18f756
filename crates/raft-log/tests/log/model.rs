//! What a log should be after some requests, said in the simplest way; and small helpers for tests.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use raft_log::{Disk, Done, Entry, LogError, OpenError, Options, RaftLog};

/// Where tests in memory keep their log.
pub(crate) const FOLDER: &str = "/log";

/// Small enough that a few hundred entries fill segments.
pub(crate) fn small_options() -> Options {
    Options {
        first_segment_bytes: 0,
        segment_bytes_max: 96 << 10,
        payload_bytes_max: 4 << 10,
        reserve_bytes: 0,
        cache_bytes_max: 8 << 10,
        retry_interval: Duration::from_millis(5),
        ..Options::default()
    }
}

pub(crate) fn open(disk: &(impl Disk + Clone)) -> Result<RaftLog, OpenError> {
    RaftLog::open(Arc::new(disk.clone()), Path::new(FOLDER), small_options())
}

/// Numbers that a seed decides (splitmix64).
#[derive(Clone)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn bytes(&mut self, length_max: u64) -> Bytes {
        let length = self.below(length_max + 1);
        let mut own = Self(self.next());
        (0..length).map(|_| own.next().to_le_bytes()[0]).collect()
    }
}

/// A request to a log.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Append(Vec<Entry>),
    Vote(Bytes),
    Committed(Bytes),
    Truncate(Option<u64>),
    Purge(u64, Bytes),
}

/// What can be seen of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) entries: Vec<Entry>,
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
}

impl Model {
    /// The index after the last entry.
    pub(crate) fn next(&self) -> u64 {
        let behind_purged = self.purged.as_ref().map_or(0, |(index, _)| index + 1);
        self.entries
            .last()
            .map_or(behind_purged, |last| last.index + 1)
    }

    pub(crate) fn apply(&mut self, request: &Request) {
        match request {
            Request::Append(entries) => self.entries.extend_from_slice(entries),
            Request::Vote(vote) => self.vote = Some(vote.clone()),
            Request::Committed(note) => self.committed = Some(note.clone()),
            Request::Truncate(keep) => {
                self.entries
                    .retain(|entry| keep.is_some_and(|keep| entry.index <= keep));
            }
            Request::Purge(index, note) => {
                if self
                    .purged
                    .as_ref()
                    .is_none_or(|(purged, _)| purged < index)
                {
                    self.entries.retain(|entry| entry.index > *index);
                    self.purged = Some((*index, note.clone()));
                }
            }
        }
    }

    /// A request that makes sense now.
    pub(crate) fn request(&self, numbers: &mut Numbers) -> Request {
        let first = self
            .entries
            .first()
            .map_or(self.next(), |entry| entry.index);
        match numbers.below(20) {
            0..=12 => {
                let begin = self.next();
                let count = 1 + numbers.below(6);
                let length_max = match numbers.below(3) {
                    0 => 40,
                    1 => 600,
                    _ => 3000,
                };
                let entry = |index| Entry {
                    index,
                    payload: numbers.bytes(length_max),
                };
                Request::Append((begin..begin + count).map(entry).collect())
            }
            13 | 14 => Request::Vote(numbers.bytes(30)),
            15 | 16 => Request::Committed(numbers.bytes(30)),
            17 => {
                let held = self.next() - first;
                let keep = self.next().checked_sub(1 + numbers.below(held / 4 + 2));
                Request::Truncate(keep)
            }
            18 => Request::Purge(
                first + numbers.below(self.next() - first + 1),
                numbers.bytes(20),
            ),
            _ => {
                let held = self.next() - first;
                // Now and then behind the end, as after a snapshot from another member.
                let beyond = numbers.below(8) / 7 * 5;
                Request::Purge(first + held / 2 + held * beyond, numbers.bytes(20))
            }
        }
    }

    /// Reads everything that a log shows, in pieces.
    pub(crate) fn observe(log: &RaftLog, bytes_max: usize) -> Result<Self, LogError> {
        let mut model = Self {
            entries: Vec::new(),
            purged: log.purged(),
            vote: log.vote(),
            committed: log.committed(),
        };
        let mut from = log.first_index().unwrap_or(u64::MAX);
        loop {
            let read = log.read(from, u64::MAX, bytes_max)?;
            let Some(last) = read.last() else {
                break;
            };
            from = last.index + 1;
            model.entries.extend(read);
        }
        assert_eq!(model.entries.last(), log.last().as_ref());
        assert_eq!(
            model.entries.first().map(|entry| entry.index),
            log.first_index()
        );
        Ok(model)
    }
}

/// Sends a request; a note on what is committed has no answer.
pub(crate) fn send(log: &RaftLog, request: Request, done: Done) {
    match request {
        Request::Append(entries) => log.append(entries, done),
        Request::Vote(vote) => log.save_vote(vote, done),
        Request::Committed(note) => log.save_committed(note),
        Request::Truncate(keep) => log.truncate_after(keep, done),
        Request::Purge(index, note) => log.purge_up_to(index, note, done),
    }
}

/// Sends a request and returns where the answer comes.
pub(crate) fn sent(log: &RaftLog, request: Request) -> Receiver<Result<(), LogError>> {
    let (sender, receiver) = channel();
    send(
        log,
        request,
        Box::new(move |result| drop(sender.send(result))),
    );
    receiver
}

/// Sends a request and waits until it is durable.
pub(crate) fn finish(log: &RaftLog, request: Request) -> Result<(), LogError> {
    sent(log, request)
        .recv()
        .expect("every request is answered")
}

/// Entries of `length` bytes each, with their index in them.
pub(crate) fn entries(indexes: std::ops::Range<u64>, length: usize) -> Request {
    let entry = |index: u64| {
        let mut payload = index.to_le_bytes().to_vec();
        payload.resize(length.max(8), 0x5A);
        Entry {
            index,
            payload: payload.into(),
        }
    };
    Request::Append(indexes.map(entry).collect())
}
