//! Machines by load, all of them and those with each value of metadata.
//!
//! Only machines that may be given units are in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::machine::Machine;

/// How many units, and which machine: so ordered, the first is the one to take.
pub(crate) type Place = (usize, usize);

/// The index.
#[derive(Default)]
pub(crate) struct LoadIndex<'v> {
    all: BTreeSet<Place>,
    by_value: HashMap<&'v str, BTreeMap<&'v str, BTreeSet<Place>>>,
}

impl<'v> LoadIndex<'v> {
    /// Adds a machine.
    pub(crate) fn insert(&mut self, machine: &'v Machine, place: Place) {
        self.all.insert(place);
        for (key, value) in &machine.metadata {
            let values = self.by_value.entry(key).or_default();
            values.entry(value).or_default().insert(place);
        }
    }

    /// Notes a machine's new load.
    pub(crate) fn change(&mut self, machine: &'v Machine, old: Place, new: Place) {
        if !self.all.remove(&old) {
            return;
        }
        for (key, value) in &machine.metadata {
            let set = self.by_value.get_mut(key.as_str());
            if let Some(set) = set.and_then(|values| values.get_mut(value.as_str())) {
                set.remove(&old);
            }
        }
        self.insert(machine, new);
    }

    /// All machines, the least loaded first.
    pub(crate) fn all(&self) -> impl Iterator<Item = usize> {
        self.all.iter().map(|(_, machine)| *machine)
    }

    /// The machines with one of these values, the least loaded first.
    pub(crate) fn with_values(
        &self,
        key: &str,
        wanted: &BTreeSet<String>,
    ) -> impl Iterator<Item = usize> {
        let sets = wanted
            .iter()
            .filter_map(|value| self.by_value.get(key)?.get(value.as_str()));
        let mut sets: Vec<_> = sets.map(|set| set.iter().copied().peekable()).collect();
        std::iter::from_fn(move || {
            let first = sets
                .iter_mut()
                .filter_map(|set| set.peek().copied())
                .min()?;
            let set = sets
                .iter_mut()
                .find_map(|set| (set.peek() == Some(&first)).then_some(set))?;
            set.next().map(|(_, machine)| machine)
        })
    }

    /// How many machines have one of these values.
    pub(crate) fn count(&self, key: &str, wanted: &BTreeSet<String>) -> usize {
        let sets = wanted
            .iter()
            .filter_map(|value| self.by_value.get(key)?.get(value.as_str()));
        sets.map(BTreeSet::len).sum()
    }

    /// The values of a key, each with its machines, the least loaded first.
    pub(crate) fn values(&self, key: &str) -> Vec<(&'v str, &BTreeSet<Place>)> {
        let values = self.by_value.get(key).into_iter().flatten();
        values.map(|(value, set)| (*value, set)).collect()
    }
}
