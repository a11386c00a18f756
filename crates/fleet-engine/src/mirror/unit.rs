//! All that the store has on one unit.
//!
//! Who destroyed a unit does not say so to its machines: until they have stopped it, it counts as a unit
//! that shall be inactive.

use std::collections::BTreeMap;

use fleet_model::{FleetOptions, MachineId, Moving, State, Unit};
use fleet_store::{Contents, Revision, Target, UnitRecord};
use systemd_unit::UnitName;

/// A value, and when it was last put.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub(crate) value: T,
    pub(crate) revision: Revision,
}

/// What stands under `units/NAME`.
#[derive(Debug, Default)]
pub(crate) enum Record {
    /// Nothing: it was destroyed, or never was.
    #[default]
    Absent,
    /// Something that cannot be read.
    Unreadable(Revision),
    /// A unit.
    Known(Stored<UnitRecord>),
}

/// All that concerns a unit.
#[derive(Debug, Default)]
pub(crate) struct UnitEntry {
    pub(crate) record: Record,
    /// Nothing for a target that cannot be read.
    pub(crate) targets: BTreeMap<MachineId, Stored<Option<Target>>>,
    /// Which contents machines say they have; an empty hash if that cannot be read.
    pub(crate) present: BTreeMap<MachineId, String>,
    /// Options that were read before, by hash.
    options: BTreeMap<String, FleetOptions>,
}

type AllContents = BTreeMap<String, Stored<Option<Contents>>>;

impl UnitEntry {
    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.record, Record::Absent) && self.targets.is_empty() && self.present.is_empty()
    }

    /// The record, if it can be read.
    pub(crate) fn known(&self) -> Option<&Stored<UnitRecord>> {
        match &self.record {
            Record::Known(stored) => Some(stored),
            Record::Absent | Record::Unreadable(_) => None,
        }
    }

    /// Whether a machine shall have these contents, and has no others.
    pub(super) fn expects(&self, machine: &MachineId, hash: &str) -> bool {
        let target = self
            .targets
            .get(machine)
            .and_then(|stored| stored.value.as_ref());
        let is_other = |old: &String| old != hash;
        target.is_some_and(|target| target.hash == hash)
            && !self.present.get(machine).is_some_and(is_other)
    }

    /// The hashes of all contents that it needs.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = &str> {
        let own = self.known().map(|stored| stored.value.hash.as_str());
        let rollout = self
            .known()
            .and_then(|stored| stored.value.rollout.as_ref());
        let former = rollout.map(|rollout| rollout.from.as_str());
        let targets = self
            .targets
            .values()
            .filter_map(|stored| stored.value.as_ref());
        let present = self.present.values().map(String::as_str);
        own.into_iter()
            .chain(former)
            .chain(targets.map(|target| target.hash.as_str()))
            .chain(present)
            .filter(|hash| !hash.is_empty())
    }

    /// As the model sees it; if it cannot, why, unless that was said already.
    pub(super) fn show(
        &mut self,
        name: &UnitName,
        contents: &AllContents,
    ) -> Result<Unit, Option<String>> {
        self.read_options(name, contents)?;
        let (options, desired, moving) = match &self.record {
            Record::Unreadable(_) => return Err(None),
            Record::Known(stored) => {
                let record = &stored.value;
                let options = self.options.get(&record.hash).ok_or(None)?;
                let moving = record.moving.as_ref().map(|moving| Moving {
                    from: moving.from.clone(),
                    to: moving.to.clone(),
                });
                (
                    self.with_old_conflicts(options, &record.hash),
                    record.desired,
                    moving,
                )
            }
            Record::Absent => {
                let options = self.hashes().find_map(|hash| self.options.get(hash));
                (options.ok_or(None)?.clone(), State::Inactive, None)
            }
        };
        Ok(Unit {
            name: name.clone(),
            options,
            desired,
            placed_on: self.targets.keys().cloned().collect(),
            present_on: self.present.keys().cloned().collect(),
            moving,
        })
    }

    /// Reads the options of all contents that it names and that are there.
    fn read_options(&mut self, name: &UnitName, contents: &AllContents) -> Result<(), String> {
        let own = self.known().map(|stored| stored.value.hash.clone());
        let hashes: Vec<String> = self.hashes().map(str::to_owned).collect();
        self.options.retain(|hash, _| hashes.contains(hash));
        let mut complaint = None;
        for hash in hashes {
            if self.options.contains_key(&hash) {
                continue;
            }
            let found = contents.get(&hash).and_then(|stored| stored.value.as_ref());
            let read = found.map(|found| found.options(name));
            let why = match read {
                Some(Ok(options)) => {
                    self.options.insert(hash, options);
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                None => format!("its contents {hash} are missing"),
            };
            if own.as_ref() == Some(&hash) {
                complaint = Some(format!("{}: {why}", name.as_str()));
            }
        }
        complaint.map_or(Ok(()), Err)
    }

    /// Where it still runs with older contents it has to be kept from whom those exclude.
    fn with_old_conflicts(&self, options: &FleetOptions, hash: &str) -> FleetOptions {
        let mut options = options.clone();
        for old in self.present.values().filter(|old| *old != hash) {
            let Some(old) = self.options.get(old) else {
                continue;
            };
            for glob in old.conflicts.iter().chain(old.replaces()) {
                if !options.conflicts.contains(glob) {
                    options.conflicts.push(glob.clone());
                }
            }
        }
        options
    }
}
