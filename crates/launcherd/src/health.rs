//! What the monitors of containers say of their health: asked by whoever looks, and followed, so that changes are
//! told as events.
//!
//! The checks are the monitors': they go on when this daemon does not run, and what it missed it tells nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use container_model::run_record::RunRecord;
use engine_api::event::Event as Told;
use engine_api::{Record, State, health_answer};
use monitor_protocol::health::{Health, HealthStatus};
use monitor_protocol::message::FromMonitor;
use monitor_protocol::{Answer, Event, Request};
use parking_lot::Mutex;

use crate::clock;
use crate::engine::Engine;
use crate::monitor::Connection;

/// A monitor answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between attempts to reach a monitor that is about to begin.
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS: usize = 50;

/// What is known of a container's health before its monitor is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has just begun: whatever it is now is news.
    FromTheStart,
    /// Nothing: it ran before this daemon did.
    No,
}

/// The last that was heard of each container.
#[derive(Debug, Default)]
pub(crate) struct HealthBook {
    last: Mutex<HashMap<String, Health>>,
    /// The number of the run that is followed.
    followed: Mutex<HashMap<String, u64>>,
}

impl HealthBook {
    /// Of a container that is gone.
    pub(crate) fn forget(&self, id: &str) {
        self.last.lock().remove(id);
    }

    fn get(&self, id: &str) -> Option<Health> {
        self.last.lock().get(id).cloned()
    }

    fn put(&self, id: &str, health: Health) {
        self.last.lock().insert(id.to_owned(), health);
    }
}

/// A container's health; none if it is not checked. Of one that does not run it is what was heard last.
pub(crate) async fn of(engine: &Engine, record: &Record, state: &State) -> Option<Health> {
    if !health_answer::is_checked(record) {
        return None;
    }
    if !state.is_running() {
        return engine.health.get(&record.id);
    }
    let asked = tokio::time::timeout(PATIENCE, ask(&record.id)).await;
    match asked {
        Ok(Ok(Some(health))) => Some(health),
        // It is ending, or has not begun to check.
        _ => Some(engine.health.get(&record.id).unwrap_or_default()),
    }
}

async fn ask(id: &str) -> anyhow::Result<Option<Health>> {
    let mut monitor = Connection::open(id).await?;
    match monitor.ask(&Request::Status).await? {
        Answer::Status(status) => Ok(status.health),
        other => bail!("the monitor answered {other:?}"),
    }
}

/// Follows the health of a run that goes on, unless that is being done.
pub(crate) fn follow(engine: &Arc<Engine>, record: &Record, run: &RunRecord, known: Known) {
    if run.ended.is_some() || !health_answer::is_checked(record) {
        return;
    }
    let before = engine
        .health
        .followed
        .lock()
        .insert(record.id.clone(), run.number);
    if before == Some(run.number) {
        return;
    }
    if known == Known::FromTheStart {
        engine.health.put(&record.id, Health::default());
    } else {
        engine.health.forget(&record.id);
    }
    let (engine, record, number) = (Arc::clone(engine), record.clone(), run.number);
    tokio::spawn(async move {
        if let Err(error) = listen(&engine, &record.id, number).await {
            tracing::debug!("health of {}: {error:#}", record.name);
        }
        // Another run may be followed already.
        let mut followed = engine.health.followed.lock();
        if followed.get(&record.id) == Some(&number) {
            followed.remove(&record.id);
        }
    });
}

async fn listen(engine: &Engine, id: &str, number: u64) -> anyhow::Result<()> {
    let mut monitor = reach(engine, id, number).await?;
    let mut status = match monitor.ask(&Request::Watch).await? {
        Answer::Status(status) => status,
        other => bail!("the monitor answered {other:?}"),
    };
    loop {
        if let Some(health) = status.health {
            take(engine, id, health);
        }
        status = match monitor.receiving.next().await? {
            Some(FromMonitor::Event(Event::Status(status))) => status,
            Some(FromMonitor::Event(Event::Exited(_))) | None => return Ok(()),
            Some(other) => bail!("the monitor says {other:?}"),
        };
    }
}

/// The monitor of a run, once it is there.
async fn reach(engine: &Engine, id: &str, number: u64) -> anyhow::Result<Connection> {
    for _ in 0..ATTEMPTS {
        if let Ok(monitor) = Connection::open(id).await {
            return Ok(monitor);
        }
        let run = engine.records.last_run(id);
        if run.is_none_or(|run| run.number != number || run.ended.is_some()) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("its monitor is not there")
}

/// Keeps it, and tells of a change.
fn take(engine: &Engine, id: &str, health: Health) {
    let before = engine.health.get(id).map(|health| health.status);
    let now = health.status;
    engine.health.put(id, health);
    let is_news = before.is_some_and(|before| before != now) && now != HealthStatus::Starting;
    // It may have another name by now.
    let Some(record) = engine.records.get(id).filter(|_| is_news) else {
        return;
    };
    let action = format!("health_status: {}", now.as_str());
    let event = Told::of_container(&action, &record, clock::now());
    engine.events.tell(event);
}
