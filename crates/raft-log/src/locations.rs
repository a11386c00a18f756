//! Where durable entries are on the disk: index to segment and offset. Pure.
//!
//! It follows what is written, so it lags behind what was asked for; see `shared`.

use std::collections::VecDeque;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    /// The segment's number.
    pub(crate) number: u32,
    /// Offset of the record's header.
    pub(crate) offset: u32,
    /// Length of its payload.
    pub(crate) length: u32,
}

/// The locations of a run of entries.
#[derive(Debug, Default)]
pub(crate) struct Locations {
    first: u64,
    held: VecDeque<Location>,
}

impl Locations {
    /// The first entry whose location is known.
    pub(crate) fn first(&self) -> Option<u64> {
        (!self.held.is_empty()).then_some(self.first)
    }

    pub(crate) fn get(&self, index: u64) -> Option<Location> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.held.get(at).copied()
    }

    /// The first segment that holds an entry: earlier ones are not needed.
    pub(crate) fn first_number(&self) -> Option<u32> {
        self.held.front().map(|location| location.number)
    }

    /// Adds the entry after the last, or any if there is none.
    pub(crate) fn push(&mut self, index: u64, location: Location) {
        if self.held.is_empty() {
            self.first = index;
        }
        self.held.push_back(location);
    }

    /// Forgets the entries from `from` on.
    pub(crate) fn truncate(&mut self, from: u64) {
        let kept = from.saturating_sub(self.first);
        self.held
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Forgets the entries up to and including `index`.
    pub(crate) fn purge(&mut self, index: u64) {
        while !self.held.is_empty() && self.first <= index {
            self.held.pop_front();
            self.first += 1;
        }
        if self.held.capacity() > 4 * self.held.len() + 1024 {
            self.held.shrink_to(2 * self.held.len());
        }
    }
}
