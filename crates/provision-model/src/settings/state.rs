//! The table `state`: the disk that the machine's state is on, if it is not the one that is booted from.
//!
//! `/init` needs it before anything else of a configuration counts, so it can be read alone.

use disk_format::state_disk::{DiskName, StateDisk};
use serde_json::Value;

use super::Reading;
use super::keys::{Settings, State};
use crate::document::Document;
use crate::format::Format;
use crate::key_path::KeyPath;
use crate::plan::{Plan, Stated};
use crate::problem::Problem;

const KEY: &str = "state";

/// The wish of a configuration, whatever else is wrong with it: that is told when it is applied. Only our TOML has it.
///
/// # Errors
/// If nobody can say whether and what it wishes.
pub fn state_disk(bytes: &[u8]) -> Result<Option<StateDisk>, Vec<Problem>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if Format::of(text) == Format::Keelson => text,
        // Another format's, or no text at all, which is refused later.
        _ => return Ok(None),
    };
    let mut document = Document::toml(text).map_err(|problem| vec![problem])?;
    if let Value::Object(map) = &mut document.value {
        map.retain(|key, _| key == KEY);
    }
    let settings: Settings = document.read()?;
    let Some(state) = settings.state else {
        return Ok(None);
    };
    let mut reading = Reading {
        problems: Vec::new(),
        plan: Plan::default(),
    };
    reading.state(state, KeyPath::top().key(KEY));
    match reading.plan.state {
        Some(stated) => Ok(Some(stated.value)),
        None => {
            document.positions.locate(&mut reading.problems);
            Err(reading.problems)
        }
    }
}

impl Reading {
    pub(super) fn state(&mut self, one: State, key: KeyPath) {
        let values = [one.serial, one.wwid, one.partition_label];
        let given = DiskName::KINDS.into_iter().zip(values);
        let mut given = given.filter_map(|(kind, value)| Some((kind, value?)));
        let (Some((kind, value)), None) = (given.next(), given.next()) else {
            let text =
                "has not one of serial, wwid and partition-label: it says which disk state is on";
            return self.problem(&key, text);
        };
        match DiskName::new(kind, &value) {
            Err(error) => self.problem(&key.key(kind), error.to_string()),
            Ok(name) => {
                let is_wiped = one.wipe;
                self.plan.state = Some(Stated::new(StateDisk { name, is_wiped }, key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_read_alone() {
        let text = b"hostname = 7\nnonsense = 1\n[state]\nserial = 'DATA1'\nwipe = true\n";
        let wish = state_disk(text).unwrap().unwrap();
        assert_eq!(wish.to_string(), "wipe serial DATA1");
        for none in [
            &b"hostname = 'a'"[..],
            b"",
            b"#cloud-config\nstate: 1",
            b"{}",
            b"\xff",
        ] {
            assert_eq!(state_disk(none).unwrap(), None);
        }
    }

    #[test]
    fn a_wish_that_nobody_understands_is_none_and_told() {
        for (text, told) in [
            (
                "[state]\nserial = 'a'\nwwid = 'b'",
                "1:2: state: has not one of",
            ),
            ("[state]\nwipe = true", "1:2: state: has not one of"),
            (
                "[state]\nserial = ' a'",
                "2:1: state.serial: \" a\" is no name",
            ),
            ("[state]\nserial = 7", "2:1: state.serial: invalid type"),
            (
                "[state]\ndevice = '/dev/vdb'",
                "2:1: state.device: unknown key",
            ),
            ("[state", "1:"),
        ] {
            let problems = state_disk(text.as_bytes()).unwrap_err();
            let found = problems[0].to_string();
            assert!(found.starts_with(told), "{text}: {found}");
        }
    }
}
