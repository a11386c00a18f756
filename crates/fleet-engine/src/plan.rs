//! Steps from decisions: what is written, and on what it depends.
//!
//! A step names the revisions of all that was looked at and that others may change: the unit, the machine's
//! life, the target. What only the leader changes is held by the leader's own condition.
//!
//! A unit that is not global must never have two targets that machines can act on. So all that a round decides on it
//! is one step, and what is taken from a living machine is given to another only in a later round: until the
//! target is gone, its machine may still say that it has the unit.

mod targets;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fleet_model::{Decision, MachineId, Removal, Schedule, State, Unit};
use fleet_store::{Condition, Layout, Operation, Target, UnitRecord, Value};
use systemd_unit::UnitName;

use crate::batch::Step;
use crate::mirror::{Mirror, Record, Stored, UnitEntry};

/// Steps in the order in which they are to be made.
pub(crate) fn plan(mirror: &Mirror, schedule: &Schedule) -> Vec<Step> {
    let unchanged = taken_and_given_back(&schedule.decisions);
    let is_change = |decision: &&Decision| {
        let mut places = places(decision);
        !places.any(|place| unchanged.contains(&place))
    };
    let decisions: Vec<&Decision> = schedule.decisions.iter().filter(is_change).collect();
    let mut planner = Planner {
        mirror,
        layout: mirror.layout(),
        decided: HashSet::new(),
        leaving: BTreeMap::new(),
        unchanged,
        steps: Vec::new(),
    };
    planner.look_at(&decisions);
    planner.carry_out(&decisions);
    planner.update_targets();
    planner.finish_moves();
    planner.remove_strays();
    if planner.steps.is_empty() {
        planner.collect_garbage();
    }
    planner.steps
}

struct Planner<'m> {
    mirror: &'m Mirror,
    layout: &'m Layout,
    /// Targets that decisions are about.
    decided: HashSet<(&'m UnitName, &'m MachineId)>,
    /// For each machine the units that may still be there and shall not be.
    leaving: BTreeMap<&'m MachineId, BTreeSet<&'m UnitName>>,
    /// Places that units lose and get again at once.
    unchanged: HashSet<(&'m UnitName, &'m MachineId)>,
    steps: Vec<Step>,
}

/// What is decided on a unit that is not global, and on those it replaces.
#[derive(Default)]
struct Group {
    removals: Step,
    placement: Step,
}

impl<'m> Planner<'m> {
    /// Notes which targets will go and change.
    fn look_at(&mut self, decisions: &[&'m Decision]) {
        self.decided = decisions.iter().flat_map(|one| places(one)).collect();
        for (name, entry) in self.mirror.units() {
            let untargeted = entry.present.keys();
            let untargeted = untargeted.filter(|machine| !entry.targets.contains_key(*machine));
            for machine in untargeted {
                self.leaving.entry(machine).or_default().insert(name);
            }
        }
        for decision in decisions {
            if let Some((unit, machine)) = removal(decision) {
                self.leaving.entry(machine).or_default().insert(unit);
            }
        }
    }

    fn carry_out(&mut self, decisions: &[&'m Decision]) {
        let early = self.too_early(decisions);
        let mut groups: Vec<Group> = Vec::new();
        let mut index: HashMap<&UnitName, usize> = HashMap::new();
        for decision in decisions {
            let owner = owner(decision);
            let group = if self.is_global(owner) {
                None
            } else {
                index.get(owner).copied()
            };
            let at = group.unwrap_or_else(|| {
                index.insert(owner, groups.len());
                groups.push(Group::default());
                groups.len() - 1
            });
            if let Some((unit, machine)) = removal(decision) {
                groups[at].removals.merge(self.remove(unit, machine));
            }
            if let Some(machine) = decision.target()
                && !early.contains(decision.unit())
            {
                let step = self.place(decision, machine);
                groups[at].placement.merge(step);
            }
        }
        self.steps.extend(groups.into_iter().map(Group::into_step));
        self.steps.retain(|step| !step.operations.is_empty());
    }

    /// Units that are to be placed only in a later round: those taken from a living machine now, and those
    /// that have to be with them.
    fn too_early(&self, decisions: &[&'m Decision]) -> HashSet<&'m UnitName> {
        let removals = decisions.iter().filter_map(|one| removal(one));
        let is_alive = |id: &MachineId| self.mirror.alive_since(id).is_some();
        let mut early: HashSet<&UnitName> = removals
            .filter(|(unit, machine)| is_alive(machine) && !self.is_global(unit))
            .map(|(unit, _)| unit)
            .collect();
        // A unit comes after those it has to be with.
        for decision in decisions {
            let unit = self.mirror.view().unit(decision.unit());
            let mut peers = unit.into_iter().flat_map(|unit| unit.options.machine_of());
            if peers.any(|peer| early.contains(peer)) {
                early.insert(decision.unit());
            }
        }
        early
    }

    fn is_global(&self, name: &UnitName) -> bool {
        let unit = self.mirror.view().unit(name);
        unit.is_some_and(|unit| unit.options.is_global())
    }

    fn remove(&self, name: &UnitName, machine: &MachineId) -> Step {
        let Some(entry) = self.mirror.unit(name) else {
            return Step::default();
        };
        let key = self.layout.target(machine, name);
        let target = entry.targets.get(machine);
        let mut conditions = vec![self.unit_is(name, entry)];
        conditions.extend(target.map(|target| Condition::ModifiedAt(key.clone(), target.revision)));
        Step {
            conditions,
            operations: vec![Operation::Delete(key)],
        }
    }

    fn place(&self, decision: &Decision, machine: &MachineId) -> Step {
        let name = decision.unit();
        let (unit, entry) = (self.mirror.view().unit(name), self.mirror.unit(name));
        let record = entry.and_then(UnitEntry::known);
        let alive = self.mirror.alive_since(machine);
        let (Some(unit), Some(entry), Some(record), Some(alive)) = (unit, entry, record, alive)
        else {
            return Step::default(); // what is placed is known, and on a living machine
        };
        let key = self.layout.target(machine, name);
        let mut conditions = vec![
            self.unit_is(name, entry),
            Condition::CreatedAt(self.layout.alive(machine), alive),
            Condition::Absent(key.clone()),
        ];
        conditions.extend(self.lost_are_lost(unit));
        let target = Target {
            hash: record.value.hash_on(machine).to_owned(),
            desired: record.value.desired,
            // Those it replaces are among them: they are taken away in this round, or were before.
            replacing: self.excluded_and_leaving(unit, machine),
        };
        let mut operations = vec![Operation::put(key, target.to_bytes())];
        operations.extend(self.without_move(name, &record.value));
        Step {
            conditions,
            operations,
        }
    }

    /// The unit is as it was when it was decided on.
    fn unit_is(&self, name: &UnitName, entry: &UnitEntry) -> Condition {
        let key = self.layout.unit(name);
        match &entry.record {
            Record::Absent => Condition::Absent(key),
            Record::Unreadable(revision) | Record::Known(Stored { revision, .. }) => {
                Condition::ModifiedAt(key, *revision)
            }
        }
    }

    /// Machines that are lost and may still have the unit have not come back: one that had could start
    /// it again, as it still sees its target.
    fn lost_are_lost(&self, unit: &Unit) -> Vec<Condition> {
        if unit.options.is_global() {
            return Vec::new();
        }
        let machines: BTreeSet<&MachineId> = unit.placed_on.union(&unit.present_on).collect();
        let lost = machines.into_iter();
        lost.filter(|id| self.mirror.alive_since(id).is_none())
            .map(|id| Condition::Absent(self.layout.alive(id)))
            .collect()
    }

    fn without_move(&self, name: &UnitName, record: &UnitRecord) -> Option<Operation> {
        record.moving.as_ref()?;
        let record = UnitRecord {
            moving: None,
            ..record.clone()
        };
        Some(Operation::put(self.layout.unit(name), record.to_bytes()))
    }

    /// Moves that are over, or that nobody can make.
    fn finish_moves(&mut self) {
        let mut steps = Vec::new();
        let busy: HashSet<&UnitName> = self.decided.iter().map(|(unit, _)| *unit).collect();
        for (name, entry, unit, record) in self.units_in_view() {
            let Some(moving) = &record.value.moving else {
                continue;
            };
            let has_left = !entry.targets.is_empty() && !entry.targets.contains_key(&moving.from);
            let is_over = has_left
                || unit.desired == State::Inactive
                || unit.options.is_global()
                || self.unchanged.contains(&(name, &moving.from));
            if is_over && !busy.contains(name) {
                steps.push(Step {
                    conditions: vec![self.unit_is(name, entry)],
                    operations: self.without_move(name, &record.value).into_iter().collect(),
                });
            }
        }
        self.steps.extend(steps);
    }

    /// Targets of units of which nothing else is known any more.
    fn remove_strays(&mut self) {
        for (name, entry) in self.mirror.units() {
            let is_gone = matches!(entry.record, Record::Absent);
            if is_gone && self.mirror.view().unit(name).is_none() {
                for machine in entry.targets.keys() {
                    self.steps.push(self.remove(name, machine));
                }
            }
        }
    }

    fn collect_garbage(&mut self) {
        for (hash, revision) in self.mirror.unused_contents() {
            let key = self.layout.contents(hash);
            self.steps.push(Step {
                conditions: vec![Condition::ModifiedAt(key.clone(), revision)],
                operations: vec![Operation::Delete(key)],
            });
        }
    }

    /// Units that the model knows and that are not destroyed.
    fn units_in_view(
        &self,
    ) -> impl Iterator<
        Item = (
            &'m UnitName,
            &'m UnitEntry,
            &'m Unit,
            &'m Stored<UnitRecord>,
        ),
    > + use<'m> {
        let mirror = self.mirror;
        let units = mirror.units();
        units.filter_map(|(name, entry)| {
            Some((name, entry, mirror.view().unit(name)?, entry.known()?))
        })
    }
}

impl Group {
    /// Both together; if that is too much, what has to go goes first.
    fn into_step(self) -> Step {
        let mut both = self.removals.clone();
        both.merge(self.placement);
        if both.fits() { both } else { self.removals }
    }
}

/// The unit whose step a decision belongs to.
fn owner(decision: &Decision) -> &UnitName {
    match decision {
        Decision::Remove {
            reason: Removal::ReplacedBy(by),
            ..
        } => by,
        other => other.unit(),
    }
}

/// The place that a unit loses.
fn removal(decision: &Decision) -> Option<(&UnitName, &MachineId)> {
    match decision {
        Decision::Remove { unit, machine, .. } => Some((unit, machine)),
        Decision::Move { unit, from, .. } => Some((unit, from)),
        Decision::Place { .. } => None,
    }
}

/// The places that a unit loses or gets.
fn places(decision: &Decision) -> impl Iterator<Item = (&UnitName, &MachineId)> {
    let given = decision.target().map(|machine| (decision.unit(), machine));
    removal(decision).into_iter().chain(given)
}

/// Places that a unit loses and gets again in one round: nothing has to be written.
fn taken_and_given_back(decisions: &[Decision]) -> HashSet<(&UnitName, &MachineId)> {
    let taken: HashSet<_> = decisions.iter().filter_map(removal).collect();
    let given = decisions.iter();
    let given = given.filter_map(|one| Some((one.unit(), one.target()?)));
    given.filter(|place| taken.contains(place)).collect()
}

#[cfg(test)]
mod tests;
