//! What the health check asks for and how long it waits: `health.toml`, first that of the
//! image, then the machine's own, key by key.
//!
//! It does not read the kernel command line or flags.
use std::time::Duration;

use serde::Deserialize;

use machine_facts::error::Fact;
use machine_facts::system_root::SystemRoot;

/// Later ones override earlier ones.
const PATHS: [&str; 2] = ["/usr/lib/keelson/health.toml", "/etc/keelson/health.toml"];
const DEFAULT_SOAK: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthConfig {
    /// Units that must be active.
    pub(crate) required_units: Vec<String>,
    /// How long the machine must stay healthy.
    pub(crate) soak: Duration,
    /// How long it may take to become healthy.
    pub(crate) timeout: Duration,
}

/// One file, every key of which is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    required_units: Option<Vec<String>>,
    soak_seconds: Option<u64>,
    timeout_seconds: Option<u64>,
}

impl HealthConfig {
    /// Reads the files that exist.
    pub(crate) fn read(root: &SystemRoot) -> Fact<Self> {
        let mut config = Self {
            required_units: Vec::new(),
            soak: DEFAULT_SOAK,
            timeout: DEFAULT_TIMEOUT,
        };
        for path in PATHS {
            match root.read_toml(path) {
                Ok(file) => config.apply(file),
                Err(error) if error.is_missing_file() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(config)
    }

    fn apply(&mut self, file: File) {
        if let Some(units) = file.required_units {
            self.required_units = units;
        }
        if let Some(seconds) = file.soak_seconds {
            self.soak = Duration::from_secs(seconds);
        }
        if let Some(seconds) = file.timeout_seconds {
            self.timeout = Duration::from_secs(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(image: &str, machine: Option<&str>) -> Fact<HealthConfig> {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        root.replace(PATHS[0], image).unwrap();
        if let Some(text) = machine {
            root.replace(PATHS[1], text).unwrap();
        }
        HealthConfig::read(&root)
    }

    #[test]
    fn no_file_asks_for_no_unit() {
        let folder = tempfile::tempdir().unwrap();
        let config = HealthConfig::read(&SystemRoot::new(folder.path())).unwrap();
        assert_eq!(config.required_units, [""; 0]);
        assert_eq!((config.soak.as_secs(), config.timeout.as_secs()), (30, 300));
    }

    #[test]
    fn the_machines_file_overrides_key_by_key() {
        let image = "required-units = [\"ssh.socket\"]\nsoak-seconds = 10\n";
        let machine = "soak-seconds = 0\ntimeout-seconds = 60\n";
        let config = read(image, Some(machine)).unwrap();
        assert_eq!(config.required_units, ["ssh.socket"]);
        assert_eq!((config.soak.as_secs(), config.timeout.as_secs()), (0, 60));
        let config = read(image, Some("required-units = []")).unwrap();
        assert_eq!(config.required_units, [""; 0]);
    }

    #[test]
    fn errors_name_file_and_key() {
        for text in ["colour = 1", "soak-seconds = -1", "required-units = \"a\""] {
            let reason = read("", Some(text)).unwrap_err().reason();
            let key = text.split(' ').next().unwrap();
            assert!(
                reason.starts_with("/etc/keelson/health.toml: line 1 ") && reason.contains(key),
                "{reason}"
            );
        }
    }
}
