//! Programs that are executed in a container beside its own: what a request asks for, and what is told of one.
//!
//! Who keeps them, and speaks with the container's monitor about them, is not decided here.

use monitor_protocol::message::ExecStreams;
use monitor_protocol::{Exec, WindowSize};
use serde_json::{Value, json};

use crate::ApiError;
use crate::fields::Fields;
use crate::window;

/// What is told of a program whose end nobody saw: Docker's code of one that was killed.
pub const LOST_CODE: u8 = 137;

/// A program that is to be executed: the body of `POST /containers/{id}/exec`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the API's questions, which have nothing to do with each other"
)]
pub struct ExecCreation {
    /// The program and its arguments; not empty.
    pub command: Vec<String>,
    /// Variables as `NAME=VALUE`.
    pub environment: Vec<String>,
    /// `USER[:GROUP]`; the container's if none.
    pub user: Option<String>,
    /// The container's if none.
    pub working_directory: Option<String>,
    /// Whether it may do everything.
    pub privileged: bool,
    /// Whether it has a terminal.
    pub has_terminal: bool,
    /// Whether the client sends input.
    pub has_input: bool,
    /// Whether the client gets the standard output.
    pub has_output: bool,
    /// Whether the client gets the standard error.
    pub has_error: bool,
    /// By which keys the terminal is left, as they were named.
    pub detach_keys: Option<String>,
    /// The terminal's size at the beginning.
    pub size: Option<WindowSize>,
}

/// How it is started: the body of `POST /exec/{id}/start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecStart {
    /// Whether nobody listens to it.
    pub is_detached: bool,
    /// The terminal's size at the beginning.
    pub size: Option<WindowSize>,
}

/// Where it is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecState {
    /// It is known, and was not started yet.
    Created,
    /// It is being started.
    Starting,
    /// It runs.
    Running {
        /// Its number as the machine counts.
        pid: u32,
    },
    /// It ended, or could not be started.
    Exited {
        /// Its code, or Docker's for why it could not be started.
        code: u8,
    },
}

impl ExecCreation {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        // It is told again when the program is started.
        fields.ignore(&["Detach"]);
        let command = fields.texts("Cmd")?.unwrap_or_default();
        if command.is_empty() {
            return Err(ApiError::bad_request("No exec command specified"));
        }
        let environment = fields.texts("Env")?.unwrap_or_default();
        if let Some(variable) = environment.iter().find(|one| !one.contains('=')) {
            return Err(fields.refuse("Env", &format!("`{variable}` has no value")));
        }
        let creation = Self {
            command,
            environment,
            user: fields.text("User")?,
            working_directory: fields.text("WorkingDir")?,
            privileged: fields.flag("Privileged")?,
            has_terminal: fields.flag("Tty")?,
            has_input: fields.flag("AttachStdin")?,
            has_output: fields.flag("AttachStdout")?,
            has_error: fields.flag("AttachStderr")?,
            detach_keys: fields.text("DetachKeys")?,
            size: window::console(&fields.value("ConsoleSize")),
        };
        fields.finish()?;
        Ok(creation)
    }

    /// What the container's monitor is asked for.
    pub fn request(&self, is_detached: bool, size: Option<WindowSize>) -> Exec {
        let streams = match (self.has_terminal, is_detached) {
            (true, _) => ExecStreams::Terminal { size },
            (false, true) => ExecStreams::Detached,
            (false, false) => ExecStreams::Pipes {
                input: self.has_input,
            },
        };
        Exec {
            command: self.command.clone(),
            environment: self.environment.clone(),
            user: self.user.clone(),
            working_directory: self.working_directory.clone(),
            privileged: self.privileged,
            streams,
        }
    }

    /// As events name it.
    pub fn line(&self) -> String {
        self.command.join(" ")
    }

    /// `json`.
    pub fn inspect(&self, id: &str, container: &str, state: ExecState) -> Value {
        let (program, arguments) = match self.command.split_first() {
            Some((program, arguments)) => (program.as_str(), arguments),
            None => ("", &[][..]),
        };
        let (code, pid) = match state {
            ExecState::Created | ExecState::Starting => (None, 0),
            ExecState::Running { pid } => (None, pid),
            ExecState::Exited { code } => (Some(code), 0),
        };
        json!({
            "ID": id,
            "Running": state.is_running(),
            "ExitCode": code,
            "ProcessConfig": {
                "tty": self.has_terminal,
                "entrypoint": program,
                "arguments": arguments,
                "privileged": self.privileged,
                "user": self.user.as_deref().unwrap_or_default(),
            },
            "OpenStdin": self.has_input,
            "OpenStdout": self.has_output,
            "OpenStderr": self.has_error,
            "CanRemove": false,
            "ContainerID": container,
            "DetachKeys": self.detach_keys.as_deref().unwrap_or_default(),
            "Pid": pid,
        })
    }
}

impl ExecStart {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        // That was decided when it was made.
        fields.ignore(&["Tty"]);
        let start = Self {
            is_detached: fields.flag("Detach")?,
            size: window::console(&fields.value("ConsoleSize")),
        };
        fields.finish()?;
        Ok(start)
    }
}

impl ExecState {
    /// Whether it runs, or is about to.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Starting | Self::Running { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_and_told() {
        let body = br#"{"User":"web","Tty":true,"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,
            "Detach":false,"DetachKeys":"","Env":["A=1"],"WorkingDir":"/srv","Cmd":["sh","-c","x"],
            "ConsoleSize":[24,80],"Privileged":false}"#;
        let creation = ExecCreation::parse(body).unwrap();
        let size = WindowSize {
            rows: 24,
            columns: 80,
        };
        assert_eq!(creation.size, Some(size));
        let exec = creation.request(false, creation.size);
        assert_eq!(exec.streams, ExecStreams::Terminal { size: Some(size) });
        assert_eq!(exec.user.as_deref(), Some("web"));
        let told = creation.inspect("e", "c", ExecState::Exited { code: 3 });
        assert_eq!(
            (&told["ExitCode"], &told["Running"]),
            (&json!(3), &json!(false))
        );
        assert_eq!(told["ProcessConfig"]["arguments"], json!(["-c", "x"]));
        let told = creation.inspect("e", "c", ExecState::Running { pid: 7 });
        assert_eq!((&told["ExitCode"], &told["Pid"]), (&Value::Null, &json!(7)));
    }

    #[test]
    fn streams_are_what_was_asked_for() {
        let creation = ExecCreation::parse(br#"{"Cmd":["cat"],"AttachStdin":true}"#).unwrap();
        let streams = |is_detached| creation.request(is_detached, None).streams;
        assert_eq!(streams(false), ExecStreams::Pipes { input: true });
        assert_eq!(streams(true), ExecStreams::Detached);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (body, name) in [
            (r#"{"Cmd":[]}"#, "No exec command"),
            (r#"{"Cmd":["a"],"Env":["A"]}"#, "Env"),
            (r#"{"Cmd":["a"],"Cgroup":"x"}"#, "Cgroup"),
        ] {
            let error = ExecCreation::parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.status, 400);
            assert!(error.message.contains(name), "{error}");
        }
        let start = ExecStart::parse(br#"{"Detach":true,"Tty":false,"ConsoleSize":null}"#).unwrap();
        assert!(start.is_detached && start.size.is_none());
        assert!(ExecStart::parse(br#"{"Wait":true}"#).is_err());
    }
}
