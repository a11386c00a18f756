//! What clients ask for, and what they send.
//!
//! Each request has one answer; that of an execution comes when the process runs.

use monitor_protocol::message::{FailureKind, FromClient};
use monitor_protocol::status::State;
use monitor_protocol::{Answer, Attach, Event, Exec, Request, Status};
use rustix::process::Signal;

use crate::client::{Client, Role};
use crate::execution::{self, Execution, Owner};
use crate::input::Input;
use crate::monitor::{Monitor, Phase};
use crate::{cgroup, clock};

/// What is answered when something is done at once.
type Done = Result<Answer, (FailureKind, String)>;

fn refuse<T>(kind: FailureKind, reason: impl Into<String>) -> Result<T, (FailureKind, String)> {
    Err((kind, reason.into()))
}

impl Monitor<'_> {
    /// Hears who is connected, and sends what waits.
    pub(crate) fn serve(&mut self) {
        self.clients.accept();
        if let Some(input) = &mut self.input {
            input.flush();
        }
        self.forward_executions();
        for at in 0..self.clients.all.len() {
            while self.is_heard(&self.clients.all[at]) {
                let id = self.clients.all[at].id;
                match self.clients.all[at].next() {
                    Ok(Some(message)) => self.hear(id, message),
                    Ok(None) => break,
                    Err(error) => {
                        let client = &mut self.clients.all[at];
                        client.answer(&Answer::failed(FailureKind::Invalid, error.to_string()));
                        client.dismiss();
                    }
                }
            }
        }
        self.tell_status();
        self.part();
    }

    /// Whether a client may say something now: not if what it sends has nowhere to go yet.
    pub(crate) fn is_heard(&self, client: &Client) -> bool {
        let has_room = match client.role {
            Role::Plain | Role::Watching => true,
            Role::Attached(attach) => {
                let is_full = self.input.as_ref().is_some_and(Input::is_full);
                !(attach.input && is_full)
            }
            Role::Executing(id) => {
                let execution = self.executions.iter().find(|execution| execution.id == id);
                execution.is_none_or(|execution| {
                    let input = execution.input.as_ref();
                    !execution.is_starting() && !input.is_some_and(Input::is_full)
                })
            }
        };
        has_room && client.is_heard()
    }

    /// To those who watch, when they have taken what came before.
    fn tell_status(&mut self) {
        let is_due = |client: &Client| client.is_status_due && client.outgoing.is_empty();
        if !self.clients.all.iter().any(is_due) {
            return;
        }
        let event = Event::Status(Box::new(self.status())).encode();
        for client in self.clients.all.iter_mut().filter(|client| is_due(client)) {
            client.is_status_due = false;
            client.outgoing.push(&event);
        }
    }

    /// Sends what waits, and forgets who is gone.
    fn part(&mut self) {
        let mut gone = Vec::new();
        self.clients.all.retain_mut(|client| {
            client.flush();
            if client.is_over() {
                gone.push(client.id);
            }
            !client.is_over()
        });
        for execution in &mut self.executions {
            if matches!(execution.owner, Owner::Client(id) if gone.contains(&id)) {
                execution.abandon();
            }
        }
    }

    fn hear(&mut self, id: u64, message: FromClient) {
        let answer = match message {
            FromClient::Input(bytes) => match self.take_input(id, &bytes) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            FromClient::Request(Request::Exec(exec)) => match self.exec(id, &exec) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            FromClient::Request(request) => self.perform(id, &request),
        };
        let answer = answer.unwrap_or_else(|(kind, reason)| Answer::failed(kind, reason));
        if let Some(client) = self.clients.by_id(id) {
            client.answer(&answer);
        }
    }

    fn role(&mut self, id: u64) -> Role {
        let client = self.clients.by_id(id);
        client.map_or(Role::Plain, |client| client.role)
    }

    fn take_input(&mut self, id: u64, bytes: &[u8]) -> Result<(), (FailureKind, String)> {
        let input = match self.role(id) {
            Role::Attached(attach) if attach.input => self.input.as_mut(),
            Role::Executing(number) => self
                .executions
                .iter_mut()
                .find(|execution| execution.id == number)
                .and_then(|execution| execution.input.as_mut()),
            _ => return refuse(FailureKind::Invalid, "input was not asked for"),
        };
        // Nobody reads any more.
        if let Some(input) = input {
            input.take(bytes);
        }
        Ok(())
    }

    fn exec(&mut self, id: u64, exec: &Exec) -> Result<(), (FailureKind, String)> {
        if self.role(id) != Role::Plain {
            return refuse(
                FailureKind::Invalid,
                "this connection is about something else",
            );
        }
        let executed = self.execute(Owner::Client(id), exec);
        let number = executed.map_err(|failure| (failure.kind, failure.reason))?;
        if let Some(client) = self.clients.by_id(id) {
            client.role = Role::Executing(number);
        }
        Ok(())
    }

    fn perform(&mut self, id: u64, request: &Request) -> Done {
        match request {
            Request::Status => Ok(Answer::Status(Box::new(self.status()))),
            Request::Watch => {
                self.become_one(id, Role::Watching)?;
                Ok(Answer::Status(Box::new(self.status())))
            }
            Request::Start => self.start_held(),
            Request::Attach(attach) => self.attach(id, *attach),
            Request::Resize(size) => self.resize(id, *size),
            Request::Kill { signal } => self.kill_for(id, *signal),
            Request::Pause => self.freeze(true),
            Request::Unpause => self.freeze(false),
            Request::Detach => self.detach(id),
            Request::Exec(_) => refuse(FailureKind::Invalid, "it is answered elsewhere"),
        }
    }

    fn become_one(&mut self, id: u64, role: Role) -> Result<(), (FailureKind, String)> {
        match self.clients.by_id(id) {
            Some(client) if client.role == Role::Plain => {
                client.role = role;
                Ok(())
            }
            _ => refuse(
                FailureKind::Invalid,
                "this connection is about something else",
            ),
        }
    }

    fn start_held(&mut self) -> Done {
        if self.phase != Phase::Held {
            return refuse(FailureKind::State, "the container was started already");
        }
        self.begin();
        match &self.phase {
            Phase::Over(ending) => {
                let code = ending.exit(false, clock::now()).code;
                refuse(execution::kind(code), ending.reason())
            }
            _ => Ok(Answer::Done),
        }
    }

    fn attach(&mut self, id: u64, attach: Attach) -> Done {
        if self.outputs.is_empty() {
            let reason = "the container's output goes where its launcher's goes, not to the journal and clients";
            return refuse(FailureKind::State, reason);
        }
        if attach.input && self.input.is_none() {
            let reason = "the container has no standard input: it was not run with --interactive";
            return refuse(FailureKind::State, reason);
        }
        self.become_one(id, Role::Attached(attach))?;
        let terminal = self.arguments.has_terminal;
        Ok(Answer::Attached { terminal })
    }

    fn resize(&mut self, id: u64, size: monitor_protocol::WindowSize) -> Done {
        let role = self.role(id);
        let execution = self.executions.iter();
        let mut execution = execution.filter(|one| role == Role::Executing(one.id));
        let reading = match role {
            Role::Executing(_) => execution.next().and_then(|one| one.readings.first()),
            _ => self.outputs.first().map(|(reading, _)| reading),
        };
        let Some(terminal) = reading.filter(|reading| reading.is_terminal()) else {
            return refuse(FailureKind::State, "there is no terminal");
        };
        match terminal.resize(size) {
            Ok(()) => Ok(Answer::Done),
            Err(error) => refuse(FailureKind::Runtime, error.to_string()),
        }
    }

    fn kill_for(&mut self, id: u64, signal: i32) -> Done {
        if !(1..=64).contains(&signal) {
            return refuse(FailureKind::Invalid, format!("there is no signal {signal}"));
        }
        if let Role::Executing(number) = self.role(id) {
            let Some(named) = Signal::from_named_raw(signal) else {
                return refuse(FailureKind::Invalid, "it would get a real-time signal");
            };
            let mut executions = self.executions.iter();
            if let Some(execution) = executions.find(|one| one.id == number) {
                execution.kill(named);
            }
            return Ok(Answer::Done);
        }
        if self.phase == Phase::Held {
            return refuse(FailureKind::State, "the container was not started yet");
        }
        self.kill(signal);
        Ok(Answer::Done)
    }

    fn freeze(&mut self, is_frozen: bool) -> Done {
        let (from, to) = if is_frozen {
            (Phase::Running, Phase::Paused)
        } else {
            (Phase::Paused, Phase::Running)
        };
        if self.phase != from {
            let state = self.state().as_str();
            return refuse(FailureKind::State, format!("the container is {state}"));
        }
        match cgroup::freeze(self.arguments, is_frozen) {
            Ok(()) => {
                self.phase = to;
                self.clients.status_changed();
                Ok(Answer::Done)
            }
            Err(error) => refuse(FailureKind::Runtime, error.to_string()),
        }
    }

    fn detach(&mut self, id: u64) -> Done {
        let Role::Executing(number) = self.role(id) else {
            return refuse(FailureKind::Invalid, "this connection executes nothing");
        };
        let mut executions = self.executions.iter_mut();
        if let Some(execution) = executions.find(|one| one.id == number) {
            execution.stays = true;
        }
        Ok(Answer::Done)
    }

    fn state(&self) -> State {
        match self.phase {
            Phase::Held => State::Created,
            Phase::Running => State::Running,
            Phase::Paused => State::Paused,
            Phase::Leaving(_) | Phase::Stopping(_) | Phase::Killed | Phase::Over(_) => {
                State::Stopping
            }
        }
    }

    fn status(&self) -> Status {
        let is_clients = |execution: &&Execution| execution.owner != Owner::Health;
        let executing = self.executions.iter().filter(is_clients).count();
        Status {
            name: self.arguments.name.clone(),
            image: self.arguments.image.clone(),
            unit: self.arguments.unit.clone(),
            state: self.state(),
            pid: self.payload.as_raw_nonzero().get().unsigned_abs(),
            created_at: self.record.created_at,
            started_at: self.record.started_at,
            ready: self.is_ready,
            health: self
                .checkup
                .as_ref()
                .map(|checkup| checkup.health().clone()),
            terminal: self.arguments.has_terminal,
            input: self.input.is_some(),
            cgroup: self.arguments.cgroup.clone(),
            executing: u32::try_from(executing).unwrap_or(u32::MAX),
        }
    }
}
