//! A unit's `[X-Fleet]` section, and what it reserves.
//!
//! Names of peers and patterns are taken as they are: whether such units exist is the view's affair.

mod error;
mod parse;

pub use error::OptionError;

use std::collections::{BTreeMap, BTreeSet};

use systemd_unit::{Assignment, UnitName};

use crate::glob::Glob;
use crate::resources::Resources;

/// The section that holds them.
pub const SECTION: &str = "X-Fleet";

/// Where a unit may run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetOptions {
    /// How machines are chosen.
    pub placement: Placement,
    /// `MachineMetadata=`: for each key, the values of which a machine has to have one.
    pub metadata: BTreeMap<String, BTreeSet<String>>,
    /// `Conflicts=`: units that may not run on the same machine, whichever of the two says so.
    pub conflicts: Vec<Glob>,
    /// `OnPartition=`
    pub on_partition: OnPartition,
    /// `MemoryMax=`, `CPUQuota=` and `TasksMax=` of the unit itself, unless `ReserveMemory=`,
    /// `ReserveCPU=` or `ReserveTasks=` say otherwise. Shares of a machine reserve nothing.
    pub reservation: Resources,
}

/// How machines are chosen for a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// One machine of those that are able.
    Any {
        /// `MachineOf=`: the units that have to be on the same machine.
        machine_of: BTreeSet<UnitName>,
        /// `Replaces=`: units that have to leave the machine this one gets.
        replaces: Vec<Glob>,
        /// `Spread=`: the metadata key over whose values the instances of a template are spread evenly.
        spread: Option<String>,
    },
    /// `MachineID=`: this machine, by its whole or its short identity.
    Machine(String),
    /// `Global=yes`: every machine that is able.
    Global,
}

impl Default for Placement {
    fn default() -> Self {
        Self::Any {
            machine_of: BTreeSet::new(),
            replaces: Vec::new(),
            spread: None,
        }
    }
}

/// What becomes of a running unit on a machine that cannot reach the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnPartition {
    /// It runs on, and may run twice.
    #[default]
    Keep,
    /// It is dead before the machine's lease can end, and only then runs elsewhere.
    Stop,
}

impl FleetOptions {
    /// Reads the options of a unit, in the order of [`systemd_unit::MergedUnit::assignments`] or of one
    /// file. `%n`, `%N`, `%p` and `%i` in `[X-Fleet]` stand for parts of the name.
    ///
    /// # Errors
    /// For the first key that is unknown or has a bad value, and for keys that contradict each other.
    pub fn parse<'a>(
        name: &'a UnitName,
        assignments: impl IntoIterator<Item = Assignment<'a>>,
    ) -> Result<Self, OptionError> {
        parse::parse(name, assignments)
    }

    /// `MachineOf=`
    pub fn machine_of(&self) -> impl Iterator<Item = &UnitName> {
        let peers = match &self.placement {
            Placement::Any { machine_of, .. } => Some(machine_of),
            _ => None,
        };
        peers.into_iter().flatten()
    }

    /// `Replaces=`
    pub fn replaces(&self) -> &[Glob] {
        match &self.placement {
            Placement::Any { replaces, .. } => replaces,
            _ => &[],
        }
    }

    /// `Spread=`
    pub fn spread(&self) -> Option<&str> {
        match &self.placement {
            Placement::Any { spread, .. } => spread.as_deref(),
            _ => None,
        }
    }

    /// Whether it runs on every machine that is able.
    pub fn is_global(&self) -> bool {
        self.placement == Placement::Global
    }
}
