//! Reading entries back: from memory if they are recent, else from the segments.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::LogError;
use crate::locations::Location;
use crate::log::RaftLog;
use crate::segment::Segment;
use crate::shared::{Entry, Inner};

/// Records that lie further apart, in bytes, are read one by one.
const GAP_BYTES_MAX: u32 = 4096;
/// One read is not extended beyond this, in bytes.
const READ_BYTES_MAX: u32 = 1 << 20;

/// Entries in one segment, near each other.
struct Span {
    segment: Arc<Segment>,
    wanted: Vec<(u64, Location)>,
}

/// What is to be read from the disk, and what was in memory behind it.
#[derive(Default)]
struct Plan {
    spans: Vec<Span>,
    cached: Vec<Entry>,
}

impl RaftLog {
    /// The entries of `from..to_exclusive` that the log holds, ascending and without gaps: as many
    /// as have payloads of `bytes_max` together, but at least one if there is one. The first may
    /// have a higher index than `from` if the log was purged.
    pub fn read(
        &self,
        from: u64,
        to_exclusive: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let plan = plan(&self.shared().lock(), from, to_exclusive, bytes_max);
        let mut entries = Vec::new();
        for Span { segment, wanted } in plan.spans {
            let payloads = segment.read(&wanted)?;
            let indexes = wanted.iter().map(|(index, _)| *index);
            entries.extend(
                indexes
                    .zip(payloads)
                    .map(|(index, payload)| Entry { index, payload }),
            );
        }
        entries.extend(plan.cached);
        Ok(entries)
    }
}

fn plan(inner: &Inner, from: u64, to_exclusive: u64, bytes_max: usize) -> Plan {
    let mut plan = Plan::default();
    let mut bytes = 0;
    for index in from.max(inner.state.first)..to_exclusive.min(inner.state.next) {
        let cached: Option<&Bytes> = inner.cache.get(index);
        let location = || {
            inner
                .locations
                .get(index)
                .expect("what is not cached is durable")
        };
        bytes += cached.map_or_else(|| location().length as usize, Bytes::len);
        let is_first = plan.spans.is_empty() && plan.cached.is_empty();
        if bytes > bytes_max && !is_first {
            break;
        }
        match cached.cloned() {
            Some(payload) => plan.cached.push(Entry { index, payload }),
            None => plan.add(inner, index, location()),
        }
    }
    plan
}

impl Plan {
    fn add(&mut self, inner: &Inner, index: u64, location: Location) {
        if let Some(span) = self.spans.last_mut()
            && span.reaches(location)
        {
            span.wanted.push((index, location));
        } else {
            self.spans.push(Span {
                segment: inner.segments[&location.number].clone(),
                wanted: vec![(index, location)],
            });
        }
    }
}

impl Span {
    fn reaches(&self, location: Location) -> bool {
        let [(_, first), ..] = self.wanted[..] else {
            return false;
        };
        let last = self.wanted.last().map_or(first, |(_, last)| *last);
        location.number == last.number
            && location.offset - last.offset - last.length <= GAP_BYTES_MAX
            && location.offset + location.length - first.offset <= READ_BYTES_MAX
    }
}
