//! `attach`: a client at the streams of a container's payload, from now on or from its start, until it ends; with `logs`
//! what was written before comes first.
//!
//! The container's monitor has the streams; the payload waits for a client that does not read, as with Docker. What was
//! written before is the journal's, by lines: what is written in the very moment of attaching may come twice, and is not lost.

use std::sync::Arc;
use std::time::Duration;

use engine_api::frame::Stream;
use engine_api::query::Query;
use engine_api::{ApiError, Record, State};
use hyper::Request;
use hyper::body::Incoming;
use monitor_protocol::detach_keys::Typed;
use monitor_protocol::message::{Failure, FromMonitor};
use monitor_protocol::{Attach, DetachKeys, Event, Request as Asked};
use tokio::sync::{broadcast, oneshot};

use crate::answer::Answer;
use crate::attachments::Attached;
use crate::engine::{Change, Engine};
use crate::hijack::{Client, Format, Hijack, Input, Output};
use crate::logs;
use crate::monitor::{Connection, Receiving, Sending};
use crate::outlet::{Outlet, Room, outlet};

/// Between two looks whether the monitor is there.
const PAUSE: Duration = Duration::from_millis(10);

/// What a client wants.
#[derive(Debug, Clone)]
struct Wanted {
    attach: Attach,
    /// Whether there is to be any stream at all.
    is_stream: bool,
    /// Whether what was written before comes first.
    with_logs: bool,
    /// Whether the end of the client's input is that of the payload's; otherwise the client leaves by it.
    ends_input: bool,
    /// By which a terminal is left; bytes of others mean nothing.
    keys: Option<DetachKeys>,
    format: Format,
}

/// When a client that waited is attached.
enum Turn {
    /// Before the payload begins: whoever holds it is told.
    Held(Attached),
    /// As soon as possible.
    Live,
    /// Never: the container is gone.
    Never,
}

impl Wanted {
    /// A websocket has both streams in one.
    fn parse(record: &Record, query: &Query, by_websocket: bool) -> Result<Self, ApiError> {
        let keys = query.text("detachKeys").map(str::parse).transpose();
        let keys: Option<DetachKeys> =
            keys.map_err(|error| ApiError::bad_request(format!("detachKeys: {error}")))?;
        let is_once = record.config["StdinOnce"].as_bool().unwrap_or(false);
        Ok(Self {
            attach: Attach {
                // Docker does not mind either who asks for an input that there is not.
                input: query.flag("stdin") && record.has_input,
                output: query.flag("stdout"),
                error: query.flag("stderr"),
                wait: true,
            },
            is_stream: query.flag("stream"),
            with_logs: query.flag("logs"),
            ends_input: is_once && !record.has_terminal,
            keys: record.has_terminal.then(|| keys.unwrap_or_default()),
            format: Format::of(record.has_terminal || by_websocket),
        })
    }
}

/// Answers.
pub(crate) async fn attach(
    engine: &Arc<Engine>,
    record: Record,
    query: &Query,
    mut request: Request<Incoming>,
    by_websocket: bool,
) -> Answer {
    let wanted = Wanted::parse(&record, query, by_websocket)?;
    // In this order nothing that happens meanwhile is missed.
    let changes = engine.changes.subscribe();
    let run = engine.records.last_run(&record.id);
    let number = run.map_or(0, |run| run.number);
    let waiting = engine.attachments.wait(&record.id);
    let state = engine.state(&record).await?;
    is_attachable(&record, &state)?;
    let hijack = if by_websocket {
        Hijack::of_websocket(&mut request)?
    } else {
        Hijack::of(&mut request)
    };
    let (coming, response) = hijack.accept(wanted.format, Some(request.into_body()));
    engine.tell("attach", &record);
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let Some(mut client) = coming.client().await else {
            return;
        };
        let is_alive = state.is_alive();
        // What runs is attached to first: nothing is to be missed between.
        if wanted.with_logs && !(is_alive && wanted.is_stream) {
            replay(&record, &wanted, &mut client.output).await;
            if !wanted.is_stream {
                client.output.end().await;
                return;
            }
        }
        let turn = if is_alive {
            Turn::Live
        } else {
            tokio::select! {
                turn = next_turn(&engine, &record, number, changes, waiting) => turn,
                () = client.output.gone() => return,
            }
        };
        if let Some(connection) = connected(&engine, &record, turn, wanted.attach).await
            && wanted.is_stream
        {
            if wanted.with_logs && is_alive {
                replay(&record, &wanted, &mut client.output).await;
            }
            join(&engine, &record, &mut client, connection, wanted).await;
        }
        client.output.end().await;
    });
    Ok(response)
}

/// Sends what was written until now. A client that is gone is noticed by whoever comes next.
async fn replay(record: &Record, wanted: &Wanted, output: &mut Output) {
    let streams = (wanted.attach.output, wanted.attach.error);
    if let Err(error) = logs::replay(record, streams, wanted.format, output).await {
        tracing::warn!("what {} wrote before: {error:#}", record.name);
    }
}

fn is_attachable(record: &Record, state: &State) -> Result<(), ApiError> {
    let refuse = |reason: &str| {
        let id = &record.id;
        Err(ApiError::conflict(format!("container {id} is {reason}")))
    };
    match state {
        State::Running {
            is_paused: true, ..
        } => refuse("paused, unpause the container before attach"),
        State::Restarting(_) => refuse("restarting, wait until the container is running"),
        _ => Ok(()),
    }
}

/// Waits for the next run.
async fn next_turn(
    engine: &Engine,
    record: &Record,
    number: u64,
    changes: broadcast::Receiver<Change>,
    waiting: oneshot::Receiver<Attached>,
) -> Turn {
    tokio::select! {
        // Who starts it says so before the run begins.
        biased;
        told = waiting => told.map_or(Turn::Never, Turn::Held),
        () = started(engine, record, number, changes) => Turn::Live,
    }
}

/// Waits until there is another run than the last one, which may be systemd's, or the container is gone.
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

/// Attached; none if there is nothing to attach to any more.
async fn connected(
    engine: &Engine,
    record: &Record,
    turn: Turn,
    attach: Attach,
) -> Option<Connection> {
    let trying = try_until_attached(record, attach);
    match turn {
        Turn::Never => None,
        Turn::Held(mut attached) => tokio::select! {
            connection = trying => {
                // The start may have failed meanwhile.
                let _told = attached.send(());
                connection
            }
            // The start failed.
            () = attached.closed() => None,
        },
        Turn::Live => tokio::select! {
            connection = trying => connection,
            () = over(engine, record) => None,
        },
    }
}

async fn try_until_attached(record: &Record, attach: Attach) -> Option<Connection> {
    loop {
        if let Ok(mut connection) = Connection::open(&record.id).await {
            match connection.ask(&Asked::Attach(attach)).await {
                Ok(_) => return Some(connection),
                Err(error) if error.is::<Failure>() => {
                    tracing::warn!("{}: {error}", record.name);
                    return None;
                }
                // It ended meanwhile, or had no time to begin.
                Err(_) => {}
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the container does not run.
async fn over(engine: &Engine, record: &Record) {
    let is_alive = async || {
        let state = engine.state(record).await;
        engine.records.get(&record.id).is_some() && state.is_ok_and(|state| state.is_alive())
    };
    while is_alive().await {
        tokio::time::sleep(PAUSE * 20).await;
    }
}

/// Passes on what both sides say, until the payload ends or the client leaves.
async fn join(
    engine: &Engine,
    record: &Record,
    client: &mut Client,
    connection: Connection,
    mut wanted: Wanted,
) {
    let Connection {
        mut receiving,
        mut sending,
    } = connection;
    let (outlet, queue) = outlet(wanted.format);
    let room = queue.room();
    let Client { input, output } = client;
    tokio::select! {
        _sent = queue.drain(output) => {}
        () = pass_output(&mut receiving, outlet) => {}
        is_detached = pass_input(input, &mut sending, &mut wanted) => {
            if is_detached {
                engine.tell("detach", record);
            }
        }
        () = lift_at_end(&record.id, room) => {}
    }
}

/// It does not return: the client has not read all yet when the payload ends.
async fn pass_output(receiving: &mut Receiving, outlet: Outlet) {
    loop {
        match receiving.next().await {
            Ok(Some(FromMonitor::Output(bytes))) => outlet.put(Stream::Output, bytes).await,
            Ok(Some(FromMonitor::Error(bytes))) => outlet.put(Stream::Error, bytes).await,
            Ok(Some(FromMonitor::Event(Event::Exited(_))) | None) | Err(_) => break,
            Ok(Some(_)) => {}
        }
    }
    drop(outlet);
    std::future::pending::<()>().await;
}

/// Returns when the client leaves: whether it did so by the keys for that.
async fn pass_input(input: &mut Input, sending: &mut Sending, wanted: &mut Wanted) -> bool {
    if !wanted.attach.input {
        return std::future::pending().await;
    }
    while let Some(bytes) = input.next().await {
        let typed = match &mut wanted.keys {
            Some(keys) => keys.take(&bytes),
            None => Typed::Input(bytes.to_vec()),
        };
        let (bytes, leaves) = match typed {
            Typed::Input(bytes) => (bytes, false),
            Typed::Detached(bytes) => (bytes, true),
        };
        // If the monitor is gone, what it said last is still on its way.
        if sending.input(&bytes).await.is_err() {
            return std::future::pending().await;
        }
        if leaves {
            return true;
        }
    }
    if !wanted.ends_input {
        return false;
    }
    let _gone = sending.end_input().await;
    std::future::pending().await
}

/// The monitor does not stay for a client that reads slowly, so all is taken from it once the payload has ended. It
/// does not return.
async fn lift_at_end(id: &str, room: Room) {
    if let Ok(mut watching) = Connection::open(id).await
        && watching.ask(&Asked::Watch).await.is_ok()
    {
        watching.receiving.ended().await;
    }
    room.lift();
    std::future::pending::<()>().await;
}

/// A terminal has another size.
pub(crate) async fn resize(record: &Record, query: &Query) -> Result<(), ApiError> {
    let size = engine_api::window::asked(query)?;
    let stopped = || ApiError::conflict(format!("container {} is not running", record.id));
    let mut connection = Connection::open(&record.id).await.map_err(|_| stopped())?;
    let done = connection.ask(&Asked::Resize(size)).await;
    done.map_err(|error| ApiError::conflict(format!("{error:#}")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(config: serde_json::Value, has_terminal: bool) -> Record {
        let mut record = crate::records::example("aa11", "web");
        record.config = config;
        record.has_terminal = has_terminal;
        record.has_input = true;
        record
    }

    #[test]
    fn an_input_ends_if_it_is_for_one_client() {
        let query = Query::parse("stream=1&stdin=1&stdout=1&detachKeys=ctrl-a");
        let parse = |config, has_terminal| {
            Wanted::parse(&record(config, has_terminal), &query, false).unwrap()
        };
        let once = parse(serde_json::json!({"StdinOnce": true}), false);
        assert!(once.ends_input && once.attach.input && once.attach.wait);
        assert!(!once.attach.error);
        assert!(!parse(serde_json::json!({"StdinOnce": true}), true).ends_input);
        assert!(!parse(serde_json::Value::Null, false).ends_input);
        let bad = Query::parse("detachKeys=ctrl-A");
        let refused = Wanted::parse(&record(serde_json::Value::Null, false), &bad, false);
        assert_eq!(refused.unwrap_err().status, 400);
        let in_one = Wanted::parse(&record(serde_json::Value::Null, false), &query, true).unwrap();
        assert_eq!(in_one.format, Format::Raw);
        assert!(in_one.keys.is_none(), "it is no terminal");
    }
}
