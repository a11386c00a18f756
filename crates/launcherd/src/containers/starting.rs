//! `start`: systemd starts the unit; whoever waits to be attached is so before the payload begins.

use std::sync::Arc;

use engine_api::{ApiError, Record, window};
use monitor_protocol::WindowSize;
use tokio::sync::oneshot;

use super::hold::{self, Hold};
use crate::answer::internal;
use crate::engine::Engine;
use crate::records::unit_name;

/// Starts a container, and waits until it runs.
pub(crate) async fn start(engine: &Arc<Engine>, record: &Record) -> Result<(), ApiError> {
    let _one_at_a_time = engine.lock(&record.id).await;
    if engine.state(record).await?.is_alive() {
        return Err(ApiError::not_modified());
    }
    let boots = engine
        .records
        .start_at_boot(&record.id, record.restart.starts_at_boot());
    boots.map_err(|error| internal(&error))?;
    let linked = engine.records.link_unit(&record.id);
    linked.map_err(|error| internal(&error))?;
    let unit = unit_name(&record.id);
    let result = start_unit(engine, record).await;
    match result.map_err(|error| internal(&error))?.as_str() {
        "done" => Ok(()),
        // Somebody stopped it meanwhile.
        "canceled" => Err(ApiError::conflict(format!("{} was stopped", record.name))),
        _ => Err(failure(engine, record, &unit).await),
    }
}

/// What systemd calls the result.
async fn start_unit(engine: &Arc<Engine>, record: &Record) -> anyhow::Result<String> {
    // Containers that an older launcherd made cannot be held.
    let is_holdable = record.launch.contains(&hold::word(&record.id));
    let size = window::console(&record.host_config["ConsoleSize"]);
    let size = size.filter(|_| record.has_terminal);
    let waiting = if is_holdable {
        engine.attachments.take(&record.id)
    } else {
        Vec::new()
    };
    if waiting.is_empty() && (size.is_none() || !is_holdable) {
        return engine.systemd.start(&unit_name(&record.id)).await;
    }
    let mut attached = Vec::new();
    for one in waiting {
        let (sender, receiver) = oneshot::channel();
        if one.send(sender).is_ok() {
            attached.push(receiver);
        }
    }
    // A client that goes away meanwhile leaves nothing that is held for ever.
    let held = start_held(Arc::clone(engine), record.id.clone(), attached, size);
    tokio::spawn(held).await?
}

async fn start_held(
    engine: Arc<Engine>,
    id: String,
    attached: Vec<oneshot::Receiver<()>>,
    size: Option<WindowSize>,
) -> anyhow::Result<String> {
    let hold = Hold::make(&id)?;
    let unit = unit_name(&id);
    let starting = engine.systemd.start(&unit);
    tokio::pin!(starting);
    tokio::select! {
        // It failed before there was anything to hold.
        result = &mut starting => result,
        () = hold::release(&id, hold, attached, size) => starting.await,
    }
}

/// Why a container did not start, in the words that Docker's client knows an exit code by.
async fn failure(engine: &Engine, record: &Record, unit: &str) -> ApiError {
    let reason = engine.systemd.status_text(unit).await;
    let reason = if reason.is_empty() {
        format!("see journalctl --unit {unit}")
    } else {
        reason
    };
    let run = engine.records.last_run(&record.id);
    match run.and_then(|run| run.ended).map(|end| end.code) {
        Some(127) => ApiError::bad_request(format!("executable file not found: {reason}")),
        Some(126) => ApiError::bad_request(format!("permission denied: {reason}")),
        _ => ApiError::internal(format!("the container did not start: {reason}")),
    }
}
