//! Machines as the engine sees them.
//!
//! How it learnt of them, by leases, is not known here.

use std::collections::BTreeMap;
use std::fmt;

use crate::resources::Capacity;

/// A machine's identity: systemd's machine id, 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(String);

/// How many digits of an identity are shown, and suffice in `MachineID=`.
pub const SHORT_LENGTH: usize = 8;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Unique in the cluster.
    pub id: MachineId,
    /// What `MachineMetadata=` and `Spread=` ask for.
    pub metadata: BTreeMap<String, String>,
    /// What reservations are taken from.
    pub capacity: Capacity,
    /// Whether it may be given units.
    pub availability: Availability,
}

/// Whether a machine may have units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It may.
    Open,
    /// Those it has stay; no new ones.
    Cordoned,
    /// Those it has go elsewhere, global ones excepted; no new ones.
    Draining,
    /// Its lease has ended.
    Lost(Fence),
}

/// Whether units that stop on a partition (`OnPartition=stop`) are surely dead on a lost machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// They may still run: the lease was ended before its whole time was over.
    Pending,
    /// They are dead: the lease's time is over, counted from the last keep-alive.
    Elapsed,
}

impl MachineId {
    /// Any text is taken: identities come from machines, not from people.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first [`SHORT_LENGTH`] digits.
    pub fn short(&self) -> &str {
        self.0.get(..SHORT_LENGTH).unwrap_or(&self.0)
    }

    /// Whether `MachineID=` means this machine: all of its identity, or the short one.
    pub fn is_meant_by(&self, wanted: &str) -> bool {
        self.0 == wanted || self.short() == wanted
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Machine {
    /// Whether it keeps its lease alive.
    pub fn is_alive(&self) -> bool {
        !matches!(self.availability, Availability::Lost(_))
    }
}
