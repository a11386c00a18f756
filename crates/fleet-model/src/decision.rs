//! What the engine shall change.
//!
//! How it is written to the store, and that an old leader cannot write it, is the engine's affair.

use std::fmt;

use systemd_unit::UnitName;

use crate::explain::Refusal;
use crate::machine::MachineId;

/// All changes that one view asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// In the order in which they are to be made.
    pub decisions: Vec<Decision>,
    /// Units that are wanted and that no machine can take; [`crate::explain()`] says why.
    pub unplaced: Vec<UnitName>,
    /// Units that wait until they are surely gone from a machine.
    pub waiting: Vec<UnitName>,
    /// How many machines, names and pairs were looked at: what this cost, without a clock.
    pub work: u64,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Give a unit to a machine.
    Place {
        /// Which.
        unit: UnitName,
        /// Where to.
        machine: MachineId,
        /// Units that were there and have to be gone before it starts; each has its own `Remove`.
        replacing: Vec<UnitName>,
    },
    /// Take a unit from a machine. It is placed again once it is gone from there.
    Remove {
        /// Which.
        unit: UnitName,
        /// Where from.
        machine: MachineId,
        /// Why.
        reason: Removal,
    },
    /// Give a unit of a lost machine to another one, at once.
    Move {
        /// Which.
        unit: UnitName,
        /// The lost machine.
        from: MachineId,
        /// The other one.
        to: MachineId,
    },
}

impl Decision {
    /// The unit it is about.
    pub fn unit(&self) -> &UnitName {
        match self {
            Self::Place { unit, .. } | Self::Remove { unit, .. } | Self::Move { unit, .. } => unit,
        }
    }

    /// The machine that gets the unit.
    pub fn target(&self) -> Option<&MachineId> {
        match self {
            Self::Place { machine, .. } => Some(machine),
            Self::Move { to, .. } => Some(to),
            Self::Remove { .. } => None,
        }
    }
}

/// Why a unit is taken from a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It shall be inactive.
    NotWanted,
    /// It is on another machine as well, and not global.
    Twice,
    /// The machine is lost, or unknown.
    MachineGone,
    /// The machine is drained.
    Draining,
    /// It was asked to leave.
    Moving,
    /// The machine does not suit it any more.
    Refused(Refusal),
    /// Another unit takes its place.
    ReplacedBy(UnitName),
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWanted => f.write_str("it shall be inactive"),
            Self::Twice => f.write_str("it is on another machine as well"),
            Self::MachineGone => f.write_str("the machine is gone"),
            Self::Draining => f.write_str("the machine is drained"),
            Self::Moving => f.write_str("it was asked to leave"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::ReplacedBy(unit) => write!(f, "{unit} replaces it"),
        }
    }
}
