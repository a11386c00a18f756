//! Replacing everything by a snapshot.
//!
//! It is written beside what is there, and takes its place by one rename: a crash leaves either the
//! old state or the new one. What a failure leaves behind is removed, at the latest by the next
//! start.
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use kv_model::{Revision, Table};

use crate::backend::Failure;
use crate::base::Base;
use crate::database::{self, Database, Meta};
use crate::delta::Change;
use crate::error::{InstallError, OpenError};
use crate::flush;
use crate::layers::Layers;
use crate::recent::Recent;
use crate::record;
use crate::segments::Segments;
use crate::snapshot::{End, FORMAT, FRAME_HEADER_BYTES, Header, Kind, MAGIC};
use crate::state::{Progress, State};
use crate::store::{DATABASE, NEW_DATABASE, Shared, Store, history_folder};

impl Store {
    /// Replaces everything by a snapshot, durably, and gives the progress it stands for. Until it
    /// is complete and checked, the present state is served and may change. Views that were taken
    /// before keep what they show.
    pub fn install(&self, reader: &mut dyn Read) -> Result<Option<Progress>, InstallError> {
        let shared = &*self.shared;
        let one_at_a_time = shared.installing.lock();
        let generation = shared.state.read().layers.base.meta.generation + 1;
        let paths = Paths::new(shared, generation);
        paths.remove(shared);
        let installed = write(shared, &paths, generation, &mut Frames::new(reader))
            .and_then(|new| switch(shared, &paths, new));
        if installed.is_err() && !is_current(shared, generation) {
            paths.remove(shared);
        }
        let progress = installed?;
        drop(one_at_a_time);
        for subscriber in &*shared.install_subscribers.read() {
            subscriber();
        }
        Ok(progress)
    }
}

fn is_current(shared: &Shared, generation: u64) -> bool {
    shared.state.read().layers.base.meta.generation == generation
}

/// Where the new state is written.
struct Paths {
    database: PathBuf,
    history: PathBuf,
}

impl Paths {
    fn new(shared: &Shared, generation: u64) -> Self {
        Self {
            database: shared.folder.join(NEW_DATABASE),
            history: shared.folder.join(history_folder(generation)),
        }
    }

    /// Removes what is there; if it cannot be removed, creating it will say so.
    fn remove(&self, shared: &Shared) {
        let _database = shared.disk.remove(&self.database);
        let _history = shared.disk.remove_folder(&self.history);
    }
}

/// A complete state that is not in its place yet.
struct New {
    database: Database,
    segments: Segments,
    base: Base,
}

fn write(
    shared: &Shared,
    paths: &Paths,
    generation: u64,
    frames: &mut Frames<'_>,
) -> Result<New, InstallError> {
    let header = read_header(frames)?;
    let disk = &shared.disk;
    let of_database = |error: OpenError| InstallError::store(&paths.database)(error);
    let database = Database::create(&**disk, &paths.database, &shared.options);
    let database = database.map_err(of_database)?;
    let window = &shared.options.window;
    let segments = Segments::create(Arc::clone(disk), &paths.history, window);
    let mut segments = segments.map_err(InstallError::store(&paths.history))?;
    segments.begin_after(Revision(header.complete_from.0.saturating_sub(1)));
    let writing = database.begin();
    let mut writing =
        writing.map_err(|error| InstallError::store(&paths.database)(error.source))?;
    let mut counted = End::default();
    loop {
        match frames.next()? {
            (Kind::Rows, payload) => {
                let (table, rows) = rows(&payload).ok_or_else(|| frames.damaged("its rows"))?;
                counted.rows += rows.len() as u64;
                let rows = rows.iter().map(|(key, change)| (*key, change));
                let changed = writing.change(table, rows);
                changed.map_err(|error| InstallError::store(&paths.database)(error.source))?;
            }
            (Kind::Events, payload) => {
                counted.events += events(&payload, &mut segments, frames, &paths.history)?;
            }
            (Kind::End, payload) => {
                if postcard::from_bytes::<End>(&payload) != Ok(counted) {
                    return Err(frames.damaged("rows or events are missing"));
                }
                break;
            }
            (Kind::Header, _) => return Err(frames.damaged("a second header")),
        }
    }
    segments.begin_after(header.newest);
    let unsynced = segments.take_unsynced();
    let synced = unsynced.sync(&**disk);
    let synced = synced.and_then(|()| disk.sync_folder(&shared.folder));
    synced.map_err(InstallError::store(&paths.history))?;
    let meta = Meta {
        format: database::FORMAT,
        generation,
        commit: 1,
        progress: header.progress,
        history: segments.choose_begin(),
    };
    let committed = writing.commit(&meta);
    committed.map_err(|error| InstallError::store(&paths.database)(error.source))?;
    let base = database.base().map_err(of_database)?;
    Ok(New {
        database,
        segments,
        base,
    })
}

/// Puts the new state into its place, on disk and in memory.
fn switch(shared: &Shared, paths: &Paths, new: New) -> Result<Option<Progress>, InstallError> {
    let place = shared.folder.join(DATABASE);
    let mut database = shared.database.lock();
    let writer = shared.writer.lock();
    let renamed = shared.disk.rename(&paths.database, &place);
    renamed.map_err(InstallError::store(&place))?;
    // From here on the old database has no name: the new one must be served whatever happens.
    let synced = shared.disk.sync_folder(&shared.folder);
    *database = new.database.renamed(&place);
    let length = database.length();
    shared.database_bytes.store(length, Ordering::Relaxed);
    let history = new.base.meta.history;
    let recent = Recent::new(history.events, history.newest);
    let mut state = State::new(Layers::new(Arc::new(new.base)), recent);
    let progress = state.progress.clone();
    let old_generation = {
        let mut segments = shared.segments.lock();
        let mut current = shared.state.write();
        *segments = new.segments;
        state.sequence = current.sequence + 1;
        shared.control.installed(state.sequence, progress.clone());
        let old = std::mem::replace(&mut *current, state);
        old.layers.base.meta.generation
    };
    drop(writer);
    // If it stays, the next start removes it.
    let old = shared.folder.join(history_folder(old_generation));
    let _removed = shared.disk.remove_folder(&old);
    if let Err(error) = synced {
        flush::note_failure(shared, Failure::Lasting(error.to_string()));
        return Err(InstallError::store(&shared.folder)(error));
    }
    Ok(progress)
}

fn read_header(frames: &mut Frames<'_>) -> Result<Header, InstallError> {
    let (Kind::Header, payload) = frames.next()? else {
        return Err(frames.damaged("no header"));
    };
    let Some(encoded) = payload.strip_prefix(MAGIC) else {
        return Err(frames.damaged("it is no snapshot of this store"));
    };
    match postcard::take_from_bytes::<u32>(encoded) {
        Ok((format, _)) if format > FORMAT => Err(InstallError::TooNew {
            found: format,
            known: FORMAT,
        }),
        _ => postcard::from_bytes(encoded).map_err(|_| frames.damaged("its header")),
    }
}

/// Rows with their new values.
type RowsSet<'a> = Vec<(&'a [u8], Change)>;

/// The rows of a frame.
fn rows(payload: &[u8]) -> Option<(Table, RowsSet<'_>)> {
    let (table, mut rest) = payload.split_first()?;
    let table = *Table::ALL.get(usize::from(*table))?;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (key_length, after) = rest.split_first_chunk()?;
        let (value_length, after) = after.split_first_chunk()?;
        let (key, after) = after.split_at_checked(u32::from_le_bytes(*key_length) as usize)?;
        let (value, after) = after.split_at_checked(u32::from_le_bytes(*value_length) as usize)?;
        rows.push((key, Change::Set(Bytes::copy_from_slice(value))));
        rest = after;
    }
    Some((table, rows))
}

/// Takes over the events of a frame; gives their number.
fn events(
    payload: &[u8],
    segments: &mut Segments,
    frames: &Frames<'_>,
    path: &std::path::Path,
) -> Result<u64, InstallError> {
    let mut rest = payload;
    let mut count = 0;
    while !rest.is_empty() {
        let record = record::split_first(rest).map_err(|reason| frames.damaged(reason))?;
        let (record, after) = record.ok_or_else(|| frames.damaged("an event is cut off"))?;
        let appended = segments.append_record(record);
        appended.map_err(InstallError::store(path))?;
        rest = after;
        count += 1;
    }
    Ok(count)
}

/// Reads and checks frames.
struct Frames<'a> {
    reader: &'a mut dyn Read,
    checksum: u32,
    count: u64,
}

impl<'a> Frames<'a> {
    fn new(reader: &'a mut dyn Read) -> Self {
        Self {
            reader,
            checksum: 0,
            count: 0,
        }
    }

    /// The frame that was read last is not right.
    fn damaged(&self, reason: impl Into<String>) -> InstallError {
        InstallError::Damaged {
            frame: self.count.saturating_sub(1),
            reason: reason.into(),
        }
    }

    fn next(&mut self) -> Result<(Kind, Vec<u8>), InstallError> {
        let frames = self.count;
        let failed = |source: io::Error| InstallError::Read { frames, source };
        let mut header = [0; FRAME_HEADER_BYTES];
        self.reader.read_exact(&mut header).map_err(failed)?;
        let [a, b, c, d, kind] = header;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        // Not allocated at once: the length may be wrong.
        let mut payload = Vec::new();
        let read = (&mut *self.reader).take(length).read_to_end(&mut payload);
        if read.map_err(failed)? as u64 != length {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut checksum = [0; 4];
        self.reader.read_exact(&mut checksum).map_err(failed)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &header);
        self.checksum = crc32c::crc32c_append(self.checksum, &payload);
        self.count += 1;
        if self.checksum.to_le_bytes() != checksum {
            return Err(self.damaged("its checksum is wrong"));
        }
        let kind = Kind::of(kind).ok_or_else(|| self.damaged("a frame of an unknown kind"))?;
        Ok((kind, payload))
    }
}
