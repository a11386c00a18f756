//! The payloads of the last entries, in memory: everything that is not durable yet, the last entry,
//! and as many before as the bound allows. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

/// What an entry costs besides its payload, about.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
struct Cached {
    payload: Bytes,
    /// The request that brought it.
    sequence: u64,
}

/// Payloads of a run of entries up to the last.
#[derive(Debug)]
pub(crate) struct Cache {
    first: u64,
    held: VecDeque<Cached>,
    bytes: usize,
    bytes_max: usize,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            first: 0,
            held: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Bytes> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.held.get(at).map(|cached| &cached.payload)
    }

    /// Adds the entry after the last, or any if there is none.
    pub(crate) fn push(&mut self, index: u64, payload: Bytes, sequence: u64) {
        if self.held.is_empty() {
            self.first = index;
        }
        self.bytes += payload.len() + ENTRY_BYTES;
        self.held.push_back(Cached { payload, sequence });
    }

    /// Forgets the entries from `from` on.
    pub(crate) fn truncate(&mut self, from: u64) {
        while self.first + self.held.len() as u64 > from {
            let Some(cached) = self.held.pop_back() else {
                return;
            };
            self.bytes -= cached.payload.len() + ENTRY_BYTES;
        }
    }

    /// Forgets the entries up to and including `index`.
    pub(crate) fn purge(&mut self, index: u64) {
        while !self.held.is_empty() && self.first <= index {
            self.pop_front();
        }
    }

    /// Keeps to the bound, as far as requests up to `completed` are durable.
    pub(crate) fn evict(&mut self, completed: u64) {
        while self.bytes > self.bytes_max
            && self.held.len() > 1
            && self
                .held
                .front()
                .is_some_and(|oldest| oldest.sequence <= completed)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(cached) = self.held.pop_front() {
            self.bytes -= cached.payload.len() + ENTRY_BYTES;
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_durable_and_the_last_stay() {
        let mut cache = Cache::new(300);
        for index in 10..20 {
            cache.push(index, Bytes::from(vec![0; 100]), index);
        }
        cache.evict(12);
        assert_eq!(cache.get(12), None);
        assert!((13..20).all(|index| cache.get(index).is_some()));
        cache.evict(19);
        assert_eq!(cache.get(18), None);
        assert!(cache.get(19).is_some());
        cache.truncate(0);
        assert_eq!((cache.get(19), cache.bytes), (None, 0));
        cache.push(3, Bytes::from(vec![0; 1000]), 21);
        cache.evict(21);
        assert!(cache.get(3).is_some());
        cache.purge(3);
        assert_eq!((cache.held.len(), cache.bytes), (0, 0));
    }
}
