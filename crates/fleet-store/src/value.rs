//! What stands in the keys, as JSON.
//!
//! Whether a value makes sense, such as a hash without contents, is not looked at.

mod machine;
mod unit;
mod words;

pub use machine::{
    Alive, Announced, Leadership, LeaseRecord, MachineAvailability, MachineRecord, MachineSettings,
};
pub use unit::{
    Contents, ContentsError, DropInText, Moving, Presence, Rollout, Target, UnitRecord, UnitStatus,
};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ValueError;
use crate::store::KeyValue;

/// A value of a key.
pub trait Value: Serialize + DeserializeOwned {
    /// What it is, for messages.
    const KIND: &'static str;

    /// As it is stored.
    fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and maps with keys that are strings: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// If it is no such value; the error names the key.
    fn from_pair(pair: &KeyValue) -> Result<Self, ValueError> {
        serde_json::from_slice(&pair.value).map_err(|error| ValueError {
            key: pair.key.clone(),
            kind: Self::KIND,
            why: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use fleet_model::{Capacity, MachineId, State};
    use systemd_unit::UnitName;

    use super::*;

    fn pair(text: &str) -> KeyValue {
        KeyValue {
            key: "k".to_owned(),
            value: text.as_bytes().to_vec(),
            create_revision: 1,
            mod_revision: 1,
            lease: None,
        }
    }

    fn check<T: Value + PartialEq + std::fmt::Debug>(value: &T, text: &str) {
        assert_eq!(String::from_utf8_lossy(&value.to_bytes()), text);
        assert_eq!(T::from_pair(&pair(text)).as_ref(), Ok(value));
    }

    #[test]
    fn values_of_units_are_written_so() {
        let file = "[Service]\nExecStart=/bin/true\n".to_owned();
        let contents = Contents {
            file,
            drop_ins: Vec::new(),
        };
        check(&contents, r#"{"file":"[Service]\nExecStart=/bin/true\n"}"#);
        let mut unit = UnitRecord::new("ab", State::Launched);
        check(&unit, r#"{"hash":"ab","desired":"launched"}"#);
        unit.moving = Some(Moving {
            from: MachineId::new("m1"),
            to: None,
        });
        check(
            &unit,
            r#"{"hash":"ab","desired":"launched","moving":{"from":"m1"}}"#,
        );
        unit.moving = None;
        unit.rollout = Some(Rollout {
            from: "cd".to_owned(),
            machines: vec![MachineId::new("m1")],
        });
        check(
            &unit,
            r#"{"hash":"ab","desired":"launched","rollout":{"from":"cd","machines":["m1"]}}"#,
        );
        let on = |id: &str| unit.hash_on(&MachineId::new(id)).to_owned();
        assert_eq!((on("m1"), on("m2")), ("ab".to_owned(), "cd".to_owned()));
        let target = Target {
            hash: "ab".to_owned(),
            desired: State::Loaded,
            replacing: vec![UnitName::new("b.service").expect("a name")],
        };
        check(
            &target,
            r#"{"hash":"ab","desired":"loaded","replacing":["b.service"]}"#,
        );
        let mut status = UnitStatus {
            hash: "ab".to_owned(),
            reached: State::Launched,
            load: "loaded".to_owned(),
            active: "active".to_owned(),
            sub: "running".to_owned(),
            invocation: String::new(),
            problem: String::new(),
        };
        let text = r#"{"hash":"ab","reached":"launched","load":"loaded","active":"active","sub":"running"}"#;
        check(&status, text);
        status.invocation = "0f".to_owned();
        check(&status, &text.replace('}', r#","invocation":"0f"}"#));
    }

    #[test]
    fn values_of_machines_are_written_so() {
        let record = MachineRecord {
            primary_ip: "192.0.2.1".to_owned(),
            capacity: Capacity {
                memory: Some(1024),
                ..Capacity::default()
            },
            version: "1".to_owned(),
            lease: Some(LeaseRecord {
                id: 7,
                ttl_seconds: 30,
            }),
            ..MachineRecord::default()
        };
        let text = r#"{"primary_ip":"192.0.2.1","capacity":{"memory_bytes":1024},"version":"1","lease":{"id":7,"ttl_seconds":30}}"#;
        check(&record, text);
        let settings = MachineSettings {
            availability: MachineAvailability::Draining,
            ..MachineSettings::default()
        };
        check(&settings, r#"{"availability":"draining"}"#);
        assert_eq!(
            MachineSettings::from_pair(&pair("{}")),
            Ok(MachineSettings::default())
        );
    }

    #[test]
    fn operators_have_the_last_word_on_metadata() {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            pairs.collect()
        };
        let record = MachineRecord {
            metadata: map(&[("a", "1"), ("b", "2"), ("c", "3")]),
            ..MachineRecord::default()
        };
        let settings = MachineSettings {
            metadata: map(&[("a", "4"), ("b", ""), ("d", "5")]),
            ..MachineSettings::default()
        };
        assert_eq!(
            record.metadata_under(&settings),
            map(&[("a", "4"), ("c", "3"), ("d", "5")])
        );
    }

    #[test]
    fn fields_of_later_versions_are_kept_and_later_words_refused() {
        let text = r#"{"hash":"ab","desired":"inactive","colour":{"a":1}}"#;
        let unit = UnitRecord::from_pair(&pair(text)).expect("readable");
        assert_eq!(String::from_utf8_lossy(&unit.to_bytes()), text);
        let error = UnitRecord::from_pair(&pair(r#"{"hash":"ab","desired":"frozen"}"#));
        let text = error.expect_err("a later word").to_string();
        assert!(
            text.starts_with("k: no valid unit: invalid state `frozen`"),
            "{text}"
        );
    }

    #[test]
    fn drop_ins_count_among_a_units_options() {
        let name = UnitName::new("a.service").expect("a name");
        let contents = |drop_in: &str| Contents {
            file: "[Service]\nExecStart=/bin/true\n".to_owned(),
            drop_ins: vec![DropInText {
                name: "10.conf".to_owned(),
                file: drop_in.to_owned(),
            }],
        };
        let options = contents("[X-Fleet]\nGlobal=yes\n")
            .options(&name)
            .expect("good");
        assert!(options.is_global());
        let error = contents("[X-Fleet]\nGlobl=yes\n")
            .options(&name)
            .expect_err("bad");
        assert!(error.to_string().contains("Globl"), "{error}");
    }
}
