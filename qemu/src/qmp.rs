//! A minimal client of QEMU's machine protocol (QMP), one JSON message a line.
//!
//! Commands are sent one at a time; events that arrive meanwhile are queued. It knows no command
//! beyond the few that have a method here: [`Qmp::execute`] sends any.

use crate::QemuError;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// QEMU answers in milliseconds, and later only where the host is overloaded.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Nobody may ever ask for the events, so only so many are kept.
const QUEUED_EVENTS: usize = 1000;

/// A connection to QEMU's control socket.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// The part of a line that has arrived.
    line: Vec<u8>,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Takes the greeting on `stream` and enters command mode.
    pub(crate) fn connect(stream: UnixStream) -> Result<Self, QemuError> {
        let mut qmp = Self {
            reader: BufReader::new(stream),
            line: Vec::new(),
            events: VecDeque::new(),
        };
        let greeting = qmp.receive("the greeting", Instant::now() + ANSWER_TIMEOUT)?;
        if greeting.get("QMP").is_none() {
            let line = greeting.to_string();
            return Err(QemuError::QmpMalformed { line });
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Executes `command` and returns its result. QEMU has 30 s to answer.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, QemuError> {
        let message = json!({ "execute": command, "arguments": arguments });
        self.reader
            .get_mut()
            .write_all(format!("{message}\n").as_bytes())
            .map_err(|source| broken(command, source))?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let mut answer = self.receive(command, deadline)?;
            if answer.get("event").is_some() {
                self.queue(answer);
            } else if let Some(error) = answer.get("error") {
                return Err(refused(command, error));
            } else if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Executes `line` in the human monitor and returns what it prints.
    pub fn human_monitor(&mut self, line: &str) -> Result<String, QemuError> {
        let arguments = json!({ "command-line": line });
        let value = self.execute("human-monitor-command", &arguments)?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// The state of the machine, for instance `running` or `paused`.
    pub fn query_status(&mut self) -> Result<String, QemuError> {
        let value = self.execute("query-status", &json!({}))?;
        match value.get("status").and_then(Value::as_str) {
            Some(status) => Ok(status.to_owned()),
            None => Err(QemuError::QmpMalformed {
                line: value.to_string(),
            }),
        }
    }

    /// Presses the power button.
    pub fn system_powerdown(&mut self) -> Result<(), QemuError> {
        self.execute("system_powerdown", &json!({})).map(drop)
    }

    /// Presses the reset button.
    pub fn system_reset(&mut self) -> Result<(), QemuError> {
        self.execute("system_reset", &json!({})).map(drop)
    }

    /// Ends QEMU in order.
    pub fn quit(&mut self) -> Result<(), QemuError> {
        self.execute("quit", &json!({})).map(drop)
    }

    /// Waits for the event `name`, also one that came earlier and was not waited for yet.
    pub fn wait_event(&mut self, name: &str, timeout: Duration) -> Result<Value, QemuError> {
        let deadline = Instant::now() + timeout;
        let is_wanted = |event: &Value| event.get("event").and_then(Value::as_str) == Some(name);
        if let Some(position) = self.events.iter().position(is_wanted) {
            return Ok(self.events.remove(position).unwrap_or_default());
        }
        loop {
            let message = self.receive(name, deadline)?;
            if is_wanted(&message) {
                return Ok(message);
            }
            self.queue(message);
        }
    }

    fn queue(&mut self, event: Value) {
        if self.events.len() == QUEUED_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Reads one message; `what` names it in errors.
    fn receive(&mut self, what: &str, deadline: Instant) -> Result<Value, QemuError> {
        let begin = Instant::now();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(QemuError::QmpTimeout {
                    command: what.to_owned(),
                    seconds: deadline.saturating_duration_since(begin).as_secs_f32(),
                });
            }
            self.reader
                .get_ref()
                .set_read_timeout(Some(left))
                .map_err(|source| broken(what, source))?;
            // What was read before a timeout stays in the buffer.
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => return self.parse(),
                Ok(_) => {
                    let command = what.to_owned();
                    return Err(QemuError::QmpClosed { command });
                }
                Err(error) if is_retriable(error.kind()) => {}
                Err(source) => return Err(broken(what, source)),
            }
        }
    }

    fn parse(&mut self) -> Result<Value, QemuError> {
        let line = std::mem::take(&mut self.line);
        serde_json::from_slice(&line).map_err(|_| QemuError::QmpMalformed {
            line: String::from_utf8_lossy(&line).into_owned(),
        })
    }
}

fn is_retriable(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// A reset connection means the same as a closed one: QEMU has gone.
fn broken(command: &str, source: std::io::Error) -> QemuError {
    let command = command.to_owned();
    match source.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => QemuError::QmpClosed { command },
        _ => QemuError::QmpConnection { command, source },
    }
}

fn refused(command: &str, error: &Value) -> QemuError {
    let text = |key| {
        let value = error.get(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    QemuError::QmpRefused {
        command: command.to_owned(),
        class: text("class"),
        description: text("desc"),
    }
}

#[cfg(test)]
mod tests;
