//! What `systemctl status` says of a unit, from every machine that has it.

use serde::{Deserialize, Serialize};

/// The answer to `GET /units/NAME/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusPage {
    /// By machine.
    pub statuses: Vec<UnitStatus>,
}

/// From one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitStatus {
    /// Which.
    #[serde(rename = "machineID")]
    pub machine_id: String,
    /// Why it does not run the unit, if something hinders it. What `systemctl` says may then be of another
    /// unit, which the machine has of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// What it says.
    #[serde(flatten)]
    pub report: StatusReport,
}

/// What a machine says, or why it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum StatusReport {
    /// `systemctl status -l`
    Status {
        /// Its exit status: 0 active, 3 inactive or failed, 4 unknown.
        exit_code: u8,
        /// What it printed.
        text: String,
    },
    /// The machine could not be asked.
    Unreachable {
        /// Why.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_flat() {
        let status = UnitStatus {
            machine_id: "m1".to_owned(),
            problem: String::new(),
            report: StatusReport::Status {
                exit_code: 3,
                text: "a".to_owned(),
            },
        };
        let text = r#"{"machineID":"m1","type":"status","exitCode":3,"text":"a"}"#;
        assert_eq!(serde_json::to_string(&status).expect("JSON"), text);
        assert_eq!(
            serde_json::from_str::<UnitStatus>(text).expect("a status"),
            status
        );
    }
}
