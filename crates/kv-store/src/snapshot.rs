//! A stream of everything: progress, tables in the order of keys, history.
//!
//! Frames, numbers little-endian: length of the payload (4 bytes), kind (1), payload, CRC-32C of
//! all that, continued from the frame before (4), so that none can be lost or exchanged. First a
//! header, then rows, then events, then an end that counts them.
//!
//! It is read from one commit of the database and files that are already open, in chunks; nothing
//! waits for whoever reads it.
use std::io::{self, Read};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_model::{Revision, Table};
use serde::{Deserialize, Serialize};

use crate::base::{Base, ChunkLimit};
use crate::record::{Part, Records};
use crate::state::Progress;
use crate::view::ViewTooOld;

/// The first bytes of the header's payload.
pub(crate) const MAGIC: &[u8; 8] = b"KVSNAP01";
/// The format this program writes.
pub(crate) const FORMAT: u32 = 1;
/// Bytes before a frame's payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 5;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The magic, then [`Header`].
    Header = 1,
    /// A table's number, then rows: length of the key (4 bytes), of the value (4), both.
    Rows = 2,
    /// Records as in the history's files.
    Events = 3,
    /// [`End`].
    End = 4,
}

impl Kind {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        [Self::Header, Self::Rows, Self::Events, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    pub(crate) progress: Option<Bytes>,
    /// The history is complete from this revision on.
    pub(crate) complete_from: Revision,
    /// The last event's.
    pub(crate) newest: Revision,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) rows: u64,
    pub(crate) events: u64,
}

/// What comes next.
enum Stage {
    Header(Arc<Base>),
    /// The commit is let go after the rows: while it is held, the database cannot use the space of
    /// what is replaced.
    Rows {
        base: Arc<Base>,
        table: Table,
        after: Option<Bytes>,
    },
    Events,
    End,
    Done,
}

/// Everything as a stream of checksummed frames, for [`crate::Store::install`]. Reading it fails
/// when it is older than [`crate::Options::snapshot_age_max`].
pub struct Snapshot {
    header: Header,
    records: Records,
    stage: Stage,
    frame: Vec<u8>,
    /// So much of the frame was given out.
    given: usize,
    checksum: u32,
    counted: End,
    deadline: Instant,
}

const CHUNK: ChunkLimit = ChunkLimit {
    rows: 4096,
    bytes: 128 * 1024,
};

impl Snapshot {
    pub(crate) fn new(
        base: Arc<Base>,
        parts: Vec<Part>,
        complete_from: Option<Revision>,
        age_max: Duration,
    ) -> Self {
        let newest = base.meta.history.newest;
        let header = Header {
            format: FORMAT,
            progress: base.meta.progress.clone(),
            complete_from: complete_from.unwrap_or(newest.next()),
            newest,
        };
        Self {
            header,
            records: Records::new(parts),
            stage: Stage::Header(base),
            frame: Vec::new(),
            given: 0,
            checksum: 0,
            counted: End::default(),
            deadline: Instant::now() + age_max,
        }
    }

    /// The progress it stands for. It is durable in this store.
    pub fn progress(&self) -> Option<Progress> {
        self.header.progress.clone().map(Progress)
    }

    fn next_frame(&mut self) -> io::Result<()> {
        if Instant::now() > self.deadline {
            return Err(io::Error::other(ViewTooOld));
        }
        self.frame.clear();
        self.given = 0;
        while self.frame.is_empty() {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Header(base) => self.header(base)?,
                Stage::Rows { base, table, after } => self.rows(base, table, after.as_ref())?,
                Stage::Events => self.events()?,
                Stage::End => self.seal(Kind::End, encode(&self.counted)?)?,
                Stage::Done => return Ok(()),
            }
        }
        Ok(())
    }

    fn header(&mut self, base: Arc<Base>) -> io::Result<()> {
        let payload = [&MAGIC[..], &encode(&self.header)?].concat();
        self.stage = Stage::Rows {
            base,
            table: Table::ALL[0],
            after: None,
        };
        self.seal(Kind::Header, payload)
    }

    fn rows(&mut self, base: Arc<Base>, table: Table, after: Option<&Bytes>) -> io::Result<()> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(&after[..]));
        let rows = base.chunk(table, (from, Bound::Unbounded), CHUNK);
        let rows = rows.map_err(io::Error::other)?;
        let Some((last, _)) = rows.last() else {
            let next = Table::ALL.get(table as usize + 1);
            self.stage = next.map_or(Stage::Events, |next| Stage::Rows {
                base,
                table: *next,
                after: None,
            });
            return Ok(());
        };
        self.stage = Stage::Rows {
            base,
            table,
            after: Some(last.clone()),
        };
        self.counted.rows += rows.len() as u64;
        let mut payload = vec![table as u8];
        for (key, value) in rows {
            payload.extend(length(key.len())?);
            payload.extend(length(value.len())?);
            payload.extend_from_slice(&key);
            payload.extend_from_slice(&value);
        }
        self.seal(Kind::Rows, payload)
    }

    fn events(&mut self) -> io::Result<()> {
        let mut payload = Vec::new();
        while payload.len() < CHUNK.bytes {
            let record = self.records.next().map_err(io::Error::other)?;
            let Some(record) = record else {
                self.stage = Stage::End;
                break;
            };
            self.counted.events += 1;
            payload.extend_from_slice(record.bytes);
        }
        if payload.is_empty() {
            return Ok(());
        }
        if let Stage::Done = self.stage {
            self.stage = Stage::Events;
        }
        self.seal(Kind::Events, payload)
    }

    fn seal(&mut self, kind: Kind, payload: Vec<u8>) -> io::Result<()> {
        self.frame.extend(length(payload.len())?);
        self.frame.push(kind as u8);
        self.frame.extend(payload);
        self.checksum = crc32c::crc32c_append(self.checksum, &self.frame);
        self.frame.extend(self.checksum.to_le_bytes());
        Ok(())
    }
}

impl Read for Snapshot {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.frame.len() {
            self.next_frame()?;
        }
        let count = (&self.frame[self.given..]).read(out)?;
        self.given += count;
        Ok(count)
    }
}

fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(io::Error::other)
}

fn length(length: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(length).map_err(io::Error::other)?;
    Ok(length.to_le_bytes())
}
