//! `attach`: what a container writes from now on, until it ends.
//!
//! It comes by way of the journal, in whole lines. Standard input and terminals are not there: containers that
//! want them are refused when they are made.

use std::sync::Arc;

use engine_api::query::Query;
use engine_api::{ApiError, Record};
use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::{broadcast, mpsc};

use crate::answer::Answer;
use crate::engine::{Change, Engine};
use crate::hijack;
use crate::logs::{self, Wanted};

/// Pieces that may wait for a client that reads slowly.
const PIECES: usize = 16;

/// Answers.
pub(crate) async fn attach(
    engine: &Arc<Engine>,
    record: Record,
    query: &Query,
    mut request: Request<Incoming>,
) -> Answer {
    if query.flag("logs") {
        return Err(ApiError::not_implemented(
            "what was written before, when attaching: see logs",
        ));
    }
    let wanted = Wanted::from_now(query.flag("stdout"), query.flag("stderr"));
    // Before the client can start it.
    let changes = engine.changes.subscribe();
    let number = engine
        .records
        .last_run(&record.id)
        .map_or(0, |run| run.number);
    let is_alive = engine.state(&record).await?.is_alive();
    let (upgraded, response) = hijack::upgrade(&mut request)?;
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::spawn(hijack::forward(upgraded, receiver));
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let sending = async {
            if !is_alive {
                started(&engine, &record, number, changes).await;
            }
            logs::send(&engine, &record, wanted, &sender).await
        };
        let sent = tokio::select! {
            sent = sending => sent,
            () = sender.closed() => return,
        };
        if let Err(error) = sent {
            tracing::warn!("output of {}: {error:#}", record.name);
        }
    });
    Ok(response)
}

/// Waits until there is another run than the last one, or the container is gone.
async fn started(
    engine: &Engine,
    record: &Record,
    number: u64,
    mut changes: broadcast::Receiver<Change>,
) {
    loop {
        let run = engine.records.last_run(&record.id);
        let is_there = engine.records.get(&record.id).is_some();
        if !is_there || run.is_some_and(|run| run.number > number) {
            return;
        }
        // Whoever was slow looks again, too.
        let _changed = changes.recv().await;
    }
}
