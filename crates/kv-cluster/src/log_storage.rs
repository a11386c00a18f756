//! openraft's log and vote, kept by [`raft_log`].
//!
//! Appends return at once and are reported when they are durable; replication and the next appends
//! go on meanwhile.
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use futures::Stream;
use kv_store::Store;
use openraft::alias::VoteOf;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use raft_log::{LogError, RaftLog};
use tokio::sync::oneshot;

use crate::codec::{
    decode_entry, decode_entry_id, decode_log_id, decode_vote, encode_entry, encode_log_id,
    encode_vote,
};
use crate::progress::Progress;
use crate::types::{Entry, LogId, TypeConfig};

/// Entries are sent to followers in pieces of about this size.
const SEND_BYTES_MAX: usize = 1 << 20;
/// Entries are read for applying in pieces of about this size.
const APPLY_BYTES_MAX: usize = 4 << 20;

/// The log. Cheap to clone; also its own reader.
#[derive(Clone)]
pub(crate) struct LogStorage {
    log: RaftLog,
    /// The log is not shortened beyond what this holds durably.
    store: Option<Store>,
}

impl LogStorage {
    /// Over an open log, shortened only behind the store.
    pub(crate) fn new(log: RaftLog, store: Option<Store>) -> Self {
        Self { log, store }
    }

    /// The log below.
    pub(crate) fn log(&self) -> &RaftLog {
        &self.log
    }

    /// The last entry's place, or that of the last one that was removed.
    pub(crate) fn last_log_id(&self) -> io::Result<Option<LogId>> {
        match self.log.last() {
            Some(entry) => Ok(Some(decode_entry_id(entry.index, &entry.payload)?)),
            None => self.purged(),
        }
    }

    fn purged(&self) -> io::Result<Option<LogId>> {
        let purged = self.log.purged();
        purged.map(|(_, note)| decode_log_id(&note)).transpose()
    }

    /// Whether a member has ever voted or held an entry here.
    pub(crate) fn is_empty(&self) -> bool {
        self.log.last().is_none() && self.log.purged().is_none() && self.log.vote().is_none()
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let entries = self.log.read(from, to, bytes_max).map_err(io_error)?;
        (entries.iter())
            .map(|entry| decode_entry(entry.index, &entry.payload))
            .collect()
    }

    /// Makes the store durable up to here, if it is not: what is not there would be lost.
    async fn store_holds(&self, log_id: LogId) -> io::Result<()> {
        let Some(store) = self.store.clone() else {
            return Ok(());
        };
        let work = move || {
            if durable(&store)? < Some(log_id) {
                store.flush().map_err(io::Error::other)?;
            }
            let durable = durable(&store)?;
            if durable < Some(log_id) {
                let message = format!(
                    "the log must not be shortened to {log_id}: the store holds {durable:?}"
                );
                return Err(io::Error::other(message));
            }
            Ok(())
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(io::Error::other)?
    }
}

fn durable(store: &Store) -> io::Result<Option<LogId>> {
    let progress = store.durable_progress();
    let applied = progress.map(|kv_store::Progress(bytes)| Progress::decode(&bytes));
    Ok(applied.transpose()?.and_then(|progress| progress.applied()))
}

fn io_error(error: LogError) -> io::Error {
    io::Error::other(error)
}

/// Starts something on the log and waits until it is durable.
pub(crate) async fn durably(start: impl FnOnce(raft_log::Done)) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    start(Box::new(move |result| {
        sender.send(result).ok();
    }));
    receiver.await.map_err(io::Error::other)?.map_err(io_error)
}

impl RaftLogReader<TypeConfig> for LogStorage {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = self.within(&range);
        self.read(from, to, usize::MAX)
    }

    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = self.within(&range);
        let state = (self.clone(), from, Vec::new().into_iter());
        futures::stream::unfold(state, move |(this, from, mut held)| async move {
            if let Some(entry) = held.next() {
                return Some((Ok(entry), (this, from, held)));
            }
            if from >= to {
                return None;
            }
            match this.read(from, to, APPLY_BYTES_MAX) {
                Ok(entries) => {
                    let next = from + entries.len() as u64;
                    let mut held = entries.into_iter();
                    let entry = held.next()?;
                    Some((Ok(entry), (this, next, held)))
                }
                Err(error) => Some((Err(error), (this, to, held))),
            }
        })
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<TypeConfig>>> {
        self.log.vote().map(|bytes| decode_vote(&bytes)).transpose()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, SEND_BYTES_MAX)
    }
}

impl LogStorage {
    /// The part of a range that the log has.
    fn within(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        match (self.log.first_index(), self.log.last()) {
            (Some(first), Some(last)) => {
                let to = to.min(last.index + 1);
                (from.max(first).min(to), to)
            }
            _ => (0, 0),
        }
    }
}

impl RaftLogStorage<TypeConfig> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        Ok(LogState {
            last_purged_log_id: self.purged()?,
            last_log_id: self.last_log_id()?,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> io::Result<()> {
        let bytes = encode_vote(vote)?;
        durably(|done| self.log.save_vote(bytes, done)).await
    }

    /// Never waits: it goes to the disk with the next entries.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.log.save_committed(encode_log_id(&committed));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.log
            .committed()
            .map(|bytes| decode_log_id(&bytes))
            .transpose()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded: io::Result<Vec<raft_log::Entry>> = (entries.into_iter())
            .map(|entry| {
                Ok(raft_log::Entry {
                    index: entry.log_id.index,
                    payload: encode_entry(&entry)?,
                })
            })
            .collect();
        let done = move |result: Result<(), LogError>| {
            callback.io_completed(result.map_err(io_error));
        };
        self.log.append(encoded?, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let index = last_log_id.map(|log_id| log_id.index);
        durably(|done| self.log.truncate_after(index, done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.store_holds(log_id).await?;
        let note = encode_log_id(&log_id);
        durably(|done| self.log.purge_up_to(log_id.index, note, done)).await
    }
}

#[cfg(test)]
mod tests;
