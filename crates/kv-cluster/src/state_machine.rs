//! Applies what is committed to the store: openraft's state machine.
//!
//! The store is durable by itself, later than the log; openraft's "snapshot" is the store made
//! durable, and the log is shortened behind it only.
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use kv_model::outcome::Outcome;
use kv_model::{Command, TableError};
use kv_store::{FlushError, Store};
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, SnapshotMeta};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::expiry::Deadline;
use crate::leases::Leases;
use crate::progress::Progress;
use crate::replica::Position;
use crate::types::{Batch, LogId, StoredMembership, TypeConfig};

/// Between two attempts to make the store durable on a full disk.
const NO_SPACE_PAUSE: Duration = Duration::from_secs(1);
/// Before it is looked again whether a flush made room.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(2);

/// A snapshot on its way out, or one that came in.
pub(crate) enum SnapshotData {
    /// From the store.
    Outgoing(Box<kv_store::Snapshot>),
    /// In a file.
    Received(PathBuf),
}

impl SnapshotData {
    /// Its bytes.
    pub(crate) fn into_reader(self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Outgoing(snapshot) => snapshot,
            Self::Received(path) => Box::new(BufReader::new(File::open(path)?)),
        })
    }
}

/// The store, and how far the log is applied to it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct StateMachine {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    progress: Mutex<Progress>,
    position: watch::Sender<Position>,
    deadline: Deadline,
    leases: Leases,
    applied_bytes: AtomicU64,
}

impl StateMachine {
    /// Over a store, going on where it stands.
    pub(crate) fn new(store: Store) -> io::Result<Self> {
        let progress = match store.progress() {
            Some(kv_store::Progress(bytes)) => Progress::decode(&bytes)?,
            None => Progress::nothing()?,
        };
        let shared = Shared {
            store,
            position: watch::Sender::new(position(&progress)),
            progress: Mutex::new(progress),
            deadline: Deadline::default(),
            leases: Leases::default(),
            applied_bytes: AtomicU64::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// How far the log is applied, as it changes.
    pub(crate) fn position(&self) -> &watch::Sender<Position> {
        &self.shared.position
    }

    /// When something expires, as far as applied commands tell.
    pub(crate) fn deadline(&self) -> &Deadline {
        &self.shared.deadline
    }

    /// How long leases still live, if this member leads.
    pub(crate) fn leases(&self) -> &Leases {
        &self.shared.leases
    }

    /// Bytes of commands that were applied since the start.
    pub(crate) fn applied_bytes(&self) -> u64 {
        self.shared.applied_bytes.load(Ordering::Relaxed)
    }

    /// A copy of what is known of members.
    pub(crate) fn progress(&self) -> Progress {
        self.shared.progress.lock().clone()
    }

    /// Whether a member was removed.
    pub(crate) fn is_removed(&self, id: crate::member::MemberId) -> bool {
        self.shared.progress.lock().removed().contains(&id)
    }

    /// Applies one entry: the store holds all of it afterwards, or nothing.
    fn apply_entry(
        &self,
        log_id: LogId,
        payload: EntryPayload<Batch, crate::member::MemberId, crate::member::NodeData>,
    ) -> io::Result<Vec<Outcome>> {
        let mut progress = self.shared.progress.lock();
        let mut commands = Vec::new();
        match payload {
            EntryPayload::Blank => progress.advance(log_id),
            EntryPayload::Membership(membership) => progress.change_members(log_id, membership)?,
            EntryPayload::Normal(batch) => {
                commands = postcard::from_bytes::<Vec<Command>>(&batch.0).map_err(|error| {
                    io::Error::other(format!("entry {log_id} holds no commands: {error}"))
                })?;
                let bytes = batch.0.len() as u64;
                (self.shared.applied_bytes).fetch_add(bytes, Ordering::Relaxed);
                progress.advance(log_id);
            }
        }
        let stored = kv_store::Progress(progress.encode());
        let outcomes = (self.shared.store)
            .apply(stored, |batch| self.apply_commands(batch, &commands))
            .map_err(io::Error::other)?;
        self.shared.position.send_replace(position(&progress));
        Ok(outcomes)
    }

    fn apply_commands(
        &self,
        batch: &mut kv_store::Batch<'_>,
        commands: &[Command],
    ) -> Result<Vec<Outcome>, TableError> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            let applied = kv_model::apply(batch, command)?;
            self.shared.deadline.note(&applied.events);
            (self.shared.leases).note(command, &applied.outcome, Instant::now());
            if !applied.events.is_empty() {
                batch.record(applied.events);
            }
            outcomes.push(applied.outcome);
        }
        Ok(outcomes)
    }

    /// A durable snapshot. On a full disk it waits: an error would end this member.
    fn durable_snapshot(&self) -> io::Result<kv_store::Snapshot> {
        loop {
            match self.shared.store.snapshot() {
                Err(FlushError::NoSpace { .. }) => std::thread::sleep(NO_SPACE_PAUSE),
                result => return result.map_err(io::Error::other),
            }
        }
    }

    /// A snapshot of what is applied, as the store reads it.
    fn snapshot(&self) -> io::Result<SnapshotOf<TypeConfig, SnapshotData>> {
        let snapshot = self.durable_snapshot()?;
        let progress = match snapshot.progress() {
            Some(kv_store::Progress(bytes)) => Progress::decode(&bytes)?,
            None => Progress::nothing()?,
        };
        Ok(SnapshotOf::<TypeConfig, SnapshotData> {
            meta: SnapshotMeta {
                last_log_id: progress.applied(),
                last_membership: progress.membership().clone(),
            },
            snapshot: SnapshotData::Outgoing(Box::new(snapshot)),
        })
    }

    /// Replaces everything by a snapshot.
    fn install(&self, meta: &SnapshotMetaOf<TypeConfig>, data: SnapshotData) -> io::Result<()> {
        let file = match &data {
            SnapshotData::Received(path) => Some(path.clone()),
            SnapshotData::Outgoing(_) => None,
        };
        let mut reader = data.into_reader()?;
        let mut progress = self.shared.progress.lock();
        (self.shared.store)
            .install(&mut *reader)
            .map_err(io::Error::other)?;
        let Some(kv_store::Progress(bytes)) = self.shared.store.progress() else {
            return Err(io::Error::other(
                "the snapshot does not say how far it goes",
            ));
        };
        *progress = Progress::decode(&bytes)?;
        if progress.applied() != meta.last_log_id {
            let message = "the snapshot goes to another entry than the leader said";
            return Err(io::Error::other(message));
        }
        self.shared.position.send_replace(position(&progress));
        drop(progress);
        self.shared.deadline.wake();
        file.map_or(Ok(()), std::fs::remove_file)
    }
}

fn position(progress: &Progress) -> Position {
    progress
        .applied()
        .map_or(Position::default(), |log_id| Position {
            raft_index: log_id.index,
            raft_term: log_id.leader_id.term,
        })
}

/// Runs what may wait for the disk where it does not hold up the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;

    /// Nothing is copied: the store is made durable, which is what the log may be shortened to.
    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotData>> {
        let this = self.clone();
        blocking(move || this.snapshot()).await
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let progress = self.shared.progress.lock();
        Ok((progress.applied(), progress.membership().clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            // On a full disk this may be long. A thread of the runtime that waited would take the driver of
            // sockets and timers along; one for this alone could not be told that the member stops.
            while !self.shared.store.has_room() {
                tokio::time::sleep(NO_ROOM_PAUSE).await;
            }
            let outcomes = self.apply_entry(entry.log_id, entry.payload)?;
            if let Some(responder) = responder {
                responder.send(outcomes);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        let (this, meta) = (self.clone(), meta.clone());
        blocking(move || this.install(&meta, snapshot)).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotData>>> {
        if self.shared.progress.lock().applied().is_none() {
            return Ok(None);
        }
        let this = self.clone();
        blocking(move || this.snapshot()).await.map(Some)
    }
}
