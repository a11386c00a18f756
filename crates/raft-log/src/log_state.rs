//! What a log is besides its entries: its bounds, the vote and the notes. Pure.
//!
//! The same rules run three times: when a request is taken, when it is written, and when a log is
//! read back. Requests that change nothing (removing what is not there) are no errors in any of them.

use bytes::Bytes;

/// Bounds and notes of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    /// The first entry, if `first < next`.
    pub(crate) first: u64,
    /// The entry after the last.
    pub(crate) next: u64,
    /// Up to where entries were purged, and the note on it.
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
}

impl LogState {
    pub(crate) fn is_empty(&self) -> bool {
        self.first >= self.next
    }

    /// The index that the next entry must have; a log that never had any begins where it likes.
    pub(crate) fn expected(&self) -> Option<u64> {
        (!self.is_empty() || self.purged.is_some()).then_some(self.next)
    }

    /// Whether an entry with this index may come next.
    pub(crate) fn accepts(&self, index: u64) -> bool {
        index < u64::MAX && self.expected().is_none_or(|expected| expected == index)
    }

    /// An entry that [`accepts`](Self::accepts) allowed is added.
    pub(crate) fn append(&mut self, index: u64) {
        if self.is_empty() {
            self.first = index;
        }
        self.next = index + 1;
    }

    /// Entries from `from` on are removed.
    pub(crate) fn truncate(&mut self, from: u64) {
        self.next = self.next.min(from.max(self.first));
    }

    /// Entries up to and including `index` are removed, and the log goes on behind it.
    pub(crate) fn purge(&mut self, index: u64, note: Bytes) {
        if self
            .purged
            .as_ref()
            .is_some_and(|(purged, _)| *purged >= index)
        {
            return;
        }
        self.first = self.first.max(index.saturating_add(1));
        self.next = self.next.max(self.first);
        self.purged = Some((index, note));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.next.to_le_bytes());
        let purged = self.purged.as_ref();
        bytes.extend_from_slice(&purged.map_or(0, |(index, _)| *index).to_le_bytes());
        for note in [
            purged.map(|(_, note)| note),
            self.vote.as_ref(),
            self.committed.as_ref(),
        ] {
            // The length and one, so that none and empty differ.
            let length = note.map_or(0, |note| note.len() + 1);
            let length = u32::try_from(length).expect("notes are bounded by the options");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(note.map_or(&[], |note| note));
        }
        bytes
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut number = || Some(u64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?));
        let (first, next, purged_index) = (number()?, number()?, number()?);
        let mut note = || -> Option<Option<Bytes>> {
            let length = u32::from_le_bytes(*bytes.split_off(..4)?.first_chunk()?);
            let Some(length) = length.checked_sub(1) else {
                return Some(None);
            };
            Some(Some(Bytes::copy_from_slice(
                bytes.split_off(..length as usize)?,
            )))
        };
        let (purged, vote, committed) = (note()?, note()?, note()?);
        let state = Self {
            first,
            next,
            purged: purged.map(|note| (purged_index, note)),
            vote,
            committed,
        };
        (bytes.is_empty() && first <= next).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut state = LogState::default();
        assert_eq!(LogState::decode(&state.encode()), Some(state.clone()));
        state.append(7);
        state.append(8);
        state.vote = Some(Bytes::new());
        assert_eq!(LogState::decode(&state.encode()), Some(state.clone()));
        state.purge(20, Bytes::from_static(b"note"));
        let bytes = state.encode();
        assert_eq!(LogState::decode(&bytes), Some(state.clone()));
        for length in 0..bytes.len() {
            assert_eq!(LogState::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(state.expected(), Some(21));
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut state = LogState::default();
        (3..9).for_each(|index| state.append(index));
        state.truncate(30);
        assert_eq!((state.first, state.next), (3, 9));
        state.purge(5, Bytes::new());
        state.purge(4, Bytes::from_static(b"older"));
        assert_eq!(state.purged, Some((5, Bytes::new())));
        state.truncate(2);
        assert_eq!((state.first, state.next), (6, 6));
        assert!(state.accepts(6) && !state.accepts(3));
    }
}
