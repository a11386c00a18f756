//! The table `state`: the disk that the machine's state is on, if it is not the one that is booted from.
//!
//! `/init` needs it before anything else of a configuration counts, so it can be read alone.

use disk_format::state_disk::{DiskName, Encryption, Site, StateDisk};
use serde_json::Value;

use super::Reading;
use super::keys::{Encrypt, Settings, State};
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
    if let Some(stated) = reading.plan.state {
        return Ok(Some(stated.value));
    }
    document.positions.locate(&mut reading.problems);
    Err(reading.problems)
}

impl Reading {
    pub(super) fn state(&mut self, one: State, key: KeyPath) {
        let values = [one.serial, one.wwid, one.partition_label];
        let given = DiskName::KINDS.into_iter().zip(values);
        let mut given = given.filter_map(|(kind, value)| Some((kind, value?)));
        let name = match (given.next(), given.next(), one.encrypt) {
            (None, _, Some(_)) => None,
            (Some((kind, value)), None, _) => match DiskName::new(kind, &value) {
                Ok(name) => Some(name),
                Err(error) => return self.problem(&key.key(kind), error.to_string()),
            },
            _ => {
                let text = "has not one of serial, wwid and partition-label, which say the disk of state, or encrypt";
                return self.problem(&key, text);
            }
        };
        if name.is_none() && one.wipe {
            let text = "is of another disk: on the one that is booted from, state is only made where nothing is";
            return self.problem(&key.key("wipe"), text);
        }
        if one.encrypt.is_none() && one.recovery_key {
            let text = "there is no key without encrypt = \"tpm2\"";
            return self.problem(&key.key("recovery-key"), text);
        }
        let encryption = one
            .encrypt
            .map_or(Encryption::None, |Encrypt::Tpm2| Encryption::Tpm2);
        let wish = StateDisk {
            site: Site { name, encryption },
            is_wiped: one.wipe,
            has_recovery_key: one.recovery_key,
        };
        self.plan.state = Some(Stated::new(wish, key));
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
    fn state_can_be_encrypted_where_it_is() {
        let wish = |text: &str| state_disk(text.as_bytes());
        let text = "[state]\nencrypt = 'tpm2'\nrecovery-key = true";
        let found = wish(text).unwrap().unwrap();
        assert_eq!(found.to_string(), "recovery-key tpm2 boot-disk");
        let found = wish("[state]\nencrypt = 'tpm2'\nserial = 'A'")
            .unwrap()
            .unwrap();
        assert_eq!(found.to_string(), "tpm2 serial A");
        for wrong in [
            "[state]\nencrypt = 'rot13'",
            "[state]\nencrypt = 'tpm2'\nwipe = true",
            "[state]\nserial = 'A'\nrecovery-key = true",
        ] {
            assert!(wish(wrong).is_err(), "{wrong}");
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
