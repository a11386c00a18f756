//! Containers: made, started, stopped, changed, removed. What they are run with is `engine-api`'s to decide,
//! and systemd runs them.

mod creation;
mod hold;
mod list;
mod pause;
mod payload;
mod starting;
mod update;

use std::sync::Arc;
use std::time::Duration;

use container_model::name::Name;
use container_model::signal::Signal;
use engine_api::query::Query;
use engine_api::record::RestartPolicy;
use engine_api::{ApiError, Record, State};
use tokio::time::{Instant, sleep_until};

use crate::answer::{internal, of_store};
use crate::engine::{Change, Engine};
use crate::records::unit_name;

pub(crate) use creation::create;
pub(crate) use hold::release_all;
pub(crate) use list::{connections, inspect, list, of_container, prune, states};
pub(crate) use pause::{pause, unpause};
pub(crate) use starting::start;
pub(crate) use update::update;

const SIGKILL: u8 = 9;
/// For the end of what was killed.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// Stops a container: its stop signal, and SIGKILL after so many seconds; below zero never.
pub(crate) async fn stop(engine: &Engine, record: &Record, query: &Query) -> Result<(), ApiError> {
    let seconds = query.number("t")?.unwrap_or(i64::from(record.stop_timeout));
    let signal = signal(query, record.stop_signal)?;
    let _one_at_a_time = engine.lock(&record.id).await;
    let state = engine.state(record).await?;
    if !state.is_alive() {
        return Err(ApiError::not_modified());
    }
    stays_stopped(engine, record)?;
    let deadline = u64::try_from(seconds)
        .ok()
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let is_units = signal == record.stop_signal
        && u32::try_from(seconds).is_ok_and(|seconds| seconds <= record.stop_timeout);
    if !is_units {
        // systemd has its own idea of what is sent and how long it waits.
        end_payload(engine, record, &state, signal, deadline).await;
    }
    let stopping = stop_unit(engine, record);
    tokio::pin!(stopping);
    let stopped = tokio::select! {
        stopped = &mut stopping => stopped,
        () = until(deadline) => {
            payload::signal(&record.id, SIGKILL);
            stopping.await
        }
    };
    stopped?;
    was_asked_for(engine, record).await;
    engine.tell("stop", record);
    Ok(())
}

/// A container that was killed because somebody wanted that is no failed unit of the machine.
async fn was_asked_for(engine: &Engine, record: &Record) {
    engine.systemd.reset_failed(&unit_name(&record.id)).await;
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Sends a signal, and waits for the end of this run, or until it is time to kill.
async fn end_payload(
    engine: &Engine,
    record: &Record,
    state: &State,
    signal: u8,
    deadline: Option<Instant>,
) {
    let mut changes = engine.changes.subscribe();
    if !payload::signal(&record.id, signal) {
        return;
    }
    if state.is_paused() {
        // If it does not go on it is killed.
        let _thawed = pause::thaw(record).await;
    }
    loop {
        tokio::select! {
            () = until(deadline) => return,
            change = changes.recv() => match change {
                Ok(Change::Ended { id, .. }) if id == record.id => return,
                Ok(_) => {}
                Err(_) => return,
            },
        }
    }
}

async fn stop_unit(engine: &Engine, record: &Record) -> Result<(), ApiError> {
    let stopped = engine.systemd.stop(&unit_name(&record.id)).await;
    stopped.map_err(|error| internal(&error))
}

/// Of a container that somebody stopped; with `always` the next boot starts it all the same.
fn stays_stopped(engine: &Engine, record: &Record) -> Result<(), ApiError> {
    if record.restart == RestartPolicy::UnlessStopped {
        let done = engine.records.start_at_boot(&record.id, false);
        done.map_err(|error| internal(&error))?;
    }
    Ok(())
}

fn signal(query: &Query, otherwise: u8) -> Result<u8, ApiError> {
    let Some(text) = query.text("signal") else {
        return Ok(otherwise);
    };
    let signal = text.parse::<Signal>();
    signal
        .map(Signal::number)
        .map_err(|error| ApiError::bad_request(error.to_string()))
}

/// Stops it if it runs, and starts it.
pub(crate) async fn restart(
    engine: &Arc<Engine>,
    record: &Record,
    query: &Query,
) -> Result<(), ApiError> {
    match stop(engine, record, query).await {
        Err(error) if error.status != 304 => return Err(error),
        _ => {}
    }
    start(engine, record).await?;
    engine.tell("restart", record);
    Ok(())
}

/// Sends a signal. After one that ends a container systemd does not start it again.
pub(crate) async fn kill(engine: &Engine, record: &Record, query: &Query) -> Result<(), ApiError> {
    let signal = signal(query, SIGKILL)?;
    let is_running = || ApiError::conflict(format!("Container {} is not running", record.id));
    if !engine.state(record).await?.is_running() {
        return Err(is_running());
    }
    let ends = signal == SIGKILL || signal == record.stop_signal;
    if ends {
        stays_stopped(engine, record)?;
    }
    if !payload::signal(&record.id, signal) {
        return Err(is_running());
    }
    let event = engine_api::event::Event::of_container("kill", record, crate::clock::now());
    engine.events.tell(event.with("signal", signal.to_string()));
    if signal == SIGKILL || (ends && record.restart != RestartPolicy::No) {
        let stopped = tokio::time::timeout(AFTER_KILL, stop_unit(engine, record)).await;
        if let Ok(stopped) = stopped {
            stopped?;
            was_asked_for(engine, record).await;
        }
    }
    Ok(())
}

/// Gives it another name.
pub(crate) async fn rename(
    engine: &Engine,
    mut record: Record,
    query: &Query,
) -> Result<(), ApiError> {
    let text = query
        .text("name")
        .unwrap_or_default()
        .trim_start_matches('/');
    let name: Name = text
        .parse()
        .map_err(|error| ApiError::bad_request(format!("name: {error}")))?;
    let former = std::mem::replace(&mut record.name, name.as_str().to_owned());
    record.set_shown_name();
    engine.records.change(record.clone())?;
    let event = engine_api::event::Event::of_container("rename", &record, crate::clock::now());
    engine
        .events
        .tell(event.with("oldName", format!("/{former}")));
    reread(engine).await
}

/// Has systemd read what changed of units. What runs is not touched.
async fn reread(engine: &Engine) -> Result<(), ApiError> {
    let done = engine.systemd.reload().await;
    done.map_err(|error| internal(&error))
}

/// `DELETE`: a container that runs only with `force`.
pub(crate) async fn delete(
    engine: &Arc<Engine>,
    record: &Record,
    query: &Query,
) -> Result<(), ApiError> {
    if query.flag("link") {
        return Err(ApiError::not_implemented("links"));
    }
    if engine.state(record).await?.is_alive() {
        if !query.flag("force") {
            return Err(ApiError::conflict(format!(
                "cannot remove container \"/{}\": container is running: stop the container before removing or force remove",
                record.name
            )));
        }
        payload::signal(&record.id, SIGKILL);
        stop_unit(engine, record).await?;
    }
    remove(engine, record).await
}

/// Removes a container that does not run, with all that is its own.
pub(crate) async fn remove(engine: &Arc<Engine>, record: &Record) -> Result<(), ApiError> {
    let _one_at_a_time = engine.lock(&record.id).await;
    if engine.records.get(&record.id).is_none() {
        return Ok(());
    }
    let unit = unit_name(&record.id);
    let store = engine.store().await?;
    let removed = store.remove_container_root(&record.id).await;
    removed.map_err(of_store)?;
    let removed = engine.records.remove(&record.id);
    removed.map_err(|error| internal(&error))?;
    engine.systemd.reset_failed(&unit).await;
    engine.forget_lock(&record.id);
    engine.health.forget(&record.id);
    engine.executions.forget(&record.id);
    // Nobody starts it any more.
    drop(engine.attachments.take(&record.id));
    engine.tell("destroy", record);
    let id = record.id.clone();
    // Nobody may wait.
    let _waiting = engine.changes.send(Change::Removed { id });
    Ok(())
}
