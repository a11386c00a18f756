//! Records as the scheduler's view, to explain where a unit could run.
//!
//! The engine keeps a view of its own; nothing is decided by this one.

use std::collections::BTreeMap;

use fleet_api::{Explanation, Unit};
use fleet_model::{
    Availability, Explanation as ModelExplanation, Fence, Machine, MachineId, OptionError, State,
    View, explain,
};
use systemd_unit::UnitName;

use super::records::{MachineEntry, Records, UnitEntry};

impl Records {
    /// Where a unit could run; nothing if it is not there.
    pub(crate) fn explain(&self, name: &UnitName) -> Option<Explanation> {
        self.units.get(name)?.record.as_ref()?;
        self.explained(&self.view(), name)
    }

    /// Where a unit could run that is not stored, or not so.
    pub(crate) fn explain_unstored(
        &self,
        name: &UnitName,
        unit: &Unit,
    ) -> Result<Option<Explanation>, OptionError> {
        let options = unit.fleet_options(name)?;
        let desired = unit.desired_state.unwrap_or(State::Launched);
        let mut model = fleet_model::Unit::new(name.clone(), options, desired);
        if let Some(entry) = self.units.get(name) {
            place(&mut model, entry);
        }
        let mut view = self.view();
        view.insert_unit(model);
        Ok(self.explained(&view, name))
    }

    /// Whether a machine could take a unit that leaves another one; with a machine, whether that could.
    pub(crate) fn can_move(
        &self,
        name: &UnitName,
        from: &MachineId,
        to: Option<&MachineId>,
    ) -> Result<(), String> {
        let ModelExplanation::Machines(machines) = explain(&self.view(), name) else {
            return Err("it belongs on no machine".to_owned());
        };
        let others = machines.into_iter().filter(|(id, _)| id != from);
        let mut asked = others.filter(|(id, _)| to.is_none_or(|to| id == to));
        let mut why = match to {
            Some(to) => format!("there is no machine {to}"),
            None => "there is no other machine".to_owned(),
        };
        let can_take = asked.any(|(id, refusals)| {
            if let Some(first) = refusals.first() {
                why = format!("machine {}: {first}", id.short());
            }
            refusals.is_empty()
        });
        if can_take { Ok(()) } else { Err(why) }
    }

    fn explained(&self, view: &View, name: &UnitName) -> Option<Explanation> {
        let targets = self.units.get(name).map(|entry| &entry.targets);
        let is_placed = |id: &MachineId| targets.is_some_and(|targets| targets.contains_key(id));
        let mut explanation = Explanation::from_model(explain(view, name), is_placed)?;
        explanation.set_problems(|id| self.problem(&MachineId::new(id), name));
        Some(explanation)
    }

    fn view(&self) -> View {
        let mut view = View::default();
        for (id, entry) in &self.machines {
            if let Some(machine) = machine(id, entry) {
                view.insert_machine(machine);
            }
        }
        for (name, entry) in &self.units {
            if let Some(unit) = self.model_unit(name, entry) {
                view.insert_unit(unit);
            }
        }
        view
    }

    fn model_unit(&self, name: &UnitName, entry: &UnitEntry) -> Option<fleet_model::Unit> {
        let record = entry.record.as_ref()?;
        let contents = self.contents.get(&record.hash)?;
        let unit = Unit {
            options: contents.options.clone(),
            drop_ins: contents.drop_ins.clone(),
            ..Unit::default()
        };
        let options = unit.fleet_options(name).ok()?;
        let mut model = fleet_model::Unit::new(name.clone(), options, record.desired);
        place(&mut model, entry);
        Some(model)
    }
}

fn place(unit: &mut fleet_model::Unit, entry: &UnitEntry) {
    unit.placed_on = entry.targets.keys().cloned().collect();
    unit.present_on = entry.present.keys().cloned().collect();
}

/// A machine that left in order is no more.
fn machine(id: &MachineId, entry: &MachineEntry) -> Option<Machine> {
    let record = entry.record.as_ref();
    let availability = match (&entry.alive, record) {
        (Some(_), _) => entry.settings.availability.into(),
        (None, Some(record)) if record.lease.is_some() => Availability::Lost(Fence::Pending),
        (None, _) => return None,
    };
    Some(Machine {
        id: id.clone(),
        metadata: record.map_or_else(BTreeMap::new, |record| {
            record.metadata_under(&entry.settings)
        }),
        capacity: record.map(|record| record.capacity).unwrap_or_default(),
        availability,
    })
}
