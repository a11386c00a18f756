//! What machines use of what they have, as their kernels count it.
//!
//! Processor time is told as counters: what is used of late comes of two answers.

use serde::{Deserialize, Serialize};

/// The answer to `GET /usage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsagePage {
    /// By machine.
    pub machines: Vec<MachineUsage>,
}

/// Of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineUsage {
    /// Which.
    #[serde(rename = "machineID")]
    pub machine_id: String,
    /// What it says.
    #[serde(flatten)]
    pub report: UsageReport,
}

/// What a machine says, or why it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum UsageReport {
    /// What it uses.
    Usage(Usage),
    /// The machine could not be asked.
    Unreachable {
        /// Why.
        message: String,
    },
}

/// What everything on a machine uses together, units of the fleet or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Time that processors worked since the machine booted, all of them together, in milliseconds.
    pub cpu_milliseconds: u64,
    /// Since the machine booted, in milliseconds.
    pub uptime_milliseconds: u64,
    /// Memory that a new process could not have, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub tasks: u64,
}

impl Usage {
    /// Processors that worked since an earlier answer, in thousandths of one; none if it is not earlier, or
    /// is of another boot.
    pub fn cpu_thousandths_since(&self, earlier: &Self) -> Option<u64> {
        let time = self
            .uptime_milliseconds
            .checked_sub(earlier.uptime_milliseconds)?;
        let worked = self
            .cpu_milliseconds
            .checked_sub(earlier.cpu_milliseconds)?;
        worked.checked_mul(1000)?.checked_div(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: Usage = Usage {
        cpu_milliseconds: 100,
        uptime_milliseconds: 1000,
        memory_bytes: 4096,
        tasks: 7,
    };

    #[test]
    fn is_flat() {
        let usage = MachineUsage {
            machine_id: "m1".to_owned(),
            report: UsageReport::Usage(EARLY),
        };
        let text = r#"{"machineID":"m1","type":"usage","cpuMilliseconds":100,"uptimeMilliseconds":1000,"memoryBytes":4096,"tasks":7}"#;
        assert_eq!(serde_json::to_string(&usage).expect("JSON"), text);
        assert_eq!(
            serde_json::from_str::<MachineUsage>(text).expect("usage"),
            usage
        );
    }

    #[test]
    fn processors_are_counted_between_two_answers() {
        let late = Usage {
            cpu_milliseconds: 3100,
            uptime_milliseconds: 3000,
            ..EARLY
        };
        assert_eq!(late.cpu_thousandths_since(&EARLY), Some(1500));
        assert_eq!(EARLY.cpu_thousandths_since(&late), None, "another boot");
        assert_eq!(EARLY.cpu_thousandths_since(&EARLY), None, "no time passed");
    }
}
