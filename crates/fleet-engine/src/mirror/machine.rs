//! All that the store has on one machine.
//!
//! When a lease ends, nobody says whether its time was over or somebody ended it. So the wait for what
//! stops on partitions begins when the end is seen.

use std::time::Duration;

use fleet_model::{Availability, Fence, Machine, MachineId};
use fleet_store::{MachineRecord, MachineSettings, Revision};
use tokio::time::Instant;

/// What stands under `machines/ID/settings`.
#[derive(Debug, Default)]
pub(super) enum Settings {
    /// Nothing.
    #[default]
    None,
    /// Something that cannot be read: the machine gets no new units.
    Unreadable,
    /// What operators want.
    Known(MachineSettings),
}

/// All that concerns a machine.
#[derive(Debug, Default)]
pub(super) struct MachineEntry {
    /// Since when it is alive.
    pub(super) alive: Option<Revision>,
    pub(super) record: Option<MachineRecord>,
    pub(super) settings: Settings,
    /// Since when it is known not to be alive.
    pub(super) lost_since: Option<Instant>,
}

impl MachineEntry {
    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.alive.is_none() && self.record.is_none() && matches!(self.settings, Settings::None)
    }

    /// When what stops on partitions is dead there; nothing if it is now, or the machine is alive.
    pub(super) fn fence(&self) -> Option<Instant> {
        let lost_since = self.lost_since?;
        let lease = self.record.as_ref()?.lease?;
        Some(lost_since + Duration::from_secs(lease.ttl_seconds))
    }

    /// As the model sees it. Without a record it is no machine, unless it is alive: then it keeps
    /// what it has.
    pub(super) fn show(&self, id: &MachineId, now: Instant) -> Option<Machine> {
        let is_alive = self.alive.is_some();
        let fence = match self.fence() {
            Some(until) if until > now => Fence::Pending,
            _ => Fence::Elapsed,
        };
        let (asked, settings) = match &self.settings {
            Settings::None => (Availability::Open, MachineSettings::default()),
            Settings::Unreadable => (Availability::Cordoned, MachineSettings::default()),
            Settings::Known(settings) => (settings.availability.into(), settings.clone()),
        };
        let (record, availability) = match (&self.record, is_alive) {
            (Some(record), true) => (record.clone(), asked),
            (Some(record), false) => (record.clone(), Availability::Lost(fence)),
            (None, true) => (MachineRecord::default(), Availability::Cordoned),
            (None, false) => return None,
        };
        Some(Machine {
            id: id.clone(),
            metadata: record.metadata_under(&settings),
            capacity: record.capacity,
            availability,
        })
    }
}
