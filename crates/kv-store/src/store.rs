//! The store: opening it, applying batches, and taking views.
//!
//! Locks, in the order in which they are taken: the database (flush, install), the writer (apply),
//! the segments, the state, the control. The last three are held for moments.
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_model::{Event, TableError};
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::batch::Batch;
use crate::control::Control;
use crate::database::{Database, FORMAT, Meta, Position};
use crate::disk::Disk;
use crate::error::{FlushError, OpenError};
use crate::file_disk::FileDisk;
use crate::flush::{self, FlushThread};
use crate::history::History;
use crate::layers::Layers;
use crate::options::Options;
use crate::recent::{Recent, RecentLimit};
use crate::segments::Segments;
use crate::snapshot::Snapshot;
use crate::state::{Progress, State};
use crate::statistics::{SpaceState, Statistics};
use crate::view::View;

pub(crate) const DATABASE: &str = "state.redb";
/// A database that is not complete yet.
pub(crate) const NEW_DATABASE: &str = "state.new";
const LOCK: &str = "lock";
const HISTORY_PREFIX: &str = "history-";

/// The tables, their history and their progress. Clones are the same store; it is flushed and
/// closed when the last is dropped.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    _thread: Arc<FlushThread>,
}

type EventsCallback = Box<dyn Fn(&[Arc<Event>]) + Send + Sync>;
type InstallCallback = Box<dyn Fn() + Send + Sync>;

/// What the store's clones, its history and its thread share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    pub(crate) database: Mutex<Database>,
    /// The database file's length after the last flush.
    pub(crate) database_bytes: AtomicU64,
    pub(crate) writer: Mutex<()>,
    pub(crate) segments: Mutex<Segments>,
    pub(crate) state: RwLock<State>,
    pub(crate) control: Control,
    pub(crate) installing: Mutex<()>,
    subscribers: RwLock<Vec<EventsCallback>>,
    pub(crate) install_subscribers: RwLock<Vec<InstallCallback>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl Shared {
    pub(crate) fn recent_limit(&self) -> RecentLimit {
        RecentLimit {
            events: self.options.recent_events_max,
            bytes: self.options.recent_bytes_max,
        }
    }

    /// The right to apply, unless the disk failed for good.
    fn lock_writer(&self) -> Result<MutexGuard<'_, ()>, TableError> {
        let writer = self.writer.lock();
        let may = self.control.may_apply();
        may.map_err(|error| TableError(Box::new(error)))?;
        Ok(writer)
    }
}

impl Store {
    /// Opens the store in a folder, or creates it.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(FileDisk), folder, options)
    }

    /// The same on another file system.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: Options,
    ) -> Result<Self, OpenError> {
        disk.create_folder(folder).map_err(OpenError::io(folder))?;
        let lock = disk
            .lock(&folder.join(LOCK))
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::WouldBlock => OpenError::Locked(folder.to_owned()),
                _ => OpenError::io(folder.join(LOCK))(error),
            })?;
        let database = open_database(&*disk, folder, &options)?;
        let base = Arc::new(database.base()?);
        let segments = open_history(&disk, folder, &options, &base.meta)?;
        let Position { events, newest, .. } = base.meta.history;
        let durable = base.meta.progress.clone().map(Progress);
        let state = State::new(Layers::new(base), Recent::new(events, newest));
        let shared = Arc::new(Shared {
            control: Control::new(folder, &options, durable),
            disk,
            folder: folder.to_owned(),
            options,
            database_bytes: AtomicU64::new(database.length()),
            database: Mutex::new(database),
            writer: Mutex::new(()),
            segments: Mutex::new(segments),
            state: RwLock::new(state),
            installing: Mutex::new(()),
            subscribers: RwLock::default(),
            install_subscribers: RwLock::default(),
            _lock: lock,
        });
        let thread = FlushThread::spawn(&shared).map_err(OpenError::io(folder))?;
        Ok(Self {
            shared,
            _thread: Arc::new(thread),
        })
    }

    /// The progress of what is applied.
    pub fn progress(&self) -> Option<Progress> {
        self.shared.state.read().progress.clone()
    }

    /// The progress of what is durable: the replicated log is needed from there on.
    pub fn durable_progress(&self) -> Option<Progress> {
        self.shared.control.durable_progress()
    }

    /// Whether there is room in memory for another batch. There is none while the disk is so slow, or so
    /// full, that too much waits for it; there always is when it failed for good, so that the next batch
    /// says so.
    pub fn has_room(&self) -> bool {
        self.shared.control.has_room()
    }

    /// The same, waited for: not for a thread that others depend on, since a full disk may stay full.
    pub fn wait_for_room(&self) {
        self.shared.control.wait_for_room();
    }

    /// Applies a batch: what `work` writes and records becomes visible together with the progress,
    /// or not at all if it fails. One at a time.
    ///
    /// Never waits for the disk: it takes memory beyond what is allowed if nobody asked
    /// [`Store::has_room`] before. Fails when the disk failed for good. Not to be called from a subscriber.
    pub fn apply<T>(
        &self,
        progress: Progress,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, TableError>,
    ) -> Result<T, TableError> {
        let shared = &*self.shared;
        let writer = shared.lock_writer()?;
        let layers = Arc::clone(&shared.state.read().layers);
        let mut batch = Batch::new(&layers);
        let value = work(&mut batch)?;
        let (changes, events) = batch.finish();
        // Before the changes are added: a delta that is held is not changed in place.
        drop(layers);
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        let (sequence, unspilled) = {
            let mut state = shared.state.write();
            state.layers_mut().absorb(changes);
            state.progress = Some(progress);
            state.sequence += 1;
            for event in &events {
                state.recent.push(Arc::clone(event));
            }
            state.recent.trim(shared.recent_limit());
            (state.sequence, state.pending().event_bytes)
        };
        let mut spilled = Ok(());
        // While the disk is full, only the flush thread tries again, and not too often.
        if unspilled >= shared.options.spill_bytes() && shared.control.trouble().is_none() {
            spilled = flush::spill(shared, &writer);
        }
        let (pending, all) = {
            let state = shared.state.read();
            (state.pending(), state.pending_at_all())
        };
        shared.control.applied(sequence, pending, all);
        if let Err(failure) = spilled {
            flush::note_failure(shared, failure);
        }
        if !events.is_empty() {
            for subscriber in &*shared.subscribers.read() {
                subscriber(&events);
            }
        }
        Ok(value)
    }

    /// Waits until everything applied so far is durable, at once and not when it is due. On a full
    /// disk it fails after one attempt; there will be others.
    pub fn flush(&self) -> Result<(), FlushError> {
        let sequence = self.shared.state.read().sequence;
        self.shared.control.flush_up_to(sequence)
    }

    /// The tables as they are now.
    pub fn view(&self) -> View {
        let layers = Arc::clone(&self.shared.state.read().layers);
        View::new(layers, self.shared.options.view_age_max)
    }

    /// The events of the past.
    pub fn history(&self) -> History {
        History {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Has a function called with the events of each batch that has some, in order, as soon as the
    /// batch is visible. It keeps the next batch waiting, so it must be short.
    pub fn subscribe(&self, callback: impl Fn(&[Arc<Event>]) + Send + Sync + 'static) {
        self.shared.subscribers.write().push(Box::new(callback));
    }

    /// Has a function called after a snapshot replaced everything: events were left out, those the
    /// snapshot has are in the history.
    pub fn subscribe_to_installs(&self, callback: impl Fn() + Send + Sync + 'static) {
        let mut subscribers = self.shared.install_subscribers.write();
        subscribers.push(Box::new(callback));
    }

    /// Makes everything durable, then gives a stream of it: the tables, the history and the
    /// progress at this moment. Others go on reading and writing.
    pub fn snapshot(&self) -> Result<Snapshot, FlushError> {
        self.flush()?;
        let base = Arc::clone(&self.shared.state.read().layers.base);
        let (parts, complete_from) = {
            let segments = self.shared.segments.lock();
            segments.parts_up_to(base.meta.history.end)
        };
        let age_max = self.shared.options.snapshot_age_max;
        Ok(Snapshot::new(base, parts, complete_from, age_max))
    }

    /// Whether there is room for more. Costs one system call.
    pub fn space(&self) -> SpaceState {
        if let Some(trouble) = self.shared.control.trouble() {
            return SpaceState::Trouble(trouble);
        }
        // If it cannot be told, the next flush will.
        let free = self.shared.disk.free_bytes(&self.shared.folder);
        match free {
            Ok(free_bytes) if free_bytes < self.shared.options.reserve_bytes => {
                SpaceState::Low { free_bytes }
            }
            Ok(_) | Err(_) => SpaceState::Enough,
        }
    }

    /// Figures.
    pub fn statistics(&self) -> Statistics {
        let database_bytes = self.shared.database_bytes.load(Ordering::Relaxed);
        let history_bytes = self.shared.segments.lock().bytes();
        let state = self.shared.state.read();
        Statistics {
            database_bytes,
            history_bytes,
            delta_bytes: state.layers.bytes(),
            recent_bytes: state.recent.bytes(),
            flushes: self.shared.control.figures(),
        }
    }
}

/// Opens the database, or creates it in a folder that has none.
fn open_database(disk: &dyn Disk, folder: &Path, options: &Options) -> Result<Database, OpenError> {
    let names = disk.names(folder).map_err(OpenError::io(folder))?;
    let path = folder.join(DATABASE);
    if names.iter().any(|name| name == DATABASE) {
        return Database::open(disk, &path, options);
    }
    if names.iter().any(|name| name.starts_with(HISTORY_PREFIX)) {
        return Err(OpenError::DatabaseMissing(path));
    }
    let new = folder.join(NEW_DATABASE);
    let database = Database::create(disk, &new, options)?;
    let meta = Meta {
        format: FORMAT,
        generation: 1,
        commit: 1,
        progress: None,
        history: Position::default(),
    };
    let committed = database.commit(&[], &meta);
    committed.map_err(|error| OpenError::io(&new)(std::io::Error::other(error.source)))?;
    disk.rename(&new, &path).map_err(OpenError::io(&new))?;
    disk.sync_folder(folder).map_err(OpenError::io(folder))?;
    Ok(database.renamed(&path))
}

/// Opens the history that belongs to the database, and removes what an install left behind.
fn open_history(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    options: &Options,
    meta: &Meta,
) -> Result<Segments, OpenError> {
    let mine = history_folder(meta.generation);
    for name in disk.names(folder).map_err(OpenError::io(folder))? {
        let path = folder.join(&name);
        if name == NEW_DATABASE {
            disk.remove(&path).map_err(OpenError::io(path))?;
        } else if name.starts_with(HISTORY_PREFIX) && name != mine {
            disk.remove_folder(&path).map_err(OpenError::io(path))?;
        }
    }
    let path = folder.join(mine);
    let segments = Segments::open(Arc::clone(disk), &path, &options.window, meta.history)?;
    disk.sync_folder(folder).map_err(OpenError::io(folder))?;
    Ok(segments)
}

/// The name of a generation's history.
pub(crate) fn history_folder(generation: u64) -> String {
    format!("{HISTORY_PREFIX}{generation}")
}
