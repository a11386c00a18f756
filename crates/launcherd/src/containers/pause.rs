//! `pause` and `unpause`: the container's monitor freezes all of its processes, and lets them go on.

use engine_api::{ApiError, Record};
use monitor_protocol::Request;

use crate::engine::Engine;
use crate::monitor::Connection;

/// Freezes a container.
pub(crate) async fn pause(engine: &Engine, record: &Record) -> Result<(), ApiError> {
    let _one_at_a_time = engine.lock(&record.id).await;
    let state = engine.state(record).await?;
    if !state.is_running() {
        return Err(ApiError::conflict(format!(
            "Container {} is not running",
            record.id
        )));
    }
    if state.is_paused() {
        return Err(ApiError::conflict(format!(
            "Container {} is already paused",
            record.id
        )));
    }
    ask(record, &Request::Pause).await?;
    engine.tell("pause", record);
    Ok(())
}

/// Lets it go on.
pub(crate) async fn unpause(engine: &Engine, record: &Record) -> Result<(), ApiError> {
    let _one_at_a_time = engine.lock(&record.id).await;
    if !engine.state(record).await?.is_paused() {
        return Err(ApiError::conflict(format!(
            "Container {} is not paused",
            record.id
        )));
    }
    thaw(record).await?;
    engine.tell("unpause", record);
    Ok(())
}

/// Lets it go on because it is to end: what is frozen hears nothing.
pub(super) async fn thaw(record: &Record) -> Result<(), ApiError> {
    ask(record, &Request::Unpause).await
}

async fn ask(record: &Record, request: &Request) -> Result<(), ApiError> {
    let failed = |reason: String| ApiError::internal(format!("{}: {reason}", record.name));
    let connection = Connection::open(&record.id).await;
    let mut connection = connection.map_err(|error| failed(error.to_string()))?;
    let done = connection.ask(request).await;
    done.map(drop).map_err(|error| failed(format!("{error:#}")))
}
