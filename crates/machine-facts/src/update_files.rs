//! The files of updates: settings, choices made by command, and the record of what happened.
//!
//! Written so that a power cut leaves the old text or the new. Decides nothing; settings and choices are
//! the administrator's, the record is written by `updaterd` alone.

use std::fs;
use std::io;

use update_model::record::Record;
use update_model::settings::{Choices, Settings};

use crate::error::{Fact, FactError, chain};
use crate::system_root::SystemRoot;

/// The settings.
pub const SETTINGS: &str = "/etc/keelson/update.toml";
/// Where everything else of updates is kept.
pub const FOLDER: &str = "/var/lib/keelson/update";
/// What was chosen by command.
const CHOICES: &str = "/var/lib/keelson/update/choices.toml";
/// What happened.
const RECORD: &str = "/var/lib/keelson/update/record.json";

/// What protects the machine from what is old or was bad: the record, and the metadata seen last. It outlives
/// a reset of state.
pub const MEMORY: [&str; 2] = [RECORD, METADATA];
/// The signed metadata seen last, so that nothing older is believed.
pub const METADATA: &str = "/var/lib/keelson/update/metadata";

/// Reads the settings; a file that is not there says nothing.
pub fn read_settings(root: &SystemRoot) -> Fact<Settings> {
    let settings: Settings = or_default(root.read_toml(SETTINGS))?;
    settings
        .check()
        .map_err(|error| FactError::malformed(SETTINGS, error.to_string()))?;
    Ok(settings)
}

/// Reads the choices.
pub fn read_choices(root: &SystemRoot) -> Fact<Choices> {
    or_default(root.read_toml(CHOICES))
}

/// Replaces the choices.
pub fn write_choices(root: &SystemRoot, choices: &Choices) -> io::Result<()> {
    let text = toml::to_string(choices).map_err(io::Error::other)?;
    root.replace_durably(CHOICES, &text)
}

/// Reads the record; a machine that never updated has an empty one.
pub fn read_record(root: &SystemRoot) -> Fact<Record> {
    match root.read_text(RECORD) {
        Err(error) if error.is_missing_file() => Ok(Record::default()),
        Err(error) => Err(error),
        Ok(text) => {
            Record::parse(&text).map_err(|error| FactError::malformed(RECORD, chain(&error)))
        }
    }
}

/// Replaces the record.
pub fn write_record(root: &SystemRoot, record: &Record) -> io::Result<()> {
    root.replace_durably(RECORD, &record.to_json())
}

/// Keeps a record that cannot be read under another name, for whoever wants to know.
pub fn set_record_aside(root: &SystemRoot) -> io::Result<()> {
    let record = root.path(RECORD);
    fs::rename(&record, record.with_extension("unreadable"))
}

fn or_default<T: Default>(fact: Fact<T>) -> Fact<T> {
    match fact {
        Err(error) if error.is_missing_file() => Ok(T::default()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, SystemRoot) {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        (folder, root)
    }

    #[test]
    fn a_new_machine_has_defaults() {
        let (_folder, root) = machine();
        assert_eq!(read_settings(&root).unwrap(), Settings::default());
        assert_eq!(read_choices(&root).unwrap(), Choices::default());
        assert_eq!(read_record(&root).unwrap(), Record::default());
    }

    #[test]
    fn what_is_written_is_read() {
        let (_folder, root) = machine();
        let choices = Choices {
            channel: Some("edge".to_owned()),
            pinned: Some("1.2".parse().unwrap()),
        };
        write_choices(&root, &choices).unwrap();
        assert_eq!(read_choices(&root).unwrap(), choices);
        write_record(&root, &Record::default()).unwrap();
        assert_eq!(read_record(&root).unwrap(), Record::default());
        assert_eq!(root.list(FOLDER).unwrap(), ["choices.toml", "record.json"]);
    }

    #[test]
    fn settings_are_as_documented_and_unknown_keys_are_errors() {
        let (_folder, root) = machine();
        let text = "sources = [\"https://a/b\"]\nchannel = \"beta\"\n\
                    reboot = { windows = [{ days = [\"saturday\"], start = \"02:00\", minutes = 120 }] }\n\
                    bandwidth-limit = 1000000\n\
                    reboot-lock = { store = { group = \"web\" } }\ndrain-failure = \"reboot\"\n\
                    [store]\nendpoints = [\"https://10.0.0.1:2379\"]\n\
                    client-certificate = { cert-file = \"/etc/a.pem\", key-file = \"/etc/b.pem\" }\n";
        root.replace(SETTINGS, text).unwrap();
        let settings = read_settings(&root).unwrap();
        assert_eq!(settings.channel, "beta");
        root.replace(SETTINGS, "reboot = \"immediate\"\n").unwrap();
        read_settings(&root).unwrap();
        for (text, complaint) in [
            ("colour = 1\n", "unknown field"),
            ("channel = \"B\"\n", "channel: "),
            ("sources = [\"a\"]\n", "sources: "),
            ("reboot-lock = { store = {} }\n", "reboot-lock.store: "),
            ("reboot-lock = { store = { slots = 1 } }\n", "unknown field"),
            ("reboot-lock = \"all\"\n", "unknown variant"),
            ("[store]\nendpoints = []\n", "store.endpoints: "),
            (
                "[store]\nendpoints = [\"http://a\"]\ncolour = 1\n",
                "unknown field",
            ),
        ] {
            root.replace(SETTINGS, text).unwrap();
            let reason = read_settings(&root).unwrap_err().reason();
            assert!(reason.starts_with("/etc/keelson/update.toml: "), "{reason}");
            assert!(reason.contains(complaint), "{reason}");
        }
    }

    #[test]
    fn a_record_of_another_kind_is_set_aside() {
        let (_folder, root) = machine();
        write_record(&root, &Record::default()).unwrap();
        fs::write(root.path(RECORD), "{}").unwrap();
        assert!(read_record(&root).unwrap_err().reason().contains(RECORD));
        set_record_aside(&root).unwrap();
        assert_eq!(read_record(&root).unwrap(), Record::default());
    }
}
