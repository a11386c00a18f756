//! Machines, and whether they take units.
//!
//! A machine that is lost is no longer listed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use fleet_model::Capacity;
use serde::{Deserialize, Serialize};

/// A machine of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Machine {
    /// Not in fleet: whether it takes units; left out when it does.
    #[serde(skip_serializing_if = "Availability::is_open")]
    pub availability: Availability,
    /// Not in fleet: what it has for units.
    #[serde(skip_serializing_if = "MachineCapacity::is_unknown")]
    pub capacity: MachineCapacity,
    /// systemd's machine id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What units can ask for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its address.
    #[serde(rename = "primaryIP", skip_serializing_if = "String::is_empty")]
    pub primary_ip: String,
    /// Not in fleet: the version of its fleetd.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// Whether a machine takes units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// It does.
    #[default]
    Open,
    /// Those it has stay, no new ones come.
    Cordoned,
    /// Those it has go elsewhere, global ones excepted; no new ones come.
    Draining,
}

/// What a machine has for units; what is not known is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineCapacity {
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// In thousandths of a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_thousandths: Option<u64>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
}

impl MachineCapacity {
    // Serde asks for this signature.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Capacity> for MachineCapacity {
    fn from(capacity: Capacity) -> Self {
        Self {
            memory_bytes: capacity.memory,
            cpu_thousandths: capacity.cpu,
            tasks: capacity.tasks,
        }
    }
}

/// Asks for another availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvailabilityRequest {
    /// The new one.
    pub availability: Availability,
}

impl Availability {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
        }
    }

    // Serde asks for this signature.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_open(&self) -> bool {
        *self == Self::Open
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Availability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Open, Self::Cordoned, Self::Draining];
        let found = all.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| {
            format!("invalid availability `{text}`: it must be open, cordoned or draining")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_fleet_wrote_it() {
        let machine = Machine {
            id: "m1".to_owned(),
            primary_ip: "1.2.3.4".to_owned(),
            metadata: [("ping".to_owned(), "pong".to_owned())].into(),
            ..Machine::default()
        };
        let text = r#"{"id":"m1","metadata":{"ping":"pong"},"primaryIP":"1.2.3.4"}"#;
        assert_eq!(serde_json::to_string(&machine).expect("JSON"), text);
        assert_eq!(
            serde_json::from_str::<Machine>(text).expect("a machine"),
            machine
        );
        let capacity = Capacity {
            memory: Some(1024),
            ..Capacity::default()
        };
        let cordoned = Machine {
            availability: Availability::Cordoned,
            capacity: capacity.into(),
            ..Machine::default()
        };
        assert_eq!(
            serde_json::to_string(&cordoned).expect("JSON"),
            r#"{"availability":"cordoned","capacity":{"memoryBytes":1024}}"#
        );
    }

    #[test]
    fn availabilities_are_read_as_they_are_written() {
        for one in [
            Availability::Open,
            Availability::Cordoned,
            Availability::Draining,
        ] {
            assert_eq!(one.as_str().parse(), Ok(one));
            let json = serde_json::to_string(&one).expect("JSON");
            assert_eq!(json, format!("\"{one}\""));
        }
        assert!("drained".parse::<Availability>().is_err());
    }
}
