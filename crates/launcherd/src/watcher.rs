//! Hears of every unit of a container that changes: tells of its beginning and end, wakes whoever waits, and
//! removes containers that go when they end.
//!
//! What happened while no launcherd ran is found out at the start, and nothing is told of it.

use std::collections::HashMap;
use std::sync::Arc;

use container_model::run_record::RunRecord;
use engine_api::Record;
use engine_api::event::Event;
use tokio::sync::broadcast::error::RecvError;

use crate::clock;
use crate::containers;
use crate::engine::{Change, Engine};
use crate::health::{self, Known};
use crate::systemd::Signal;

/// Watches for ever; it returns when that is not possible any more.
pub(crate) async fn run(engine: Arc<Engine>) -> anyhow::Error {
    let mut signals = engine.systemd.signals();
    let mut seen = HashMap::new();
    for record in engine.records.all() {
        if let Some(run) = engine.records.last_run(&record.id) {
            health::follow(&engine, &record, &run, Known::No);
            seen.insert(record.id.clone(), run);
            remove_if_over(&engine, record);
        }
    }
    loop {
        let signal = tokio::select! {
            signal = signals.recv() => signal,
            () = engine.systemd.broken() => {
                return anyhow::anyhow!("the connection to systemd broke");
            }
        };
        match signal {
            Ok(Signal::Changed { id }) => look(&engine, &mut seen, &id),
            Ok(Signal::JobRemoved { .. }) => {}
            Err(RecvError::Lagged(_)) => {
                for record in engine.records.all() {
                    look(&engine, &mut seen, &record.id);
                }
            }
            Err(RecvError::Closed) => return anyhow::anyhow!("the connection to systemd broke"),
        }
    }
}

/// Compares a container's last run with what was known of it.
fn look(engine: &Arc<Engine>, seen: &mut HashMap<String, RunRecord>, id: &str) {
    let Some(record) = engine.records.get(id) else {
        seen.remove(id);
        return;
    };
    let _waiting = engine.changes.send(Change::Unit { id: id.to_owned() });
    let Some(run) = engine.records.last_run(id) else {
        return;
    };
    let before = seen.insert(id.to_owned(), run.clone());
    let is_new = before
        .as_ref()
        .is_none_or(|before| before.number != run.number);
    let was_over = !is_new && before.is_some_and(|before| before.ended.is_some());
    if is_new {
        engine.tell("start", &record);
    }
    health::follow(engine, &record, &run, Known::FromTheStart);
    if let Some(end) = run.ended.filter(|_| !was_over) {
        let event = Event::of_container("die", &record, clock::now());
        engine
            .events
            .tell(event.with("exitCode", end.code.to_string()));
        let _waiting = engine.changes.send(Change::Ended {
            id: id.to_owned(),
            code: end.code,
        });
    }
    remove_if_over(engine, record);
}

/// Removes a container that goes when it ends, if it has ended and systemd is done with its unit.
fn remove_if_over(engine: &Arc<Engine>, record: Record) {
    if !record.is_removed_at_end {
        return;
    }
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let unit = engine
            .systemd
            .unit(&crate::records::unit_name(&record.id))
            .await;
        let run = engine.records.last_run(&record.id);
        if run.is_some() && unit.is_ok_and(|unit| unit.is_over()) {
            let removed = containers::remove(&engine, &record).await;
            if let Err(error) = removed.map_err(|error| error.message) {
                tracing::warn!("{} is not removed: {error}", record.name);
            }
        }
    });
}
