//! `exec`: other programs in a container that runs, made, started, looked at.
//!
//! The container's monitor has each executed, and a connection to it lasts as long as the program does.

use std::sync::Arc;

use engine_api::event::Event;
use engine_api::exec::{ExecCreation, ExecStart, LOST_CODE};
use engine_api::frame::Stream;
use engine_api::query::Query;
use engine_api::{ApiError, Record, State, window};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use monitor_protocol::detach_keys::Typed;
use monitor_protocol::message::{Event as Told, Failure, FailureKind, FromMonitor};
use monitor_protocol::{Answer as Answered, DetachKeys, Request as Asked, WindowSize};
use serde_json::json;
use tokio::sync::oneshot;

use crate::answer::{self, Answer};
use crate::api::body;
use crate::clock;
use crate::engine::Engine;
use crate::executions::Execution;
use crate::hijack::{Client, Format, Hijack, Input};
use crate::monitor::{Connection, Receiving};
use crate::outlet::{Outlet, outlet};

/// Docker's code for a program that is not there.
const NOT_FOUND: u8 = 127;
/// Docker's code for one that cannot be run.
const NOT_EXECUTABLE: u8 = 126;

/// `POST /containers/{id}/exec`.
pub(crate) async fn create(engine: &Engine, record: &Record, body: &[u8]) -> Answer {
    let creation = ExecCreation::parse(body)?;
    let _judged = keys(&creation)?;
    can_execute(engine, record).await?;
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.push_str(&uuid::Uuid::new_v4().simple().to_string());
    let action = format!("exec_create: {}", creation.line());
    engine.executions.add(id.clone(), &record.id, creation);
    tell(engine, record, &action, &id, None);
    answer::created(&json!({"Id": id}))
}

async fn can_execute(engine: &Engine, record: &Record) -> Result<(), ApiError> {
    let refuse = |reason: &str| {
        let id = &record.id;
        Err(ApiError::conflict(format!("container {id} is {reason}")))
    };
    match engine.state(record).await? {
        State::Running {
            is_paused: true, ..
        } => refuse("paused, unpause the container before exec"),
        State::Running { .. } => Ok(()),
        State::Restarting(_) => refuse("restarting, wait until the container is running"),
        State::Created | State::Exited(_) => refuse("not running"),
    }
}

fn keys(creation: &ExecCreation) -> Result<DetachKeys, ApiError> {
    let keys = creation.detach_keys.as_deref().map(str::parse).transpose();
    let keys: Option<DetachKeys> =
        keys.map_err(|error| ApiError::bad_request(format!("DetachKeys: {error}")))?;
    Ok(keys.unwrap_or_default())
}

fn tell(engine: &Engine, record: &Record, action: &str, id: &str, code: Option<u8>) {
    let mut event = Event::of_container(action, record, clock::now());
    event = event.with("execID", id.to_owned());
    if let Some(code) = code {
        event = event.with("exitCode", code.to_string());
    }
    engine.events.tell(event);
}

/// `GET /exec/{id}/json`.
pub(crate) fn inspect(engine: &Engine, id: &str) -> Answer {
    let execution = engine.executions.find(id)?;
    let creation = &execution.creation;
    answer::json(&creation.inspect(id, &execution.container, execution.state()))
}

/// `POST /exec/{id}/resize`.
pub(crate) async fn resize(engine: &Engine, id: &str, query: &Query) -> Answer {
    let size = window::asked(query)?;
    engine.executions.find(id)?.resize(size).await?;
    Ok(answer::bytes(StatusCode::OK, "text/plain", ""))
}

/// `POST /exec/{id}/start`.
pub(crate) async fn start(
    engine: &Arc<Engine>,
    id: &str,
    mut request: Request<Incoming>,
) -> Answer {
    let execution = engine.executions.find(id)?;
    let record = engine.records.find(&execution.container)?;
    let hijack = Hijack::of(&mut request);
    let start = ExecStart::parse(&body(request).await?)?;
    can_execute(engine, &record).await?;
    let size = execution.begin()?;
    let program = Program {
        engine: Arc::clone(engine),
        record,
        execution,
        size: start.size.or(size),
    };
    if start.is_detached {
        return program.start_detached().await;
    }
    let format = Format::of(program.execution.creation.has_terminal);
    let (coming, response) = hijack.accept(format, None);
    tokio::spawn(async move {
        match coming.client().await {
            Some(client) => program.run_for(client, format).await,
            None => program.ended(LOST_CODE).await,
        }
    });
    Ok(response)
}

/// A program that is started.
struct Program {
    engine: Arc<Engine>,
    record: Record,
    execution: Arc<Execution>,
    size: Option<WindowSize>,
}

impl Program {
    /// Has it started. If that fails it has ended, with Docker's code for the reason.
    async fn begin(&self, is_detached: bool) -> Result<Receiving, String> {
        match self.ask(is_detached).await {
            Ok(receiving) => {
                let action = format!("exec_start: {}", self.execution.creation.line());
                let id = &self.execution.id;
                tell(&self.engine, &self.record, &action, id, None);
                Ok(receiving)
            }
            Err(error) => {
                let failure: Option<&Failure> = error.downcast_ref();
                let code = match failure.map(|failure| failure.kind) {
                    Some(FailureKind::NotFound) => NOT_FOUND,
                    _ => NOT_EXECUTABLE,
                };
                self.execution.ended(code).await;
                Err(format!("OCI runtime exec failed: {error:#}"))
            }
        }
    }

    async fn ask(&self, is_detached: bool) -> anyhow::Result<Receiving> {
        let exec = self.execution.creation.request(is_detached, self.size);
        let mut connection = Connection::open(&self.record.id).await?;
        let answered = connection.ask(&Asked::Exec(Box::new(exec))).await?;
        if let Answered::Started { pid } = answered {
            self.execution.runs(pid);
        }
        let mut sending = connection.sending;
        if is_detached {
            sending.request(&Asked::Detach).await?;
        }
        *self.execution.sending.lock().await = Some(sending);
        Ok(connection.receiving)
    }

    async fn start_detached(self) -> Answer {
        let mut receiving = self.begin(true).await.map_err(ApiError::bad_request)?;
        tokio::spawn(async move {
            let code = self.pass_output(&mut receiving, None).await;
            self.ended(code).await;
        });
        Ok(answer::bytes(StatusCode::OK, "text/plain", ""))
    }

    /// Runs it for a client, and on to its end when the client is gone.
    async fn run_for(self, client: Client, format: Format) {
        let Client {
            mut input,
            mut output,
        } = client;
        let (outlet, queue) = outlet(format);
        let (begun, begins) = oneshot::channel();
        let talking = async {
            match self.begin(false).await {
                Ok(mut receiving) => {
                    // The client may just be gone.
                    let _told = begun.send(());
                    let code = self.pass_output(&mut receiving, Some(&outlet)).await;
                    self.ended(code).await;
                }
                Err(reason) => {
                    // As Docker, whose client shows it.
                    let line = format!("{reason}\r\n").into_bytes();
                    outlet.put(Stream::Output, line).await;
                }
            }
            // Only now does the client see the end, and asks for the code.
            drop(outlet);
        };
        let serving = async {
            tokio::select! {
                _sent = queue.drain(&mut output) => {}
                () = self.pass_input(&mut input, begins) => {}
            }
            output.end().await;
            self.leave().await;
        };
        tokio::join!(talking, serving);
    }

    /// Until its end; gives back the code.
    async fn pass_output(&self, receiving: &mut Receiving, outlet: Option<&Outlet>) -> u8 {
        let creation = &self.execution.creation;
        loop {
            let (stream, bytes) = match receiving.next().await {
                Ok(Some(FromMonitor::Output(bytes))) => (Stream::Output, bytes),
                Ok(Some(FromMonitor::Error(bytes))) => (Stream::Error, bytes),
                Ok(Some(FromMonitor::Event(Told::Exited(exit)))) => return exit.code,
                Ok(Some(_)) => continue,
                Ok(None) | Err(_) => return LOST_CODE,
            };
            let is_wanted = match stream {
                Stream::Output => creation.has_output,
                Stream::Error => creation.has_error,
            };
            if let Some(outlet) = outlet.filter(|_| is_wanted) {
                outlet.put(stream, bytes).await;
            }
        }
    }

    /// Returns when the client leaves by the keys for that.
    async fn pass_input(&self, input: &mut Input, begins: oneshot::Receiver<()>) {
        let creation = &self.execution.creation;
        // Nobody takes it before.
        if begins.await.is_err() || !creation.has_input {
            return std::future::pending().await;
        }
        let mut keys = keys(creation).unwrap_or_default();
        while let Some(bytes) = input.next().await {
            let typed = if creation.has_terminal {
                keys.take(&bytes)
            } else {
                Typed::Input(bytes.to_vec())
            };
            let (bytes, leaves) = match typed {
                Typed::Input(bytes) => (bytes, false),
                Typed::Detached(bytes) => (bytes, true),
            };
            self.send(&bytes).await;
            if leaves {
                let id = &self.execution.id;
                tell(&self.engine, &self.record, "exec_detach", id, None);
                return;
            }
        }
        if !creation.has_terminal
            && let Some(sending) = self.execution.sending.lock().await.as_mut()
        {
            let _gone = sending.end_input().await;
        }
        std::future::pending::<()>().await;
    }

    /// If the monitor is gone, what it said last is still on its way.
    async fn send(&self, bytes: &[u8]) {
        if let Some(sending) = self.execution.sending.lock().await.as_mut() {
            let _gone = sending.input(bytes).await;
        }
    }

    /// The client is gone: as with Docker the program goes on, with its terminal, or with no more input.
    async fn leave(&self) {
        if let Some(sending) = self.execution.sending.lock().await.as_mut() {
            let _gone = sending.request(&Asked::Detach).await;
            if self.execution.creation.has_input && !self.execution.creation.has_terminal {
                let _gone = sending.end_input().await;
            }
        }
    }

    async fn ended(&self, code: u8) {
        self.execution.ended(code).await;
        let id = &self.execution.id;
        tell(&self.engine, &self.record, "exec_die", id, Some(code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_judged_when_it_is_made() {
        let creation = |text: &str| ExecCreation::parse(text.as_bytes()).unwrap();
        assert!(keys(&creation(r#"{"Cmd":["a"]}"#)).is_ok());
        let error = keys(&creation(r#"{"Cmd":["a"],"DetachKeys":"ctrl-A"}"#)).unwrap_err();
        assert_eq!(error.status, 400);
    }
}
