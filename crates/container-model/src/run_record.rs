//! What stays of a container that lives from its creation to its removal: where its record is, and how its last
//! run began and ended.
//!
//! `launch` writes how a run began and ended; the record itself is launcherd's. Nothing is read or written here.

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// A folder for each such container, named by its id.
pub const FOLDER: &str = "/var/lib/keelson/containers";
/// In it: what launcherd knows of the container. `launch run --record` reads [`LaunchRecord`] of it.
pub const RECORD_FILE: &str = "record.json";
/// In it: a [`RunRecord`].
pub const RUN_FILE: &str = "run.json";
/// In it, if the container is to be started at a boot; empty.
pub const START_AT_BOOT_FILE: &str = "start-at-boot";

/// What of a record `launch run` needs; the rest is launcherd's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// Words of the command line after `run`: options, the image, arguments.
    pub launch: Vec<String>,
}

/// A run of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// When it began, in nanoseconds since 1970.
    pub started: u64,
    /// How many runs there were, this one included.
    pub number: u64,
    /// How it ended; none while it goes on, and if nobody could say.
    pub ended: Option<RunEnd>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnd {
    /// In nanoseconds since 1970.
    pub at: u64,
    /// The payload's, or 128 and a signal's number.
    pub code: u8,
}

/// The unit of such a container. Its file is in the folder, under this name, and the generator links it at a boot.
pub fn unit_name(id: &Name) -> String {
    format!("launch-{id}.service")
}

/// The exit code that systemd tells a unit's last command: `$EXIT_CODE` and `$EXIT_STATUS`.
pub fn exit_code(kind: &str, status: &str) -> Option<u8> {
    match kind {
        "exited" => status.parse().ok(),
        "killed" | "dumped" => {
            let signal: crate::signal::Signal = status.parse().ok()?;
            128_u8.checked_add(signal.number())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dockers() {
        assert_eq!(exit_code("exited", "7"), Some(7));
        assert_eq!(exit_code("killed", "KILL"), Some(137));
        assert_eq!(exit_code("dumped", "SEGV"), Some(139));
        assert_eq!(exit_code("", ""), None);
    }

    #[test]
    fn a_record_has_more_than_launch_reads() {
        let text = r#"{"id":"a","launch":["--network=none","busybox"]}"#;
        let record: LaunchRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.launch, ["--network=none", "busybox"]);
    }
}
