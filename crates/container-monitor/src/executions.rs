//! What is executed in the container beside the payload: started, fed, listened to, over.
//!
//! A client's process waits if the client does not read; a check of health never does.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use monitor_protocol::message::{Exec, Failure, FailureKind};
use monitor_protocol::{Answer, Event, Exit};
use rustix::process::{Pid, Signal};

use crate::child::Ended;
use crate::clock;
use crate::execution::{Change, EXECUTIONS_MAX, Execution, Owner};
use crate::exit::NOT_EXECUTABLE;
use crate::monitor::{Monitor, Phase};
use crate::reading::{BUFFER, Reading};

/// Buffers that are read of one stream before others have their turn.
const TURN: usize = 4;
/// Bytes that are passed on of a stream after its process ended: as much as a pipe can hold.
const DRAINED_MAX: usize = 1024 * 1024;

impl Monitor<'_> {
    /// Has a process started; its owner is told of all that becomes of it.
    pub(crate) fn execute(&mut self, owner: Owner, exec: &Exec) -> Result<u64, Failure> {
        let refuse = |reason: &str| {
            let (kind, reason) = (FailureKind::State, reason.to_owned());
            Err(Failure { kind, reason })
        };
        match self.phase {
            Phase::Running | Phase::Leaving(_) | Phase::Stopping(_) => {}
            Phase::Held => return refuse("the container was not started yet"),
            Phase::Paused => return refuse("the container is paused"),
            Phase::Killed | Phase::Over(_) => return refuse("the container is ending"),
        }
        if self.executions.len() >= EXECUTIONS_MAX {
            return refuse("too many processes are executed in the container already");
        }
        self.last_execution += 1;
        let id = self.last_execution;
        let execution = Execution::begin(self.arguments, self.payload, id, owner, exec)?;
        self.executions.push(execution);
        self.clients.status_changed();
        Ok(id)
    }

    /// Whom processes that ended belong to. One may end before it is known what the runtime started.
    pub(crate) fn take_orphans(&mut self) {
        loop {
            let ended = std::mem::take(&mut self.orphans);
            let count = ended.len();
            for one in ended {
                if !self.take_orphan(one) {
                    self.orphans.push(one);
                }
            }
            if self.orphans.len() == count {
                break;
            }
        }
        if !self.executions.iter().any(Execution::is_starting) {
            self.orphans.clear();
        }
    }

    fn take_orphan(&mut self, ended: Ended) -> bool {
        for at in 0..self.executions.len() {
            let change = self.executions[at].take(ended);
            let owner = self.executions[at].owner;
            match change {
                Change::None => continue,
                Change::Started(pid) => self.tell_started(owner, pid),
                Change::NotStarted(failure) => {
                    self.executions.remove(at);
                    self.tell_not_started(owner, failure);
                }
                Change::Ended(ended) => {
                    let mut execution = self.executions.remove(at);
                    self.drain(&mut execution);
                    self.tell_ended(owner, ended);
                }
            }
            self.clients.status_changed();
            return true;
        }
        false
    }

    fn tell_started(&mut self, owner: Owner, pid: Pid) {
        if let Owner::Client(id) = owner
            && let Some(client) = self.clients.by_id(id)
        {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            client.answer(&Answer::Started { pid });
        }
    }

    fn tell_not_started(&mut self, owner: Owner, failure: Failure) {
        match owner {
            Owner::Nobody => {}
            Owner::Client(id) => {
                if let Some(client) = self.clients.by_id(id) {
                    client.answer(&Answer::Failed(failure));
                    client.dismiss();
                }
            }
            Owner::Health => self.checked(Err(failure.reason)),
        }
    }

    fn tell_ended(&mut self, owner: Owner, ended: Ended) {
        let status = ended.status;
        let code = status
            .exit_status()
            .and_then(|code| u8::try_from(code).ok())
            .map(|code| {
                if ended.could_not_begin() {
                    NOT_EXECUTABLE
                } else {
                    code
                }
            });
        let ending = code.ok_or(status.terminating_signal().unwrap_or(0));
        let exit = Exit::new(ending, false, clock::now());
        match owner {
            Owner::Nobody => {}
            Owner::Client(id) => {
                if let Some(client) = self.clients.by_id(id) {
                    client.outgoing.push(&Event::Exited(exit).encode());
                    client.dismiss();
                }
            }
            Owner::Health => self.checked(Ok(exit.code)),
        }
    }

    /// What it wrote before its end. Processes that it left may go on writing, to nobody.
    fn drain(&mut self, execution: &mut Execution) {
        let mut buffer = [0; BUFFER];
        for reading in &mut execution.readings {
            let mut left = DRAINED_MAX;
            while let Some(bytes) = reading.read(&mut buffer).filter(|_| left > 0) {
                left = left.saturating_sub(bytes.len());
                match execution.owner {
                    Owner::Nobody => {}
                    Owner::Health => self.checkup.iter_mut().for_each(|one| one.output(bytes)),
                    Owner::Client(id) => {
                        let kind = reading.stream().kind();
                        if let Some(client) = self.clients.by_id(id) {
                            client
                                .outgoing
                                .push(&monitor_protocol::frame::encode(kind, bytes));
                        }
                    }
                }
            }
        }
    }

    /// Passes on what they write and read.
    pub(crate) fn forward_executions(&mut self) {
        let mut buffer = [0; BUFFER];
        for execution in &mut self.executions {
            if let Some(input) = &mut execution.input {
                input.flush();
            }
            let owner = execution.owner;
            for reading in &mut execution.readings {
                let stream = reading.stream();
                for _ in 0..TURN {
                    let client = match owner {
                        Owner::Client(id) => self.clients.by_id(id),
                        Owner::Nobody | Owner::Health => None,
                    };
                    if client
                        .as_ref()
                        .is_some_and(|client| client.outgoing.is_full())
                    {
                        break;
                    }
                    let Some(bytes) = reading.read(&mut buffer) else {
                        break;
                    };
                    match client {
                        Some(client) => client.outgoing.push_stream(stream.kind(), bytes),
                        None if owner == Owner::Health => {
                            self.checkup.iter_mut().for_each(|one| one.output(bytes));
                        }
                        None => {}
                    }
                }
            }
        }
    }

    /// What is waited on: the outputs of those whose client takes more.
    pub(crate) fn outputs_of_executions(&self) -> Vec<BorrowedFd<'_>> {
        let is_taken = |execution: &&Execution| match execution.owner {
            Owner::Client(id) => {
                let mut clients = self.clients.all.iter();
                let client = clients.find(|client| client.id == id);
                client.is_none_or(|client| !client.outgoing.is_full())
            }
            Owner::Nobody | Owner::Health => true,
        };
        let taken = self.executions.iter().filter(is_taken);
        let readings = taken.flat_map(|execution| &execution.readings);
        readings.filter_map(Reading::descriptor).collect()
    }

    /// Begins a check of health that is due, and kills one that takes too long.
    pub(crate) fn check_health(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(checkup) = &mut self.checkup else {
            return;
        };
        if checkup.kills(now) {
            let mut checks = self.executions.iter();
            if let Some(check) = checks.find(|execution| execution.owner == Owner::Health) {
                check.kill(Signal::KILL);
            }
        }
        if let Some(exec) = checkup.begin(now, clock::now())
            && let Err(failure) = self.execute(Owner::Health, &exec)
        {
            self.checked(Err(failure.reason));
        }
    }

    /// A check of health is over.
    fn checked(&mut self, result: Result<u8, String>) {
        let Some(checkup) = &mut self.checkup else {
            return;
        };
        if checkup.end(result, Instant::now(), clock::now()) {
            self.health_changed();
        } else {
            self.clients.status_changed();
        }
    }
}
