//! What the store says, kept current by its changes, as the view that decisions are made from.
//!
//! A unit whose record or contents cannot be read is not in the view: it stays as it is until somebody
//! mends it. A machine's record that cannot be read leaves what was known before.

mod machine;
mod unit;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fleet_model::{MachineId, View};
use fleet_store::{
    Change, Contents, Key, KeyValue, Layout, MachineRecord, MachineSettings, Presence, Range,
    Revision, Target, UnitRecord, Value, ValueError,
};
use systemd_unit::UnitName;
use tokio::time::Instant;

use machine::{MachineEntry, Settings};
pub(crate) use unit::{Record, Stored, UnitEntry};

/// The mirror.
#[derive(Debug, Default)]
pub struct Mirror {
    layout: Layout,
    revision: Revision,
    view: View,
    units: BTreeMap<UnitName, UnitEntry>,
    machines: BTreeMap<MachineId, MachineEntry>,
    contents: BTreeMap<String, Stored<Option<Contents>>>,
    /// Which units' entries name contents.
    named_by: BTreeMap<String, BTreeSet<UnitName>>,
    /// When the leader's key was last put.
    leader: Option<Revision>,
    /// Lost machines, and when what stops on partitions is dead there.
    fences: BTreeMap<MachineId, Instant>,
    unreadable: BTreeMap<String, String>,
}

/// What has to be shown anew after a batch of changes.
#[derive(Default)]
struct Touched {
    units: BTreeSet<UnitName>,
    machines: BTreeSet<MachineId>,
}

impl Mirror {
    /// Of what was read. Machines that are lost count as lost from now on: whoever read this does not
    /// know since when.
    pub fn new(layout: Layout, range: Range, now: Instant) -> Self {
        let mut mirror = Self {
            layout,
            ..Self::default()
        };
        let changes = range.pairs.into_iter().map(Change::Put).collect();
        mirror.apply(changes, range.revision, now);
        mirror
    }

    /// Takes changes over; whether decisions may depend on them.
    pub fn apply(&mut self, changes: Vec<Change>, revision: Revision, now: Instant) -> bool {
        let mut touched = Touched::default();
        let mut matters = false;
        for change in changes {
            let Some(key) = self.layout.parse(change.key()) else {
                continue;
            };
            matters |= self.matters(&key, &change);
            match change {
                Change::Put(pair) => self.put(key, &pair, &mut touched),
                Change::Deleted { key: text, .. } => self.delete(&key, &text, now, &mut touched),
            }
        }
        self.show(touched, now);
        self.revision = self.revision.max(revision);
        matters
    }

    /// Whether decisions may depend on a change: not on that a machine has what it shall have.
    fn matters(&self, key: &Key, change: &Change) -> bool {
        match (key, change) {
            (Key::Leader | Key::State(..), _) => false,
            (Key::Present(machine, name), Change::Put(pair)) => {
                let hash = Presence::from_pair(pair).map(|presence| presence.hash);
                let entry = self.units.get(name);
                !entry.is_some_and(|entry| hash.is_ok_and(|hash| entry.expects(machine, &hash)))
            }
            _ => true,
        }
    }

    /// Takes note of the time; whether decisions may depend on it.
    pub fn tick(&mut self, now: Instant) -> bool {
        let over = self.fences.iter().filter(|(_, until)| **until <= now);
        let machines: BTreeSet<MachineId> = over.map(|(id, _)| id.clone()).collect();
        let matters = !machines.is_empty();
        let units = BTreeSet::new();
        self.show(Touched { units, machines }, now);
        matters
    }

    /// When the time will matter next.
    pub fn next_tick(&self) -> Option<Instant> {
        self.fences.values().min().copied()
    }

    /// What decisions are made from.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Up to which revision changes were taken over.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What cannot be read, each with its key.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.unreadable.values().map(String::as_str)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// When the leader's key was last put; nothing if it is not there.
    pub(crate) fn leader(&self) -> Option<Revision> {
        self.leader
    }

    pub(crate) fn units(&self) -> impl Iterator<Item = (&UnitName, &UnitEntry)> {
        self.units.iter()
    }

    pub(crate) fn unit(&self, name: &UnitName) -> Option<&UnitEntry> {
        self.units.get(name)
    }

    /// Since when a machine is alive.
    pub(crate) fn alive_since(&self, id: &MachineId) -> Option<Revision> {
        self.machines.get(id)?.alive
    }

    /// Contents that nothing names, with their revisions.
    pub(crate) fn unused_contents(&self) -> Vec<(&str, Revision)> {
        let is_unreadable = |entry: &UnitEntry| matches!(entry.record, Record::Unreadable(_));
        if self.units.values().any(is_unreadable) {
            return Vec::new(); // it may name any of them
        }
        let named: HashSet<&str> = self.units.values().flat_map(UnitEntry::hashes).collect();
        let unused = self.contents.iter();
        unused
            .filter(|(hash, _)| !named.contains(hash.as_str()))
            .map(|(hash, stored)| (hash.as_str(), stored.revision))
            .collect()
    }

    /// Reads a value; one that cannot be read is noted.
    fn read<T: Value>(&mut self, pair: &KeyValue) -> Option<T> {
        match T::from_pair(pair) {
            Ok(value) => {
                self.unreadable.remove(&pair.key);
                Some(value)
            }
            Err(error) => {
                self.note_unreadable(&error);
                None
            }
        }
    }

    fn note_unreadable(&mut self, error: &ValueError) {
        let text = error.to_string();
        tracing::warn!("{text}");
        self.unreadable.insert(error.key.clone(), text);
    }

    fn put(&mut self, key: Key, pair: &KeyValue, touched: &mut Touched) {
        let revision = pair.mod_revision;
        match key {
            Key::Contents(hash) => {
                let value = self.read::<Contents>(pair);
                let old = self.contents.get(&hash);
                // Whoever creates one more unit of the same file puts it again: that concerns no other unit.
                if old.is_none_or(|old| old.value != value) {
                    let names = self.named_by.get(&hash).into_iter().flatten();
                    touched.units.extend(names.cloned());
                }
                self.contents.insert(hash, Stored { value, revision });
            }
            Key::Unit(name) => {
                let record = match self.read::<UnitRecord>(pair) {
                    Some(value) => Record::Known(Stored { value, revision }),
                    None => Record::Unreadable(revision),
                };
                self.units.entry(name.clone()).or_default().record = record;
                touched.units.insert(name);
            }
            Key::Target(machine, name) => {
                let value = self.read::<Target>(pair);
                let entry = self.units.entry(name.clone()).or_default();
                entry.targets.insert(machine, Stored { value, revision });
                touched.units.insert(name);
            }
            Key::Present(machine, name) => {
                let presence = self.read::<Presence>(pair);
                let hash = presence.map(|presence| presence.hash).unwrap_or_default();
                let entry = self.units.entry(name.clone()).or_default();
                entry.present.insert(machine, hash);
                touched.units.insert(name);
            }
            Key::Alive(machine) => {
                let entry = self.machines.entry(machine.clone()).or_default();
                entry.alive = Some(pair.create_revision);
                touched.machines.insert(machine);
            }
            Key::Record(machine) => {
                if let Some(record) = self.read::<MachineRecord>(pair) {
                    self.machines.entry(machine.clone()).or_default().record = Some(record);
                }
                touched.machines.insert(machine);
            }
            Key::Settings(machine) => {
                let settings = match self.read::<MachineSettings>(pair) {
                    Some(settings) => Settings::Known(settings),
                    None => Settings::Unreadable,
                };
                self.machines.entry(machine.clone()).or_default().settings = settings;
                touched.machines.insert(machine);
            }
            Key::Leader => self.leader = Some(revision),
            Key::State(..) => {}
        }
    }

    fn delete(&mut self, key: &Key, text: &str, now: Instant, touched: &mut Touched) {
        self.unreadable.remove(text);
        match key {
            Key::Contents(hash) => self.forget_contents(hash),
            Key::Unit(name) => self.change_unit(name, touched, |unit| unit.record = Record::Absent),
            Key::Target(machine, name) => {
                self.change_unit(name, touched, |unit| drop(unit.targets.remove(machine)));
            }
            Key::Present(machine, name) => {
                self.change_unit(name, touched, |unit| drop(unit.present.remove(machine)));
            }
            Key::Alive(id) => self.change_machine(id, touched, |machine| {
                machine.alive = None;
                machine.lost_since = Some(now);
            }),
            Key::Record(id) => self.change_machine(id, touched, |machine| machine.record = None),
            Key::Settings(id) => {
                self.change_machine(id, touched, |machine| machine.settings = Settings::None);
            }
            Key::Leader => self.leader = None,
            Key::State(..) => {}
        }
    }

    fn forget_contents(&mut self, hash: &str) {
        self.contents.remove(hash);
        let units = &self.units;
        let names_it = |name: &UnitName| {
            let entry = units.get(name);
            entry.is_some_and(|entry| entry.hashes().any(|one| one == hash))
        };
        if let Some(names) = self.named_by.get_mut(hash) {
            names.retain(names_it);
            if names.is_empty() {
                self.named_by.remove(hash);
            }
        }
    }

    fn change_unit(
        &mut self,
        name: &UnitName,
        touched: &mut Touched,
        change: impl FnOnce(&mut UnitEntry),
    ) {
        if let Some(entry) = self.units.get_mut(name) {
            change(entry);
        }
        touched.units.insert(name.clone());
    }

    fn change_machine(
        &mut self,
        id: &MachineId,
        touched: &mut Touched,
        change: impl FnOnce(&mut MachineEntry),
    ) {
        if let Some(entry) = self.machines.get_mut(id) {
            change(entry);
        }
        touched.machines.insert(id.clone());
    }

    /// Brings the view up to date.
    fn show(&mut self, touched: Touched, now: Instant) {
        for name in touched.units {
            self.show_unit(&name);
        }
        for id in touched.machines {
            self.show_machine(&id, now);
        }
    }

    fn show_unit(&mut self, name: &UnitName) {
        let Some(entry) = self.units.get_mut(name) else {
            return;
        };
        if entry.is_empty() {
            self.units.remove(name);
            self.view.remove_unit(name);
            self.unreadable.remove(name.as_str());
            return;
        }
        for hash in entry.hashes() {
            if !self
                .named_by
                .get(hash)
                .is_some_and(|names| names.contains(name))
            {
                let names = self.named_by.entry(hash.to_owned()).or_default();
                names.insert(name.clone());
            }
        }
        let complaint = match entry.show(name, &self.contents) {
            Ok(unit) => {
                self.view.insert_unit(unit);
                None
            }
            Err(complaint) => {
                self.view.remove_unit(name);
                complaint
            }
        };
        match complaint {
            Some(text) => self.unreadable.insert(name.as_str().to_owned(), text),
            None => self.unreadable.remove(name.as_str()),
        };
    }

    fn show_machine(&mut self, id: &MachineId, now: Instant) {
        self.fences.remove(id);
        let Some(entry) = self.machines.get_mut(id) else {
            return;
        };
        if entry.alive.is_some() {
            entry.lost_since = None;
        } else {
            entry.lost_since.get_or_insert(now);
        }
        if let Some(until) = entry.fence().filter(|until| *until > now) {
            self.fences.insert(id.clone(), until);
        }
        match entry.show(id, now) {
            Some(machine) => {
                self.view.insert_machine(machine);
            }
            None => {
                self.view.remove_machine(id);
            }
        }
        if entry.is_empty() {
            self.machines.remove(id);
        }
    }
}
