//! What changes in the cluster, as it happens.
//!
//! A stream begins with everything that is there, then says [`Event::Synced`], then what changes. Whoever
//! was cut off begins again: nothing has to be remembered.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::unit::Unit;
use crate::unit_state::UnitState;

/// A line of `GET /events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The store's revision at which it was so; it never goes back.
    pub revision: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// A unit is new, or wanted otherwise, or somewhere else.
    Unit {
        /// As it is now; without its options once the stream is synced, unless it is new.
        unit: Unit,
    },
    /// A unit was destroyed.
    UnitGone {
        /// Its name.
        name: String,
    },
    /// A machine says something else of a unit.
    State {
        /// As it is now.
        state: UnitState,
    },
    /// A machine has a unit no longer.
    StateGone {
        /// The unit's name.
        name: String,
        /// The machine.
        #[serde(rename = "machineID")]
        machine_id: String,
    },
    /// A machine is new, or its metadata or availability changed.
    Machine {
        /// As it is now.
        machine: Machine,
    },
    /// A machine left, or is lost.
    MachineGone {
        /// Its id.
        id: String,
    },
    /// All that was there has been told.
    Synced,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_flat_and_come_back() {
        let records = [
            (
                EventRecord {
                    revision: 7,
                    event: Event::Synced,
                },
                r#"{"revision":7,"type":"synced"}"#,
            ),
            (
                EventRecord {
                    revision: 8,
                    event: Event::StateGone {
                        name: "a.service".to_owned(),
                        machine_id: "m1".to_owned(),
                    },
                },
                r#"{"revision":8,"type":"state-gone","name":"a.service","machineID":"m1"}"#,
            ),
            (
                EventRecord {
                    revision: 9,
                    event: Event::Unit {
                        unit: Unit {
                            name: "a.service".to_owned(),
                            ..Unit::default()
                        },
                    },
                },
                r#"{"revision":9,"type":"unit","unit":{"name":"a.service"}}"#,
            ),
        ];
        for (record, text) in records {
            assert_eq!(serde_json::to_string(&record).expect("JSON"), text);
            let read: EventRecord = serde_json::from_str(text).expect("a record");
            assert_eq!(read, record);
        }
    }
}
