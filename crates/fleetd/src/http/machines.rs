//! Machines, their metadata and availability, and the states of units on them.

use std::collections::BTreeMap;

use fleet_api::{
    Availability, AvailabilityRequest, MachinePage, MachinePatch, PatchOperation, StatePage,
};
use fleet_model::MachineId;
use fleet_store::{
    Condition, KeyValue, Keys, MachineAvailability, MachineSettings, Operation, Store, Transaction,
    Value,
};
use hyper::StatusCode;

use super::answer::{Answer, Refused, empty, json};
use super::api::{Api, store_failed};
use super::query::Query;
use super::units::existing_name;

/// How often a change is made again because another came between.
const TRIES: u32 = 8;

impl<S: Store> Api<S> {
    /// `GET /machines`
    pub(super) async fn list_machines(&self, query: &Query) -> Result<Answer, Refused> {
        let page = query.page(self.page_limit)?;
        let copy = self.copy().await?;
        let taken = page.take(copy.records.read().machines());
        let answer = MachinePage {
            machines: taken.entries,
            next_page_token: taken.next,
        };
        Ok(json(StatusCode::OK, &answer))
    }

    /// `GET /state`
    pub(super) async fn list_states(&self, query: &Query) -> Result<Answer, Refused> {
        let page = query.page(self.page_limit)?;
        let (unit, machine) = (query.get("unitName"), query.get("machineID"));
        let copy = self.copy().await?;
        let records = copy.records.read();
        let states = records.states().filter(|state| {
            unit.is_none_or(|name| state.name == name)
                && machine.is_none_or(|id| state.machine_id == id)
        });
        let taken = page.take(states);
        let answer = StatePage {
            next_page_token: taken.next,
            states: taken.entries,
        };
        Ok(json(StatusCode::OK, &answer))
    }

    /// `GET /state/NAME`
    pub(super) async fn get_state(&self, name: &str) -> Result<Answer, Refused> {
        let none = || Refused::not_found("unit does not exist");
        let name = existing_name(name)?;
        let copy = self.copy().await?;
        let records = copy.records.read();
        let entry = records.units.get(&name).ok_or_else(none)?;
        let machine = entry.states.keys().next().ok_or_else(none)?;
        let state = records.state(machine, &name).ok_or_else(none)?;
        Ok(json(StatusCode::OK, &state))
    }

    /// `PATCH /machines`
    pub(super) async fn patch_machines(
        &self,
        sent: Vec<PatchOperation>,
    ) -> Result<Answer, Refused> {
        let mut changes: BTreeMap<MachineId, Vec<(String, String)>> = BTreeMap::new();
        for operation in sent {
            let patch = MachinePatch::try_from(operation)
                .map_err(|error| Refused::bad_request(error.to_string()))?;
            // Over what the machine itself says, nothing takes a key away.
            let (id, key, value) = match patch {
                MachinePatch::Set {
                    machine_id,
                    key,
                    value,
                } => (machine_id, key, value),
                MachinePatch::Remove { machine_id, key } => (machine_id, key, String::new()),
            };
            let of_machine = changes.entry(MachineId::new(id)).or_default();
            of_machine.push((key, value));
        }
        for (id, pairs) in changes {
            let change = |settings: &mut MachineSettings| settings.metadata.extend(pairs.clone());
            self.change_settings(&id, change).await?;
        }
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// `PUT /machines/ID/availability`
    pub(super) async fn put_availability(
        &self,
        id: &str,
        sent: AvailabilityRequest,
    ) -> Result<Answer, Refused> {
        let id = MachineId::new(id);
        let copy = self.copy().await?;
        let is_known = copy.records.read().machine(&id).is_some();
        if !is_known {
            return Err(Refused::not_found("machine does not exist"));
        }
        let availability = match sent.availability {
            Availability::Open => MachineAvailability::Open,
            Availability::Cordoned => MachineAvailability::Cordoned,
            Availability::Draining => MachineAvailability::Draining,
        };
        let change = |settings: &mut MachineSettings| settings.availability = availability;
        self.change_settings(&id, change).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn change_settings(
        &self,
        id: &MachineId,
        change: impl Fn(&mut MachineSettings),
    ) -> Result<(), Refused> {
        let key = self.layout.settings(id);
        for _ in 0..TRIES {
            let found = self.store.range(Keys::One(key.clone())).await;
            let found = found.map_err(|error| store_failed(&error))?;
            let pair: Option<KeyValue> = found.pairs.into_iter().next();
            let read = pair.as_ref().map(MachineSettings::from_pair).transpose();
            let mut settings = read
                .map_err(|error| {
                    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
                })?
                .unwrap_or_default();
            change(&mut settings);
            let condition = match &pair {
                Some(pair) => Condition::ModifiedAt(key.clone(), pair.mod_revision),
                None => Condition::Absent(key.clone()),
            };
            let put = Operation::put(key.clone(), settings.to_bytes());
            if self.commit(Transaction::new(condition, put)).await? {
                return Ok(());
            }
        }
        let text = format!("machine {id} was changed by others again and again; try once more");
        Err(Refused::not_now(text))
    }
}
