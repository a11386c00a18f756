//! Where a unit could run, and why nowhere else.
//!
//! The reasons are `fleet-model`'s, with a word for programs and a text for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is said of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Explanation {
    /// It is a template: its instances run, it does not.
    Template,
    /// It has to be with itself in the end: these units by `MachineOf=`.
    Cycle {
        /// In a circle.
        units: Vec<String>,
    },
    /// What each machine says.
    Machines {
        /// By id; none if the cluster has none.
        machines: Vec<MachineVerdict>,
    },
}

/// Whether a machine can take a unit, or has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineVerdict {
    /// Which.
    #[serde(rename = "machineID")]
    pub machine_id: String,
    /// Whether the unit is placed there.
    #[serde(default)]
    pub placed: bool,
    /// What hinders the machine that the unit is placed on, as it says itself; nothing most of the time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// Everything against it; nothing if it can take it, or has it.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The machine is lost.
    Lost,
    /// It takes no new units.
    Cordoned,
    /// It is drained.
    Draining,
    /// `MachineID=` means another one.
    OtherMachine,
    /// It lacks what `MachineMetadata=` asks for.
    Metadata,
    /// It lacks what `Spread=` names.
    NothingToSpreadOver,
    /// A unit of `MachineOf=` is not there.
    PeerMissing,
    /// A unit is there that it may not meet.
    Conflict,
    /// Too little is left of a resource.
    Shortage,
}

impl Explanation {
    /// From the model's; nothing for a unit that it does not know. `placed` tells where the unit is. What
    /// hinders machines is not the model's affair, see [`Self::set_problems`].
    pub fn from_model(
        explanation: fleet_model::Explanation,
        placed: impl Fn(&fleet_model::MachineId) -> bool,
    ) -> Option<Self> {
        match explanation {
            fleet_model::Explanation::Unknown => None,
            fleet_model::Explanation::Template => Some(Self::Template),
            fleet_model::Explanation::Cycle(units) => Some(Self::Cycle {
                units: units.iter().map(ToString::to_string).collect(),
            }),
            fleet_model::Explanation::Machines(machines) => {
                let verdict = |(id, refusals): (_, Vec<_>)| MachineVerdict {
                    placed: placed(&id),
                    problem: String::new(),
                    machine_id: id.to_string(),
                    refusals: refusals.iter().map(Refusal::from).collect(),
                };
                let machines = machines.into_iter().map(verdict).collect();
                Some(Self::Machines { machines })
            }
        }
    }

    /// Whether any machine can take the unit, or has it and is not hindered.
    pub fn is_placeable(&self) -> bool {
        match self {
            Self::Template | Self::Cycle { .. } => false,
            Self::Machines { machines } => machines
                .iter()
                .any(|machine| machine.refusals.is_empty() && machine.problem.is_empty()),
        }
    }

    /// Says what hinders each machine that the unit is placed on.
    pub fn set_problems(&mut self, problem: impl Fn(&str) -> String) {
        if let Self::Machines { machines } = self {
            for machine in machines.iter_mut().filter(|machine| machine.placed) {
                machine.problem = problem(&machine.machine_id);
            }
        }
    }
}

impl From<&fleet_model::Refusal> for Refusal {
    fn from(refusal: &fleet_model::Refusal) -> Self {
        use fleet_model::Refusal as Model;
        let reason = match refusal {
            Model::Lost => Reason::Lost,
            Model::Cordoned => Reason::Cordoned,
            Model::Draining => Reason::Draining,
            Model::OtherMachine { .. } => Reason::OtherMachine,
            Model::Metadata { .. } => Reason::Metadata,
            Model::NothingToSpreadOver { .. } => Reason::NothingToSpreadOver,
            Model::PeerMissing { .. } => Reason::PeerMissing,
            Model::Conflict { .. } => Reason::Conflict,
            Model::Shortage { .. } => Reason::Shortage,
        };
        Self {
            reason,
            message: refusal.to_string(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_reasons_keep_their_words() {
        let refused = fleet_model::Refusal::Shortage {
            resource: fleet_model::Resource::Memory,
            needed: 2,
            left: 1,
        };
        let model = fleet_model::Explanation::Machines(vec![
            (fleet_model::MachineId::new("m1"), vec![refused]),
            (fleet_model::MachineId::new("m2"), Vec::new()),
        ]);
        let found = Explanation::from_model(model, |id| id.as_str() == "m2").expect("known");
        assert!(found.is_placeable());
        let text = r#"{"type":"machines","machines":[{"machineID":"m1","placed":false,"refusals":[{"reason":"shortage","message":"2 bytes of memory needed, 1 left"}]},{"machineID":"m2","placed":true,"refusals":[]}]}"#;
        assert_eq!(serde_json::to_string(&found).expect("JSON"), text);
        let read: Explanation = serde_json::from_str(text).expect("an explanation");
        assert_eq!(read, found);
        let unknown = fleet_model::Explanation::Unknown;
        assert_eq!(Explanation::from_model(unknown, |_| false), None);
    }

    #[test]
    fn a_machine_that_is_hindered_has_it_in_vain() {
        let model = fleet_model::Explanation::Machines(vec![
            (fleet_model::MachineId::new("m1"), Vec::new()),
            (fleet_model::MachineId::new("m2"), Vec::new()),
        ]);
        let mut found = Explanation::from_model(model, |id| id.as_str() == "m2").expect("known");
        found.set_problems(|id| format!("{id} is full"));
        let text = r#"{"type":"machines","machines":[{"machineID":"m1","placed":false,"refusals":[]},{"machineID":"m2","placed":true,"problem":"m2 is full","refusals":[]}]}"#;
        assert_eq!(serde_json::to_string(&found).expect("JSON"), text);
        assert!(found.is_placeable(), "by m1");
        if let Explanation::Machines { machines } = &mut found {
            machines.remove(0);
        }
        assert!(!found.is_placeable());
    }

    #[test]
    fn no_machine_is_no_place() {
        let machines = Vec::new();
        assert!(!Explanation::Machines { machines }.is_placeable());
        assert!(!Explanation::Template.is_placeable());
    }
}
