//! What the health check found, in `/run/keelson/health.toml`: how `osctl status` and others
//! learn of it.
//!
//! It does not check anything.
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Fact;
use crate::system_root::SystemRoot;

/// The file.
const PATH: &str = "/run/keelson/health.toml";

/// How far the check is. Times are in seconds since the kernel started (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum HealthReport {
    /// Not healthy yet.
    Checking {
        /// What is waited for.
        reasons: Vec<String>,
    },
    /// Healthy, but not for long enough.
    Soaking {
        /// When it became healthy.
        healthy_after_seconds: f64,
        /// What was not asked for.
        notes: Vec<String>,
    },
    /// Healthy for the whole soak time.
    Healthy {
        /// When it became healthy.
        healthy_after_seconds: f64,
        /// What was not asked for.
        notes: Vec<String>,
    },
    /// Not healthy in time.
    Unhealthy {
        /// When the check gave up.
        unhealthy_after_seconds: f64,
        /// What was wrong.
        reasons: Vec<String>,
    },
}

impl HealthReport {
    /// Reads the file; `None` if no check has begun in this boot.
    pub fn read(root: &SystemRoot) -> Fact<Option<Self>> {
        match root.read_toml(PATH) {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.is_missing_file() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file.
    pub fn write(&self, root: &SystemRoot) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        root.replace(PATH, &text)
    }
}

/// Seconds with three decimals, which is all that a reader can use.
pub fn seconds(duration: Duration) -> f64 {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        assert_eq!(HealthReport::read(&root).unwrap(), None);
        let (reasons, notes) = (vec!["a \"b\"".to_owned()], Vec::new());
        let healthy_after_seconds = seconds(Duration::from_micros(12_345_678));
        for report in [
            HealthReport::Checking {
                reasons: reasons.clone(),
            },
            HealthReport::Soaking {
                healthy_after_seconds,
                notes: notes.clone(),
            },
            HealthReport::Healthy {
                healthy_after_seconds,
                notes,
            },
            HealthReport::Unhealthy {
                unhealthy_after_seconds: 300.0,
                reasons,
            },
        ] {
            report.write(&root).unwrap();
            assert_eq!(HealthReport::read(&root).unwrap(), Some(report));
        }
    }

    #[test]
    fn the_file_is_as_documented() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        let report = HealthReport::Healthy {
            healthy_after_seconds: seconds(Duration::from_micros(12_345_678)),
            notes: Vec::new(),
        };
        report.write(&root).unwrap();
        let expected = "state = \"healthy\"\nhealthy_after_seconds = 12.345\nnotes = []\n";
        assert_eq!(root.read_text(PATH).unwrap(), expected);
    }

    #[test]
    fn rubbish_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        for text in [
            "",
            "state = \"fine\"",
            "state = \"checking\"\nreasons = []\nx = 1",
        ] {
            root.replace(PATH, text).unwrap();
            assert!(HealthReport::read(&root).is_err(), "{text}");
        }
    }
}
