//! Values about units.
//!
//! A unit's options are not among them: they are read from its contents.

use fleet_model::{FleetOptions, MachineId, OptionError, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use systemd_unit::{SyntaxError, UnitFile, UnitName};
use thiserror::Error;

use super::{Value, words};

/// `contents/HASH`: what a unit is made of. The hash is the API's (`fleet_api::Unit::hash`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The unit's file.
    pub file: String,
    /// Its drop-ins, in the order in which they count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_ins: Vec<DropInText>,
}

/// A drop-in of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropInText {
    /// The file's name, such as `10-memory.conf`.
    pub name: String,
    /// The file.
    pub file: String,
}

/// Why contents are no unit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContentsError {
    /// A file is no unit file.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// The options are no good.
    #[error(transparent)]
    Options(#[from] OptionError),
}

/// `units/NAME`: a unit, or a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// Of its contents.
    pub hash: String,
    /// What is wanted of it.
    #[serde(with = "words::text")]
    pub desired: State,
    /// The machine it was asked to leave. The engine takes this out once it has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
    /// Of a global unit: only some machines have these contents yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub other: Map<String, Json>,
}

/// New contents that come to one machine after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The contents that all other machines have.
    pub from: String,
    /// The machines that have the new ones.
    #[serde(with = "words::machine_ids")]
    pub machines: Vec<MachineId>,
}

/// A move that an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// The machine to leave.
    #[serde(with = "words::machine_id")]
    pub from: MachineId,
    /// Where to; any other machine that can take it if missing.
    #[serde(
        with = "words::maybe_machine_id",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<MachineId>,
}

/// `targets/MACHINE/NAME`: what a machine shall have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Of its contents.
    pub hash: String,
    /// Loaded or launched.
    #[serde(with = "words::text")]
    pub desired: State,
    /// Units that have to be gone from this machine before this one starts.
    #[serde(
        with = "words::unit_names",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub replacing: Vec<UnitName>,
}

/// `present/MACHINE/NAME`: a machine has a unit, or is about to. No lease ends it: it is true of a machine
/// that cannot reach the store as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Of the contents it has.
    pub hash: String,
}

/// `actual-states/MACHINE/NAME`: how a unit is on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Of the contents that are loaded, or that could not be.
    pub hash: String,
    /// How far the agent is with it: loaded, or launched once its start was called; inactive if it cannot be
    /// loaded, and then there is a problem.
    #[serde(with = "words::text")]
    pub reached: State,
    /// systemd's `LoadState`.
    pub load: String,
    /// systemd's `ActiveState`.
    pub active: String,
    /// systemd's `SubState`.
    pub sub: String,
    /// systemd's `InvocationID`: which run of the unit this is; nothing if it is inactive.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub invocation: String,
    /// What hinders the agent, for people; nothing most of the time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

impl UnitRecord {
    /// A unit that nobody asked to move.
    pub fn new(hash: impl Into<String>, desired: State) -> Self {
        Self {
            hash: hash.into(),
            desired,
            moving: None,
            rollout: None,
            other: Map::new(),
        }
    }

    /// Which contents a machine shall have.
    pub fn hash_on(&self, machine: &MachineId) -> &str {
        match &self.rollout {
            Some(rollout) if !rollout.machines.contains(machine) => &rollout.from,
            _ => &self.hash,
        }
    }
}

impl Contents {
    /// What its `[X-Fleet]` section asks for; drop-ins count after the file.
    ///
    /// # Errors
    /// If a file cannot be parsed or an option is no good.
    pub fn options(&self, name: &UnitName) -> Result<FleetOptions, ContentsError> {
        let texts = self.drop_ins.iter().map(|drop_in| drop_in.file.as_str());
        let files = std::iter::once(self.file.as_str()).chain(texts);
        let files: Vec<UnitFile> = files.map(UnitFile::parse).collect::<Result<_, _>>()?;
        let assignments = files.iter().flat_map(UnitFile::assignments);
        Ok(FleetOptions::parse(name, assignments)?)
    }
}

impl Value for Contents {
    const KIND: &'static str = "contents of a unit";
}

impl Value for UnitRecord {
    const KIND: &'static str = "unit";
}

impl Value for Target {
    const KIND: &'static str = "target";
}

impl Value for Presence {
    const KIND: &'static str = "presence of a unit";
}

impl Value for UnitStatus {
    const KIND: &'static str = "state of a unit";
}
