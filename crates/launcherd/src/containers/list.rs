//! Containers looked at: lists, one of them, and those that are over removed.

use std::sync::Arc;

use container_model::network::Connection;
use container_network::Networks;
use engine_api::container_answer::{self, FILTERS};
use engine_api::filters::Filters;
use engine_api::query::Query;
use engine_api::state::UnitState;
use engine_api::{ApiError, Record, State};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::{self, Answer, internal};
use crate::engine::Engine;
use crate::health;
use crate::records::unit_name;

/// `json`: those that run, or all.
pub(crate) async fn list(engine: &Engine, query: &Query) -> Answer {
    let filters = Filters::parse(query.text("filters"), FILTERS)?;
    let limit = query
        .number("limit")?
        .and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0);
    let asks_for_some =
        !filters.values("status").is_empty() || !filters.values("exited").is_empty();
    let all = query.flag("all") || limit.is_some() || asks_for_some;
    let range = range(engine, &filters)?;
    let now = Timestamp::now();
    let connections = connections();
    let mut containers = Vec::new();
    for (record, state) in states(engine).await? {
        let is_in_range = range.0.is_none_or(|since| record.created > since)
            && range.1.is_none_or(|before| record.created < before);
        if is_in_range && (all || state.is_alive()) {
            let health = health::of(engine, &record, &state).await;
            containers.push((record, state, health));
        }
    }
    let wanted = containers.iter().filter(|(record, state, health)| {
        container_answer::is_wanted(record, state, health.as_ref(), &filters)
    });
    let entries: Vec<Value> = wanted
        .take(limit.unwrap_or(usize::MAX))
        .map(|(record, state, health)| {
            let own = of_container(&connections, record);
            container_answer::list_entry(record, state, health.as_ref(), &own, now)
        })
        .collect();
    answer::json(&Value::Array(entries))
}

/// Who is in which networks now; nobody if that cannot be read, which whoever starts a container is told.
pub(crate) fn connections() -> Vec<Connection> {
    Networks::default().connections().unwrap_or_default()
}

/// Those of one container.
pub(crate) fn of_container<'a>(all: &'a [Connection], record: &Record) -> Vec<&'a Connection> {
    let is_its = |one: &&Connection| one.container.as_str() == record.id;
    all.iter().filter(is_its).collect()
}

/// All containers with their states, newest first.
pub(crate) async fn states(engine: &Engine) -> Result<Vec<(Record, State)>, ApiError> {
    let units = engine.systemd.units().await;
    let units = units.map_err(|error| internal(&error))?;
    let unknown = UnitState::unknown();
    let mut all: Vec<(Record, State)> = engine
        .records
        .all()
        .into_iter()
        .map(|record| {
            let unit = units.get(&unit_name(&record.id)).unwrap_or(&unknown);
            let state = engine.state_of(&record, unit);
            (record, state)
        })
        .collect();
    all.sort_by_key(|(record, _)| std::cmp::Reverse(record.created));
    Ok(all)
}

/// The times of the containers that `since` and `before` name.
fn range(engine: &Engine, filters: &Filters) -> Result<(Option<u64>, Option<u64>), ApiError> {
    let time = |name: &str| match filters.values(name).first() {
        Some(text) => engine.records.find(text).map(|record| Some(record.created)),
        None => Ok(None),
    };
    Ok((time("since")?, time("before")?))
}

/// All of one.
pub(crate) async fn inspect(engine: &Engine, record: &Record) -> Answer {
    let unit = unit_name(&record.id);
    let state = engine.state(record).await?;
    let failed = engine
        .systemd
        .unit(&unit)
        .await
        .is_ok_and(|unit| unit.active == "failed");
    let problem = if failed && state.exit_code() >= 125 {
        engine.systemd.status_text(&unit).await
    } else {
        String::new()
    };
    let restarts = engine.systemd.restarts(&unit).await;
    let health = health::of(engine, record, &state).await;
    let connections = connections();
    let own = of_container(&connections, record);
    let mut answer =
        container_answer::inspect(record, &state, health.as_ref(), &own, &problem, restarts);
    let running = engine.executions.running(&record.id);
    if !running.is_empty() {
        answer["ExecIDs"] = json!(running);
    }
    answer::json(&answer)
}

/// Removes what does not run.
pub(crate) async fn prune(engine: &Arc<Engine>, query: &Query) -> Answer {
    let filters = Filters::parse(query.text("filters"), &["label", "label!"])?;
    let mut deleted = Vec::new();
    for (record, state) in states(engine).await? {
        if !state.is_alive() && filters.allows_labels(&record.labels) {
            super::remove(engine, &record).await?;
            deleted.push(record.id);
        }
    }
    answer::json(&json!({"ContainersDeleted": deleted, "SpaceReclaimed": 0}))
}
