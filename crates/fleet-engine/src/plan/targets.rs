//! Targets that stay, brought up to date, and whom a unit has to wait for on its machine.
//!
//! Where units are is not changed here.

use std::collections::BTreeSet;

use fleet_model::{MachineId, Unit};
use fleet_store::{Condition, Operation, Target, UnitRecord, Value};
use systemd_unit::UnitName;

use super::Planner;
use crate::batch::Step;
use crate::mirror::Stored;

impl Planner<'_> {
    /// Targets that stay say what is wanted now.
    pub(super) fn update_targets(&mut self) {
        let mut steps = Vec::new();
        for (name, entry, unit, record) in self.units_in_view() {
            // One that was global and is not any more gets its new contents when one target is left:
            // machines that are lost may have others, and come back.
            if !unit.options.is_global() && entry.targets.len() > 1 {
                continue;
            }
            for (machine, target) in &entry.targets {
                if self.decided.contains(&(name, machine)) || !unit.is_wanted() {
                    continue;
                }
                let Some(new) = self.new_target(unit, machine, &record.value, target) else {
                    continue;
                };
                let key = self.layout.target(machine, name);
                let is_same = Condition::ModifiedAt(key.clone(), target.revision);
                steps.push(Step {
                    conditions: vec![self.unit_is(name, entry), is_same],
                    operations: vec![Operation::put(key, new.to_bytes())],
                });
            }
        }
        self.steps.extend(steps);
    }

    /// What a target shall say, if that is something else than it says.
    ///
    /// A unit that gets other contents waits for those that these exclude, as they are going. None waits for
    /// a unit that has come back.
    fn new_target(
        &self,
        unit: &Unit,
        machine: &MachineId,
        record: &UnitRecord,
        old: &Stored<Option<Target>>,
    ) -> Option<Target> {
        let old = old.value.as_ref();
        let hash = record.hash_on(machine);
        let has_contents = old.is_some_and(|old| old.hash == hash);
        let is_wanted_so = old.is_some_and(|old| old.desired == record.desired);
        let replaced = old.map(|old| &old.replacing[..]).unwrap_or_default();
        let leaving = self.leaving.get(machine);
        let is_leaving = |name: &UnitName| leaving.is_some_and(|names| names.contains(name));
        let has_returned = |name: &UnitName| {
            let entry = self.mirror.unit(name);
            entry.is_some_and(|entry| entry.targets.contains_key(machine)) && !is_leaving(name)
        };
        if has_contents && is_wanted_so && !replaced.iter().any(has_returned) {
            return None;
        }
        let mut replacing: BTreeSet<UnitName> = replaced.iter().cloned().collect();
        replacing.retain(is_leaving);
        if !has_contents {
            replacing.extend(self.excluded_and_leaving(unit, machine));
        }
        Some(Target {
            hash: hash.to_owned(),
            desired: record.desired,
            replacing: replacing.into_iter().collect(),
        })
    }

    /// Units that may still be on a machine, shall not be, and may not meet this one.
    pub(super) fn excluded_and_leaving(&self, unit: &Unit, machine: &MachineId) -> Vec<UnitName> {
        let leaving = self.leaving.get(machine).into_iter().flatten();
        leaving
            .filter(|name| self.excludes(unit, name))
            .map(|name| (*name).clone())
            .collect()
    }

    /// Whether one of two units excludes the other.
    fn excludes(&self, unit: &Unit, other: &UnitName) -> bool {
        let says = |one: &Unit, name: &UnitName| {
            let mut globs = one.options.conflicts.iter().chain(one.options.replaces());
            globs.any(|glob| glob.matches(name.as_str()))
        };
        let its = self.mirror.view().unit(other);
        let either = says(unit, other) || its.is_some_and(|its| says(its, &unit.name));
        *other != unit.name && either
    }
}
