//! `wait`: the answer begins at once, and says the exit code when there is one.

use std::sync::Arc;

use engine_api::query::Query;
use engine_api::{ApiError, Record};
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::answer::{self, Answer};
use crate::engine::{Change, Engine};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    NotRunning,
    NextExit,
    Removed,
}

/// Waits.
pub(crate) fn wait(engine: &Arc<Engine>, record: Record, query: &Query) -> Answer {
    let condition = match query.text("condition") {
        None | Some("not-running") => Condition::NotRunning,
        Some("next-exit") => Condition::NextExit,
        Some("removed") => Condition::Removed,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "condition: `{other}` is none"
            )));
        }
    };
    // What happens from now on is not missed.
    let changes = engine.changes.subscribe();
    let (pieces, response) = answer::streamed("application/json");
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let waiting = until(&engine, &record, condition, changes);
        let code = tokio::select! {
            code = waiting => code,
            // Nobody waits any more.
            () = pieces.closed() => return,
        };
        let text = answer::line(&json!({"StatusCode": code}));
        let _gone = pieces.send(text).await;
    });
    Ok(response)
}

async fn until(
    engine: &Engine,
    record: &Record,
    condition: Condition,
    mut changes: broadcast::Receiver<Change>,
) -> u8 {
    let mut last = 0;
    loop {
        if let Some(run) = engine.records.last_run(&record.id) {
            last = run.ended.map_or(last, |end| end.code);
        }
        let is_there = engine.records.get(&record.id).is_some();
        match condition {
            _ if !is_there => return last,
            Condition::NotRunning => match engine.state(record).await {
                Ok(state) if !state.is_alive() => return state.exit_code(),
                _ => {}
            },
            Condition::NextExit | Condition::Removed => {}
        }
        loop {
            match changes.recv().await {
                Ok(Change::Ended { id, code }) if id == record.id => {
                    last = code;
                    if condition == Condition::NextExit {
                        return code;
                    }
                }
                Ok(Change::Removed { id }) if id == record.id => return last,
                Ok(Change::Unit { id }) if id == record.id => {}
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return last,
            }
            break;
        }
    }
}
