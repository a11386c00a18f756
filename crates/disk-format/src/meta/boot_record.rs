//! What is remembered about boots, and its payload bytes.
//!
//! The payload is a count (4 bytes) and, oldest first, that many root hashes (32 bytes) each with
//! its failed boots (4 bytes); then the order to reset state, see [`super::reset_order`]. Readers ignore
//! what follows: a later version may add to it. Does not know where or how often it is stored.

use super::CopyProblem;
use super::reset_order::{self, OrderTooLong, ResetOrder};
use crate::verity::RootHash;

/// How many versions are remembered; two slots need two, the others are recent history.
pub const FAILED_BOOTS_LIMIT: usize = 8;

const ENTRY_LENGTH_BYTES: usize = 36;

/// How often versions failed to boot since they last succeeded, and what the next boot is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootRecord {
    /// The one that failed last comes last.
    failed_boots: Vec<(RootHash, u32)>,
    reset: Option<ResetOrder>,
}

impl BootRecord {
    /// How often this version failed in a row; 0 if it is not remembered.
    pub fn failed_boots(&self, root_hash: &RootHash) -> u32 {
        let entry = self.failed_boots.iter().find(|(hash, _)| hash == root_hash);
        entry.map_or(0, |(_, count)| *count)
    }

    /// Counts one more failure of this version and returns how many there are now.
    ///
    /// Beyond [`FAILED_BOOTS_LIMIT`] versions the one whose last failure is longest ago is
    /// forgotten.
    pub fn count_failed_boot(&mut self, root_hash: &RootHash) -> u32 {
        let count = self.failed_boots(root_hash).saturating_add(1);
        self.clear_failed_boots(root_hash);
        if self.failed_boots.len() == FAILED_BOOTS_LIMIT {
            self.failed_boots.remove(0);
        }
        self.failed_boots.push((*root_hash, count));
        count
    }

    /// Takes back one failure of this version, which was none of its own, and returns how many are left.
    pub fn uncount_failed_boot(&mut self, root_hash: &RootHash) -> u32 {
        let mut entries = self.failed_boots.iter_mut();
        let entry = entries.find(|(hash, _)| hash == root_hash);
        let left = entry.map_or(0, |(_, count)| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            self.clear_failed_boots(root_hash);
        }
        left
    }

    /// Forgets the failures of this version, because it succeeded.
    pub fn clear_failed_boots(&mut self, root_hash: &RootHash) {
        self.failed_boots.retain(|(hash, _)| hash != root_hash);
    }

    /// Every version with failures and their number; the one that failed last comes last.
    pub fn all_failed_boots(&self) -> impl Iterator<Item = (&RootHash, u32)> {
        self.failed_boots.iter().map(|(hash, count)| (hash, *count))
    }

    /// What the next boot is to do to state.
    pub fn reset(&self) -> Option<&ResetOrder> {
        self.reset.as_ref()
    }

    /// Orders a reset at the next boot, in place of what was ordered before.
    pub fn order_reset(&mut self, order: ResetOrder) -> Result<(), OrderTooLong> {
        let order = Some(order);
        reset_order::check_length(order.as_ref())?;
        self.reset = order;
        Ok(())
    }

    /// Forgets the order: it was carried out, or taken back. Says whether there was one.
    pub fn forget_reset(&mut self) -> bool {
        self.reset.take().is_some()
    }

    pub(super) fn to_payload(&self) -> Vec<u8> {
        let count = u32::try_from(self.failed_boots.len()).unwrap_or(u32::MAX);
        let mut payload = count.to_le_bytes().to_vec();
        for (root_hash, count) in &self.failed_boots {
            payload.extend_from_slice(&root_hash.0);
            payload.extend_from_slice(&count.to_le_bytes());
        }
        payload.extend(reset_order::to_bytes(self.reset.as_ref()));
        payload
    }

    pub(super) fn from_payload(payload: &[u8]) -> Result<Self, CopyProblem> {
        let (count, entries) = payload.split_first_chunk().ok_or(CopyProblem::Payload)?;
        let count = u32::from_le_bytes(*count) as usize;
        if count > FAILED_BOOTS_LIMIT || count * ENTRY_LENGTH_BYTES > entries.len() {
            return Err(CopyProblem::Payload);
        }
        let (entries, behind) = entries.split_at(count * ENTRY_LENGTH_BYTES);
        let entries = entries.chunks_exact(ENTRY_LENGTH_BYTES);
        Ok(Self {
            failed_boots: entries.filter_map(parse_entry).collect(),
            reset: reset_order::from_bytes(behind)?,
        })
    }
}

fn parse_entry(entry: &[u8]) -> Option<(RootHash, u32)> {
    let (hash, count) = entry.split_first_chunk()?;
    Some((RootHash(*hash), u32::from_le_bytes(count.try_into().ok()?)))
}
