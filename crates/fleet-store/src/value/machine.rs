//! Values about machines, and about the engine that leads.
//!
//! Each has one writer: what a machine is stands apart from what operators want of it.

use std::collections::BTreeMap;

use fleet_model::{Availability, Capacity, MachineId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{Value, words};
use crate::store::LeaseId;

/// `machines/ID/alive`: the machine keeps its lease alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// The kernel's boot id: who finds another one has a double, or was booted anew.
    pub boot_id: String,
}

/// `machines/ID/record`: what a machine says of itself. It stays when the machine is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Its address for people.
    #[serde(default)]
    pub primary_ip: String,
    /// Where its API answers by TLS, such as `192.0.2.1:49153`; nowhere if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_address: Option<String>,
    /// From its configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What reservations are taken from.
    #[serde(with = "capacity", default)]
    pub capacity: Capacity,
    /// Of its fleetd.
    #[serde(default)]
    pub version: String,
    /// The lease it keeps alive, or kept alive last. None if it left in order: then nothing runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseRecord>,
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Its number.
    pub id: i64,
    /// How long it lives after a keep-alive, in seconds: so long units may run on that stop when the
    /// store cannot be reached.
    pub ttl_seconds: u64,
}

/// `machines/ID/settings`: what operators want of a machine, whether or not there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSettings {
    /// Whether it takes units.
    #[serde(default)]
    pub availability: MachineAvailability,
    /// Over what the machine says itself; an empty value takes a key away, as fleet had it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub other: Map<String, Json>,
}

/// Whether a machine takes units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineAvailability {
    /// It does.
    #[default]
    Open,
    /// Those it has stay, no new ones come.
    Cordoned,
    /// Those it has go elsewhere, global ones excepted; no new ones come.
    Draining,
}

/// `announced/MACHINE/CONTAINER`: what the machine registered for a container, under its lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Keys elsewhere in the store, and what stands there.
    pub entries: BTreeMap<String, String>,
}

/// `engine/leader`: which engine decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// Its machine.
    #[serde(with = "words::machine_id")]
    pub machine: MachineId,
    /// Of its fleetd.
    pub version: String,
    /// Counts how often the leader put this anew, to have older transactions fail.
    #[serde(default)]
    pub term: u64,
}

impl LeaseRecord {
    /// Of a lease.
    pub fn id(self) -> LeaseId {
        LeaseId(self.id)
    }
}

impl MachineRecord {
    /// What units can ask for: what the machine says, under what operators say.
    pub fn metadata_under(&self, settings: &MachineSettings) -> BTreeMap<String, String> {
        let mut metadata = self.metadata.clone();
        metadata.extend(settings.metadata.clone());
        metadata.retain(|_, value| !value.is_empty());
        metadata
    }
}

impl From<MachineAvailability> for Availability {
    fn from(availability: MachineAvailability) -> Self {
        match availability {
            MachineAvailability::Open => Self::Open,
            MachineAvailability::Cordoned => Self::Cordoned,
            MachineAvailability::Draining => Self::Draining,
        }
    }
}

/// The model's capacity, field by field.
mod capacity {
    use fleet_model::Capacity;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Fields {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory_bytes: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cpu_thousandths: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tasks: Option<u64>,
    }

    pub(super) fn serialize<S: Serializer>(
        capacity: &Capacity,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let fields = Fields {
            memory_bytes: capacity.memory,
            cpu_thousandths: capacity.cpu,
            tasks: capacity.tasks,
        };
        fields.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Capacity, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        Ok(Capacity {
            memory: fields.memory_bytes,
            cpu: fields.cpu_thousandths,
            tasks: fields.tasks,
        })
    }
}

impl Value for Alive {
    const KIND: &'static str = "sign of life";
}

impl Value for MachineRecord {
    const KIND: &'static str = "machine";
}

impl Value for MachineSettings {
    const KIND: &'static str = "settings of a machine";
}

impl Value for Announced {
    const KIND: &'static str = "announced container";
}

impl Value for Leadership {
    const KIND: &'static str = "leadership";
}
