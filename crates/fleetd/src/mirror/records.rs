//! What the store has, by name: a function of the changes that were seen.
//!
//! A value that cannot be read counts as missing; whoever applies it is told. How it is shown to
//! clients is not known here.

use std::collections::BTreeMap;

use fleet_api::{DropIn, Unit, UnitOption};
use fleet_model::MachineId;
use fleet_store::{
    Alive, Change, Contents, Key, KeyValue, Layout, MachineRecord, MachineSettings, Presence,
    Revision, Target, UnitRecord, UnitStatus, Value, ValueError,
};
use systemd_unit::{UnitFile, UnitName};

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// By hash.
    pub(crate) contents: BTreeMap<String, UnitContents>,
    pub(crate) units: BTreeMap<UnitName, UnitEntry>,
    pub(crate) machines: BTreeMap<MachineId, MachineEntry>,
    /// Of the last change.
    pub(crate) revision: Revision,
}

/// What a unit is made of, parsed.
#[derive(Debug)]
pub(crate) struct UnitContents {
    pub(crate) options: Vec<UnitOption>,
    pub(crate) drop_ins: Vec<DropIn>,
    pub(crate) is_global: bool,
}

/// What there is of one name.
#[derive(Debug, Default)]
pub(crate) struct UnitEntry {
    /// Missing if it was destroyed and machines still have it.
    pub(crate) record: Option<UnitRecord>,
    pub(crate) targets: BTreeMap<MachineId, Target>,
    pub(crate) present: BTreeMap<MachineId, Presence>,
    pub(crate) states: BTreeMap<MachineId, UnitStatus>,
}

/// What there is of a machine.
#[derive(Debug, Default)]
pub(crate) struct MachineEntry {
    pub(crate) alive: Option<Alive>,
    pub(crate) record: Option<MachineRecord>,
    pub(crate) settings: MachineSettings,
}

/// What a change was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A unit, wherever it is wanted.
    Unit(UnitName),
    /// How a unit is on a machine.
    State(MachineId, UnitName),
    Machine(MachineId),
    /// Nothing that is shown.
    Nothing,
}

impl UnitContents {
    /// A file that is none has no options; only the API writes them, and it looks first.
    fn new(contents: &Contents) -> Self {
        let file = UnitFile::parse(contents.file.as_str());
        let mut unit = file.map_or_else(|_| Unit::default(), |file| Unit::from_file("", &file));
        let drop_ins = contents.drop_ins.iter().filter_map(|drop_in| {
            let file = UnitFile::parse(drop_in.file.as_str()).ok()?;
            Some(DropIn::from_file(drop_in.name.clone(), &file))
        });
        unit.drop_ins = drop_ins.collect();
        Self {
            is_global: unit.is_global(),
            options: unit.options,
            drop_ins: unit.drop_ins,
        }
    }
}

impl UnitEntry {
    fn is_empty(&self) -> bool {
        self.record.is_none()
            && self.targets.is_empty()
            && self.present.is_empty()
            && self.states.is_empty()
    }
}

impl Records {
    /// The contents of a unit, if it and they are there.
    pub(crate) fn contents_of(&self, name: &UnitName) -> Option<&UnitContents> {
        let record = self.units.get(name)?.record.as_ref()?;
        self.contents.get(&record.hash)
    }

    /// Takes a change in.
    pub(crate) fn apply(
        &mut self,
        layout: &Layout,
        change: &Change,
    ) -> (Subject, Result<(), ValueError>) {
        self.revision = self.revision.max(change.revision());
        let pair = match change {
            Change::Put(pair) => Some(pair),
            Change::Deleted { .. } => None,
        };
        match layout.parse(change.key()) {
            Some(key) => self.apply_key(key, pair),
            None => (Subject::Nothing, Ok(())),
        }
    }

    fn apply_key(
        &mut self,
        key: Key,
        pair: Option<&KeyValue>,
    ) -> (Subject, Result<(), ValueError>) {
        match key {
            Key::Contents(hash) => {
                let (contents, result) = read::<Contents>(pair);
                match contents {
                    Some(contents) => self.contents.insert(hash, UnitContents::new(&contents)),
                    None => self.contents.remove(&hash),
                };
                (Subject::Nothing, result)
            }
            Key::Unit(name) => {
                let (record, result) = read(pair);
                self.change_unit(&name, |entry| entry.record = record);
                (Subject::Unit(name), result)
            }
            Key::Target(machine, name) => {
                let (target, result) = read(pair);
                self.change_unit(&name, |entry| set(&mut entry.targets, machine, target));
                (Subject::Unit(name), result)
            }
            Key::Present(machine, name) => {
                let (presence, result) = read(pair);
                self.change_unit(&name, |entry| set(&mut entry.present, machine, presence));
                (Subject::Nothing, result)
            }
            Key::State(machine, name) => {
                let (state, result) = read(pair);
                let on = machine.clone();
                self.change_unit(&name, |entry| set(&mut entry.states, on, state));
                (Subject::State(machine, name), result)
            }
            Key::Alive(id) => {
                let (alive, result) = read(pair);
                self.machines.entry(id.clone()).or_default().alive = alive;
                (Subject::Machine(id), result)
            }
            Key::Record(id) => {
                let (record, result) = read(pair);
                self.machines.entry(id.clone()).or_default().record = record;
                (Subject::Machine(id), result)
            }
            Key::Settings(id) => {
                let (settings, result) = read(pair);
                let entry = self.machines.entry(id.clone()).or_default();
                entry.settings = settings.unwrap_or_default();
                (Subject::Machine(id), result)
            }
            Key::Leader => (Subject::Nothing, Ok(())),
        }
    }

    /// An entry without anything is no entry.
    fn change_unit(&mut self, name: &UnitName, change: impl FnOnce(&mut UnitEntry)) {
        let entry = self.units.entry(name.clone()).or_default();
        change(entry);
        if entry.is_empty() {
            self.units.remove(name);
        }
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// The value, if there is one that can be read.
fn read<T: Value>(pair: Option<&KeyValue>) -> (Option<T>, Result<(), ValueError>) {
    match pair.map(T::from_pair) {
        Some(Ok(value)) => (Some(value), Ok(())),
        Some(Err(error)) => (None, Err(error)),
        None => (None, Ok(())),
    }
}
