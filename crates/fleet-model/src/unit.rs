//! A unit as the engine sees it.
//!
//! Its file is not here, only what of it decides where it runs.

use std::collections::BTreeSet;

use systemd_unit::{NameKind, UnitName};

use crate::machine::MachineId;
use crate::options::FleetOptions;
use crate::state::State;

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Unique in the cluster.
    pub name: UnitName,
    /// Its `[X-Fleet]`.
    pub options: FleetOptions,
    /// What is wanted of it.
    pub desired: State,
    /// The machines it was given to: one at most, unless it is global.
    pub placed_on: BTreeSet<MachineId>,
    /// The machines that say they have it, whether or not they still should. What a lost machine said
    /// last counts until its [`crate::Fence`] has elapsed. That no unit runs twice rests on this: a
    /// machine says so before it starts a unit, in a transaction that fails if the unit is no longer
    /// placed there, and takes it back once the unit is stopped.
    pub present_on: BTreeSet<MachineId>,
    /// A machine that it was asked to leave. It counts until the unit is placed again. A global unit
    /// leaves no machine so.
    pub moving: Option<Moving>,
}

/// A move that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moving {
    /// The machine to leave; taken again only if no other one can have the unit.
    pub from: MachineId,
    /// The machine to take if it can; otherwise any.
    pub to: Option<MachineId>,
}

impl Unit {
    /// A unit that nobody has placed yet.
    pub fn new(name: UnitName, options: FleetOptions, desired: State) -> Self {
        Self {
            name,
            options,
            desired,
            placed_on: BTreeSet::new(),
            present_on: BTreeSet::new(),
            moving: None,
        }
    }

    /// Whether it belongs on a machine. A template never does.
    pub fn is_wanted(&self) -> bool {
        self.desired != State::Inactive && self.name.kind() != NameKind::Template
    }
}
