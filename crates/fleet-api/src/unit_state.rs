//! What systemd says of a unit on one machine.
//!
//! A global unit has one for each machine it is on.

use serde::{Deserialize, Serialize};

/// A unit's state on a machine, in systemd's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitState {
    /// Of the unit that is loaded there; see [`crate::Unit::hash`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Which machine says so.
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// The unit's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Not in fleet: what hinders the machine, for people; nothing most of the time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// systemd's `ActiveState`, such as `active` or `failed`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_active_state: String,
    /// Not in fleet: systemd's `InvocationID`, which run of the unit this is; nothing if it is inactive.
    #[serde(
        rename = "systemdInvocationID",
        skip_serializing_if = "String::is_empty"
    )]
    pub systemd_invocation_id: String,
    /// systemd's `LoadState`, such as `loaded`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_load_state: String,
    /// systemd's `SubState`, such as `running`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_sub_state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_fleet_wrote_it() {
        let state = UnitState {
            hash: "abc".to_owned(),
            machine_id: "m1".to_owned(),
            name: "foo.service".to_owned(),
            problem: String::new(),
            systemd_active_state: "active".to_owned(),
            systemd_invocation_id: String::new(),
            systemd_load_state: "loaded".to_owned(),
            systemd_sub_state: "running".to_owned(),
        };
        let text = r#"{"hash":"abc","machineID":"m1","name":"foo.service","systemdActiveState":"active","systemdLoadState":"loaded","systemdSubState":"running"}"#;
        assert_eq!(serde_json::to_string(&state).expect("JSON"), text);
        assert_eq!(
            serde_json::from_str::<UnitState>(text).expect("a state"),
            state
        );
        let run = UnitState {
            systemd_invocation_id: "0f".to_owned(),
            ..UnitState::default()
        };
        let text = r#"{"systemdInvocationID":"0f"}"#;
        assert_eq!(serde_json::to_string(&run).expect("JSON"), text);
    }
}
