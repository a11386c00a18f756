//! Units: lists, single ones, creation, replacement, destruction, moves, explanations.
//!
//! Each change is one transaction on the record that it was decided from; if that changed meanwhile it
//! is decided again.

use std::path::Path;

use fleet_api::{MoveRequest, Unit, UnitPage};
use fleet_model::{MachineId, State};
use fleet_store::{
    Condition, Contents, DropInText, KeyValue, Keys, Moving, Operation, Outcome, Rollout, Store,
    Transaction, UnitRecord, Value,
};
use hyper::StatusCode;
use systemd_unit::{NameKind, UnitName};

use super::answer::{Answer, Refused, empty, json};
use super::api::{Api, store_failed};
use super::query::Query;

/// How often a change is decided again because another came between.
const TRIES: u32 = 8;
/// The longest text of a unit with its drop-ins: a transaction with it must fit into the store's requests.
const TEXT_BYTES_MAX: usize = 512 << 10;

/// A unit's record as it was read.
struct Read {
    record: UnitRecord,
    pair: KeyValue,
}

impl<S: Store> Api<S> {
    /// `GET /units`
    pub(super) async fn list_units(&self, query: &Query) -> Result<Answer, Refused> {
        let page = query.page(self.page_limit)?;
        let copy = self.copy().await?;
        let mut all = {
            let records = copy.records.read();
            let units = records.units();
            page.take(units)
        };
        for unit in &mut all.entries {
            unit.current_state = unit.current_state.or(Some(State::Inactive));
        }
        let answer = UnitPage {
            next_page_token: all.next,
            units: all.entries,
        };
        Ok(json(StatusCode::OK, &answer))
    }

    /// `GET /units/NAME`
    pub(super) async fn get_unit(&self, name: &str) -> Result<Answer, Refused> {
        let name = existing_name(name)?;
        let copy = self.copy().await?;
        let records = copy.records.read();
        let mut unit = records.unit(&name).ok_or_else(no_unit)?;
        if records.is_global(&name) {
            unit.current_state = None;
        }
        Ok(json(StatusCode::OK, &unit))
    }

    /// `PUT /units/NAME`
    pub(super) async fn put_unit(&self, name: &str, sent: Unit) -> Result<Answer, Refused> {
        if !sent.name.is_empty() && sent.name != name {
            let text = "name in URL differs from unit name in request body";
            return Err(Refused::bad_request(text));
        }
        let name = UnitName::new(name).map_err(|error| Refused::bad_request(error.to_string()))?;
        let desired = sent.desired_state;
        if name.kind() == NameKind::Template
            && desired.is_some_and(|state| state != State::Inactive)
        {
            let text = format!("cannot activate template {name}");
            return Err(Refused::bad_request(text));
        }
        let new = new_contents(&name, &sent)?;
        if sent.rollout.is_some() {
            self.check_rollout(&name).await?;
        }
        for _ in 0..TRIES {
            let read = self.read_unit(&name).await?;
            let change = put_change(read.as_ref(), new.as_ref(), desired, sent.rollout.as_ref())?;
            let Some((status, record)) = change else {
                return Ok(empty(StatusCode::NO_CONTENT));
            };
            let condition = self.unchanged(&name, read.as_ref());
            let mut transaction = Transaction {
                conditions: vec![condition],
                operations: Vec::new(),
            };
            if let Some((hash, contents)) = new.as_ref().filter(|_| status == StatusCode::CREATED) {
                let key = self.layout.contents(hash);
                transaction
                    .operations
                    .push(Operation::put(key, contents.to_bytes()));
            }
            let put = Operation::put(self.layout.unit(&name), record.to_bytes());
            transaction.operations.push(put);
            if self.commit(transaction).await? {
                return Ok(empty(status));
            }
        }
        Err(contended(&name))
    }

    /// What goes on elsewhere has to be global as well: anything else may be on one machine only.
    async fn check_rollout(&self, name: &UnitName) -> Result<(), Refused> {
        let copy = self.copy().await?;
        let records = copy.records.read();
        if records.is_global(name) {
            return Ok(());
        }
        let text =
            format!("unit {name} is not there, or not global: there is nothing to roll out over");
        Err(Refused::conflict(text))
    }

    /// `DELETE /units/NAME`
    pub(super) async fn delete_unit(&self, name: &str) -> Result<Answer, Refused> {
        let name = existing_name(name)?;
        for _ in 0..TRIES {
            let read = self.read_unit(&name).await?.ok_or_else(no_unit)?;
            let condition = self.unchanged(&name, Some(&read));
            let delete = Operation::Delete(self.layout.unit(&name));
            if self.commit(Transaction::new(condition, delete)).await? {
                return Ok(empty(StatusCode::NO_CONTENT));
            }
        }
        Err(contended(&name))
    }

    /// `GET /units/NAME/explain`
    pub(super) async fn explain_unit(&self, name: &str) -> Result<Answer, Refused> {
        let name = existing_name(name)?;
        let copy = self.copy().await?;
        let explanation = copy.records.read().explain(&name);
        Ok(json(StatusCode::OK, &explanation.ok_or_else(no_unit)?))
    }

    /// `POST /explain`
    pub(super) async fn explain_unstored(&self, sent: Unit) -> Result<Answer, Refused> {
        let bad = |error: &dyn std::fmt::Display| Refused::bad_request(error.to_string());
        let name = UnitName::new(sent.name.as_str()).map_err(|error| bad(&error))?;
        new_contents(&name, &sent)?;
        let copy = self.copy().await?;
        let found = copy.records.read().explain_unstored(&name, &sent);
        let explanation = found.map_err(|error| bad(&error))?.ok_or_else(no_unit)?;
        Ok(json(StatusCode::OK, &explanation))
    }

    /// `POST /units/NAME/move`
    pub(super) async fn move_unit(&self, name: &str, sent: MoveRequest) -> Result<Answer, Refused> {
        let name = existing_name(name)?;
        let to = (!sent.machine_id.is_empty()).then(|| MachineId::new(sent.machine_id));
        for _ in 0..TRIES {
            let mut read = self.read_unit(&name).await?.ok_or_else(no_unit)?;
            let from = self.may_move(&name, to.as_ref()).await?;
            let to = to.clone();
            read.record.moving = Some(Moving { from, to });
            let condition = self.unchanged(&name, Some(&read));
            let put = Operation::put(self.layout.unit(&name), read.record.to_bytes());
            if self.commit(Transaction::new(condition, put)).await? {
                return Ok(empty(StatusCode::NO_CONTENT));
            }
        }
        Err(contended(&name))
    }

    /// The machine that a unit can leave.
    async fn may_move(
        &self,
        name: &UnitName,
        to: Option<&MachineId>,
    ) -> Result<MachineId, Refused> {
        let copy = self.copy().await?;
        let records = copy.records.read();
        if records.is_global(name) {
            let text = format!("unit {name} is global: it is on every machine that can take it");
            return Err(Refused::conflict(text));
        }
        let place = records.place(name);
        let from =
            place.ok_or_else(|| Refused::conflict(format!("unit {name} is on no machine")))?;
        if to == Some(from) {
            return Err(Refused::conflict(format!("unit {name} is there already")));
        }
        let can_move = records.can_move(name, from, to);
        can_move.map_err(|why| {
            Refused::conflict(format!("unit {name} cannot leave its machine: {why}"))
        })?;
        Ok(from.clone())
    }

    async fn read_unit(&self, name: &UnitName) -> Result<Option<Read>, Refused> {
        let key = Keys::One(self.layout.unit(name));
        let found = self.store.range(key).await;
        let found = found.map_err(|error| store_failed(&error))?;
        let Some(pair) = found.pairs.into_iter().next() else {
            return Ok(None);
        };
        let record = UnitRecord::from_pair(&pair)
            .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        Ok(Some(Read { record, pair }))
    }

    fn unchanged(&self, name: &UnitName, read: Option<&Read>) -> Condition {
        let key = self.layout.unit(name);
        match read {
            Some(read) => Condition::ModifiedAt(key, read.pair.mod_revision),
            None => Condition::Absent(key),
        }
    }

    /// Whether it was done; if so it can be seen from now on.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<bool, Refused> {
        let outcome = self.store.transact(transaction).await;
        match outcome.map_err(|error| store_failed(&error))? {
            Outcome::Committed(revision) => {
                self.mirror.catch_up(revision).await;
                Ok(true)
            }
            Outcome::ConditionFailed(_) => Ok(false),
        }
    }
}

/// What a PUT makes of a unit, and the status that says so; nothing if it is so already.
fn put_change(
    read: Option<&Read>,
    new: Option<&(String, Contents)>,
    desired: Option<State>,
    rollout: Option<&fleet_api::Rollout>,
) -> Result<Option<(StatusCode, UnitRecord)>, Refused> {
    let Some(read) = read else {
        let Some((hash, _)) = new else {
            let text = "unit does not exist and options field empty";
            return Err(Refused::conflict(text));
        };
        let record = UnitRecord {
            hash: hash.clone(),
            desired: desired.unwrap_or(State::Inactive),
            moving: None,
            rollout: None,
            other: serde_json::Map::new(),
        };
        return Ok(Some((StatusCode::CREATED, record)));
    };
    let Some(desired) = desired else {
        let text = "must provide DesiredState to update existing unit";
        return Err(Refused::conflict(text));
    };
    let mut record = read.record.clone();
    let is_replaced = new.is_some_and(|(hash, _)| *hash != record.hash);
    if let Some((hash, _)) = new {
        record.rollout = rollout_of(&read.record, hash, rollout);
        record.hash.clone_from(hash);
    }
    record.desired = desired;
    if record == read.record {
        return Ok(None);
    }
    let status = if is_replaced {
        StatusCode::CREATED
    } else {
        StatusCode::NO_CONTENT
    };
    Ok(Some((status, record)))
}

/// What is rolled out once a unit gets contents; nothing if all machines get them.
fn rollout_of(
    before: &UnitRecord,
    hash: &str,
    asked: Option<&fleet_api::Rollout>,
) -> Option<Rollout> {
    let asked = asked?;
    // One that is under way has brought what it brings to some machines only.
    let from = match &before.rollout {
        Some(rollout) => rollout.from.clone(),
        None => before.hash.clone(),
    };
    let machines = asked.machines.iter().map(MachineId::new).collect();
    (from != hash).then_some(Rollout { from, machines })
}

/// Judges options that were sent; nothing if there are none.
fn new_contents(name: &UnitName, sent: &Unit) -> Result<Option<(String, Contents)>, Refused> {
    let bad = |error: &dyn std::fmt::Display| Refused::bad_request(format!("{name}: {error}"));
    if sent.options.is_empty() {
        if !sent.drop_ins.is_empty() {
            return Err(bad(&"drop-ins are sent together with all options"));
        }
        if sent.rollout.is_some() {
            return Err(bad(&"a rollout is sent together with all options"));
        }
        return Ok(None);
    }
    let options = sent.fleet_options(name).map_err(|error| bad(&error))?;
    if sent.rollout.is_some() && !options.is_global() {
        return Err(bad(&"only a global unit is rolled out by machines"));
    }
    let file = sent.to_file().map_err(|error| bad(&error))?;
    let mut contents = Contents {
        file: file.text().to_owned(),
        drop_ins: Vec::new(),
    };
    let mut length = contents.file.len();
    for drop_in in &sent.drop_ins {
        if !is_drop_in_name(&drop_in.name) {
            let text = format!(
                "`{}` is no name of a drop-in, such as 10-memory.conf",
                drop_in.name
            );
            return Err(bad(&text));
        }
        let file = drop_in.to_file().map_err(|error| bad(&error))?;
        length += file.text().len();
        contents.drop_ins.push(DropInText {
            name: drop_in.name.clone(),
            file: file.text().to_owned(),
        });
    }
    if length > TEXT_BYTES_MAX {
        let text = format!("it has {length} bytes, and may have {TEXT_BYTES_MAX}");
        return Err(bad(&text));
    }
    let hash = sent.hash().map_err(|error| bad(&error))?;
    Ok(Some((hash, contents)))
}

fn is_drop_in_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "_.-@".contains(c);
    name.len() <= 255
        && Path::new(name).extension() == Some("conf".as_ref())
        && !name.starts_with('.')
        && name.chars().all(is_good)
}

/// A name that is none belongs to no unit.
pub(super) fn existing_name(name: &str) -> Result<UnitName, Refused> {
    UnitName::new(name).map_err(|_| no_unit())
}

pub(super) fn no_unit() -> Refused {
    Refused::not_found("unit does not exist")
}

fn contended(name: &UnitName) -> Refused {
    let text = format!("unit {name} was changed by others again and again; try once more");
    Refused::not_now(text)
}
