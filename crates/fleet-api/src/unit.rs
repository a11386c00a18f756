//! A unit, as it is sent and asked for.
//!
//! Names and options are text here: whether they are good is for the server to say.

use fleet_model::State;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A unit. In a request only the name, the options and the desired state count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unit {
    /// How far it is; a global unit says nothing when it is asked for alone.
    #[serde(with = "state_text", skip_serializing_if = "Option::is_none")]
    pub current_state: Option<State>,
    /// What is wanted of it.
    #[serde(with = "state_text", skip_serializing_if = "Option::is_none")]
    pub desired_state: Option<State>,
    /// Not in fleet: its drop-ins, in the order in which they count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop_ins: Vec<DropIn>,
    /// The machine it is placed on.
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// With its type, such as `hello.service`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its file, without comments and layout.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<UnitOption>,
    /// Not in fleet: of a global unit of which only some machines have this file yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

/// Which machines have the new file of a global unit; all others go on with the one before. Sent with the
/// options; options without it are for all machines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// By id.
    pub machines: Vec<String>,
}

/// One assignment of a unit's file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitOption {
    /// The key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Without brackets.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub section: String,
    /// Everything after the `=`, continued lines joined.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// A file of a unit's `.d` folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropIn {
    /// The file's name, such as `10-memory.conf`.
    pub name: String,
    /// Its assignments.
    #[serde(default)]
    pub options: Vec<UnitOption>,
}

/// Asks for a unit to leave its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MoveRequest {
    /// Where to; any machine that can take it if empty.
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
}

impl UnitOption {
    /// A section, a key and a value.
    pub fn new(
        section: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            section: section.into(),
            value: value.into(),
        }
    }
}

/// States as fleet's words; an empty one is none, as Go has it.
mod state_text {
    use super::{Deserialize, Deserializer, Serializer, State};

    // Serde asks for this signature.
    #[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref)]
    pub(super) fn serialize<S: Serializer>(
        state: &Option<State>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(state.map_or("", State::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<State>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_fleet_wrote_it() {
        let unit = Unit {
            current_state: Some(State::Launched),
            desired_state: Some(State::Loaded),
            machine_id: "m1".to_owned(),
            name: "foo.service".to_owned(),
            options: vec![
                UnitOption::new("Service", "ExecStart", "/bin/true"),
                UnitOption::new("Service", "ExecStart", ""),
            ],
            drop_ins: Vec::new(),
            rollout: None,
        };
        let text = r#"{"currentState":"launched","desiredState":"loaded","machineID":"m1","name":"foo.service","options":[{"name":"ExecStart","section":"Service","value":"/bin/true"},{"name":"ExecStart","section":"Service"}]}"#;
        assert_eq!(serde_json::to_string(&unit).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Unit>(text).expect("a unit"), unit);
    }

    #[test]
    fn nothing_is_left_out_and_read_back() {
        let unit = Unit::default();
        assert_eq!(serde_json::to_string(&unit).expect("JSON"), "{}");
        let text = r#"{"desiredState":"","currentState":null}"#;
        assert_eq!(serde_json::from_str::<Unit>(text).expect("a unit"), unit);
    }

    #[test]
    fn another_state_is_refused() {
        let text = r#"{"name":"a.service","desiredState":"running"}"#;
        let error = serde_json::from_str::<Unit>(text).expect_err("no such state");
        assert!(
            error.to_string().contains("invalid state `running`"),
            "{error}"
        );
    }
}
