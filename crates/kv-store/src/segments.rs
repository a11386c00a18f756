//! The history's files: events in segments, oldest first, appended by one thread.
//!
//! A segment is a header and whole records. How much of them counts is what the database's last
//! commit says; what goes on after it is cut off when the store opens. Revisions are never divided
//! between segments. Recent events in memory are elsewhere.
//!
//! Header, numbers little-endian, 8 bytes each unless said: magic, where the segment's records
//! begin (counted over all there ever were), the revision from which on it is complete, when it was
//! created (seconds since 1970), events before it, CRC-32C of all that (4 bytes).
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv_model::{Event, Revision};

use crate::database::Position;
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::options::HistoryWindow;
use crate::record::{self, Part};

const MAGIC: &[u8; 8] = b"KVEVENT1";
const HEADER_BYTES: usize = 44;
/// One entry of the index for so many bytes.
const INDEX_BYTES: u64 = 64 * 1024;
/// Entries of one segment's index.
const INDEX_ENTRIES_MAX: usize = 256;
/// Events are encoded into a buffer of about this size before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// One file.
#[derive(Debug)]
struct Segment {
    start: u64,
    complete_from: Revision,
    created_unix_seconds: u64,
    events_before: u64,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// All events from this revision on stand at this position of the file or later; ascending.
    index: Vec<(Revision, u64)>,
}

impl Segment {
    fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        let numbers = [
            self.start,
            self.complete_from.0,
            self.created_unix_seconds,
            self.events_before,
        ];
        header.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        header.extend(crc32c::crc32c(&header).to_le_bytes());
        header
    }

    fn read(file: Arc<dyn DiskFile>, path: PathBuf) -> Result<Self, String> {
        let mut header = [0; HEADER_BYTES];
        let read = file.read_at(0, &mut header);
        read.map_err(|error| format!("its header: {error}"))?;
        let (content, checksum) = header.split_at(HEADER_BYTES - 4);
        if crc32c::crc32c(content).to_le_bytes() != checksum || !content.starts_with(MAGIC) {
            return Err("its header is wrong".to_owned());
        }
        let number = |index: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&content[8 * (index + 1)..8 * (index + 2)]);
            u64::from_le_bytes(number)
        };
        Ok(Self {
            start: number(0),
            complete_from: Revision(number(1)),
            created_unix_seconds: number(2),
            events_before: number(3),
            file,
            path,
            index: Vec::new(),
        })
    }

    fn position_of(&self, revision: Revision) -> u64 {
        let after = self.index.partition_point(|(from, _)| *from <= revision);
        let before = after.checked_sub(1).map(|index| self.index[index].1);
        before.unwrap_or(HEADER_BYTES as u64)
    }

    fn learn(&mut self, revision: Revision, position: u64) {
        let place = self.index.partition_point(|(from, _)| *from < revision);
        let is_known = self
            .index
            .get(place)
            .is_some_and(|(from, _)| *from == revision);
        if !is_known && self.index.len() < INDEX_ENTRIES_MAX {
            self.index.insert(place, (revision, position));
        }
    }
}

/// All files of one history.
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    window: HistoryWindow,
    list: VecDeque<Segment>,
    position: Position,
    unsynced: Unsynced,
}

/// What a crash could lose.
#[derive(Default)]
pub(crate) struct Unsynced {
    files: Vec<Arc<dyn DiskFile>>,
    /// The folder, if it has new names.
    folder: Option<PathBuf>,
}

impl Unsynced {
    /// Makes it durable.
    pub(crate) fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())?;
        match &self.folder {
            Some(folder) => disk.sync_folder(folder),
            None => Ok(()),
        }
    }
}

impl Segments {
    /// Begins a history in a folder that is empty or does not exist.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        folder: &Path,
        window: &HistoryWindow,
    ) -> io::Result<Self> {
        disk.create_folder(folder)?;
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            window: window.clone(),
            list: VecDeque::new(),
            position: Position::default(),
            unsynced: Unsynced::default(),
        })
    }

    /// Opens the history that ends at `position`; cuts off what goes on after it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        window: &HistoryWindow,
        position: Position,
    ) -> Result<Self, OpenError> {
        let mut segments = Self::create(disk, folder, window).map_err(OpenError::io(folder))?;
        segments.position = position;
        let mut names = segments.disk.names(folder).map_err(OpenError::io(folder))?;
        names.sort_unstable();
        for name in names {
            segments.take_in(&name)?;
        }
        segments.check()?;
        Ok(segments)
    }

    fn damaged(path: &Path, reason: impl Into<String>) -> OpenError {
        OpenError::HistoryDamaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    fn take_in(&mut self, name: &str) -> Result<(), OpenError> {
        let path = self.folder.join(name);
        let Some(start) = name
            .strip_suffix(".events")
            .and_then(|start| start.parse::<u64>().ok())
        else {
            return Ok(());
        };
        if start < self.position.begin || start >= self.position.end {
            return self.disk.remove(&path).map_err(OpenError::io(path));
        }
        let file = self.disk.open(&path).map_err(OpenError::io(&path))?;
        let segment = Segment::read(file, path.clone());
        let segment = segment.map_err(|reason| Self::damaged(&path, reason))?;
        if segment.start != start {
            return Err(Self::damaged(&path, "its header says it is another"));
        }
        self.list.push_back(segment);
        Ok(())
    }

    fn check(&mut self) -> Result<(), OpenError> {
        let begin = self
            .list
            .front()
            .map_or(self.position.end, |first| first.start);
        if begin != self.position.begin {
            return Err(Self::damaged(&self.folder, "its first files are missing"));
        }
        for (index, segment) in self.list.iter().enumerate() {
            let next = self.list.get(index + 1);
            let end = next.map_or(self.position.end, |next| next.start);
            let wanted = HEADER_BYTES as u64 + (end - segment.start);
            let length = segment
                .file
                .length()
                .map_err(OpenError::io(&segment.path))?;
            if length < wanted {
                let reason = format!("{length} bytes instead of {wanted}");
                return Err(Self::damaged(&segment.path, reason));
            }
            if length > wanted {
                let cut = segment.file.set_length(wanted);
                cut.map_err(OpenError::io(&segment.path))?;
            }
        }
        Ok(())
    }

    /// How far it goes, durable or not.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Nothing older than this was there before the first event that is appended.
    pub(crate) fn begin_after(&mut self, newest: Revision) {
        self.position.newest = newest;
    }

    /// The revision from which on all events are there.
    pub(crate) fn oldest(&self) -> Revision {
        let first = self.list.front().map(|segment| segment.complete_from);
        first.unwrap_or(self.position.newest.next())
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let lengths = self
            .list
            .front()
            .map_or(0, |first| self.position.end - first.start);
        lengths + (self.list.len() * HEADER_BYTES) as u64
    }

    /// Appends events. After an error, [`Self::position`] says how many were.
    pub(crate) fn append(&mut self, events: &[Arc<Event>]) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut position = self.position;
        for event in events {
            if event.revision != position.newest || self.list.is_empty() {
                if buffer.len() >= WRITE_BYTES {
                    self.write(&mut buffer, position)?;
                }
                if self.is_segment_full(position) {
                    self.write(&mut buffer, position)?;
                    self.begin_segment()?;
                }
                self.index(event.revision, position);
            }
            record::encode(event, &mut buffer)?;
            position.end = self.position.end + buffer.len() as u64;
            position.events += 1;
            position.newest = event.revision;
        }
        self.write(&mut buffer, position)
    }

    /// Appends a record that was read from another history.
    pub(crate) fn append_record(&mut self, record: record::Record<'_>) -> io::Result<()> {
        let mut position = self.position;
        if record.revision != position.newest || self.list.is_empty() {
            if self.is_segment_full(position) {
                self.begin_segment()?;
            }
            self.index(record.revision, position);
        }
        position.end += record.bytes.len() as u64;
        position.events += 1;
        position.newest = record.revision;
        self.write(&mut record.bytes.to_vec(), position)
    }

    fn is_segment_full(&self, position: Position) -> bool {
        let Some(last) = self.list.back() else {
            return true;
        };
        let bytes = position.end - last.start;
        let events = position.events - last.events_before;
        let is_old = |age: std::time::Duration| self.age_seconds(last) >= age.as_secs() / 8;
        bytes > 0
            && (bytes >= self.window.bytes_max / 16
                || self
                    .window
                    .events_max
                    .is_some_and(|max| events >= max.div_ceil(8))
                || self.window.age_max.is_some_and(is_old))
    }

    fn age_seconds(&self, segment: &Segment) -> u64 {
        let now = self.disk.unix_seconds();
        now.saturating_sub(segment.created_unix_seconds)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let start = self.position.end;
        let path = self.folder.join(format!("{start:020}.events"));
        let segment = Segment {
            start,
            complete_from: self.position.newest.next(),
            created_unix_seconds: self.disk.unix_seconds(),
            events_before: self.position.events,
            file: self.disk.create(&path)?,
            path,
            index: Vec::new(),
        };
        segment.file.write_at(0, &segment.header())?;
        self.unsynced.files.push(Arc::clone(&segment.file));
        self.unsynced.folder = Some(self.folder.clone());
        self.list.push_back(segment);
        Ok(())
    }

    fn index(&mut self, revision: Revision, position: Position) {
        let Some(last) = self.list.back_mut() else {
            return;
        };
        let place = HEADER_BYTES as u64 + (position.end - last.start);
        let before = last
            .index
            .last()
            .map_or(HEADER_BYTES as u64, |(_, place)| *place);
        if place >= before + INDEX_BYTES {
            last.learn(revision, place);
        }
    }

    fn write(&mut self, buffer: &mut Vec<u8>, position: Position) -> io::Result<()> {
        let Some(last) = self.list.back().filter(|_| !buffer.is_empty()) else {
            return Ok(());
        };
        let place = HEADER_BYTES as u64 + (self.position.end - last.start);
        last.file.write_at(place, buffer)?;
        let files = &mut self.unsynced.files;
        if !files
            .last()
            .is_some_and(|file| Arc::ptr_eq(file, &last.file))
        {
            files.push(Arc::clone(&last.file));
        }
        self.position = position;
        buffer.clear();
        Ok(())
    }

    /// Gives away what must be synced before the present position counts.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        std::mem::take(&mut self.unsynced)
    }

    /// The files with the events from a revision on, or the oldest revision if that is later.
    pub(crate) fn parts_from(&self, revision: Revision) -> Result<Vec<Part>, Revision> {
        let after = self
            .list
            .partition_point(|segment| segment.complete_from <= revision);
        let Some(first) = after.checked_sub(1) else {
            return if self.list.is_empty() && revision > self.position.newest {
                Ok(Vec::new())
            } else {
                Err(self.oldest())
            };
        };
        let mut parts = self.parts(first, self.position.end);
        if let Some(part) = parts.first_mut() {
            part.position = self.list[first].position_of(revision);
        }
        Ok(parts)
    }

    /// All there is before an earlier end, and the revision from which on it is complete.
    pub(crate) fn parts_up_to(&self, end: u64) -> (Vec<Part>, Option<Revision>) {
        let first = self.list.front().filter(|segment| segment.start < end);
        let parts = first.map_or_else(Vec::new, |_| self.parts(0, end));
        (parts, first.map(|segment| segment.complete_from))
    }

    fn parts(&self, first: usize, end: u64) -> Vec<Part> {
        let segments = self.list.iter().enumerate().skip(first);
        let segments = segments.take_while(|(_, segment)| segment.start < end);
        let part = |(index, segment): (usize, &Segment)| {
            let next = self.list.get(index + 1);
            let end = next.map_or(end, |next| next.start.min(end));
            Part {
                file: Arc::clone(&segment.file),
                path: segment.path.clone(),
                segment: segment.start,
                position: HEADER_BYTES as u64,
                end: HEADER_BYTES as u64 + (end - segment.start),
            }
        };
        segments.map(part).collect()
    }

    /// Remembers that all events from a revision on stand at a position or later.
    pub(crate) fn learn(&mut self, revision: Revision, segment: u64, position: u64) {
        let segment = self.list.iter_mut().find(|known| known.start == segment);
        if let Some(segment) = segment {
            segment.learn(revision, position);
        }
    }

    /// Decides what the window does not hold any more. The segment in which the records end stays,
    /// so that the next start finds it.
    pub(crate) fn choose_begin(&mut self) -> Position {
        let mut first = 0;
        while let Some(next) = self.list.get(first + 1)
            && next.start < self.position.end
            && self.is_outside(&self.list[first], next)
        {
            first += 1;
        }
        if let Some(first) = self.list.get(first) {
            self.position.begin = first.start;
        }
        self.position
    }

    /// Forgets what is before the beginning, once that is durable.
    pub(crate) fn trim(&mut self, durable: Position) -> io::Result<()> {
        while self.list.len() > 1
            && self.list[0].start < durable.begin
            && let Some(first) = self.list.pop_front()
        {
            self.disk.remove(&first.path)?;
        }
        Ok(())
    }

    /// Whether the window is full without a segment, whose events are older than the next.
    fn is_outside(&self, segment: &Segment, next: &Segment) -> bool {
        let bytes = self.position.end - segment.start;
        let events = self.position.events - next.events_before;
        let window = &self.window;
        let is_old = |age: std::time::Duration| self.age_seconds(next) > age.as_secs();
        bytes > window.bytes_max
            || window.events_max.is_some_and(|max| events >= max)
            || window.age_max.is_some_and(is_old)
    }
}
