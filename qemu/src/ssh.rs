//! Commands in a guest, by the host's `ssh` program.
//!
//! One master connection carries all commands, so that a guest in software emulation pays for
//! one handshake only. The user's own configuration, keys and known hosts are not used.

use crate::bounded::{self, Finished};
use crate::child::ChildProcess;
use crate::console::read_messages;
use crate::run_directory::RunDirectory;
use crate::{Console, QemuError, WaitCause};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const KEY_NAME: &str = "id_ed25519";
const MASTER_LOG_NAME: &str = "master.log";
/// Generating an ed25519 key takes milliseconds.
const KEY_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between attempts to connect.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How long a command may take unless [`Ssh::run_within`] says otherwise.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);

/// A key pair made for one test or session, in a directory that goes with its last user.
#[derive(Debug, Clone)]
pub struct SshKey {
    directory: Arc<RunDirectory>,
    public: String,
}

impl SshKey {
    /// Generates a key in a new temporary directory in `parent`.
    pub fn generate(parent: &Path) -> Result<Self, QemuError> {
        let directory = RunDirectory::create(parent)?;
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "keelson", "-f"]);
        command.arg(directory.path().join(KEY_NAME));
        let (status, finished) = bounded::run_to_end(command, KEY_TIMEOUT)?;
        if !status.success() {
            return Err(Output::from((status, finished)).into_error("ssh-keygen"));
        }
        let path = directory.path().join(KEY_NAME).with_extension("pub");
        let public = fs::read_to_string(&path).map_err(QemuError::file("read", &path))?;
        Ok(Self {
            directory: Arc::new(directory),
            public,
        })
    }

    /// The line for `authorized_keys`, for instance as credential `ssh.authorized_keys.root`.
    pub fn public_line(&self) -> &str {
        &self.public
    }

    /// The file with the private key, for programs that call `ssh` by themselves.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(KEY_NAME)
    }
}

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended; 255 means that `ssh` itself failed.
    pub status: ExitStatus,
    /// Its standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

impl From<(ExitStatus, Finished)> for Output {
    fn from((status, finished): (ExitStatus, Finished)) -> Self {
        Self {
            status,
            stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
        }
    }
}

impl Output {
    fn into_error(self, command: &str) -> QemuError {
        QemuError::CommandFailed {
            command: command.to_owned(),
            status: self.status,
            stdout: self.stdout,
            stderr: self.stderr,
        }
    }
}

/// Runs commands in a guest.
#[derive(Debug)]
pub struct Ssh {
    program: PathBuf,
    directory: Arc<RunDirectory>,
    user: String,
    port: u16,
    console: Console,
    master: Master,
}

/// The process that holds the connection.
#[derive(Debug)]
enum Master {
    NotStarted,
    Started {
        child: ChildProcess,
        /// What the attempt before printed: this one may not have come to that yet.
        earlier_messages: String,
    },
    /// It ended, having printed this.
    Ended {
        messages: String,
    },
}

impl Ssh {
    pub(crate) fn new(key: &SshKey, user: &str, port: u16, console: Console) -> Self {
        Self {
            program: "ssh".into(),
            directory: Arc::clone(&key.directory),
            user: user.to_owned(),
            port,
            console,
            master: Master::NotStarted,
        }
    }

    /// Connects, again and again until it works or `timeout` is over. Fails at once if the
    /// machine ends. To be called again after the guest has rebooted.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<(), QemuError> {
        let deadline = Instant::now() + timeout;
        self.master = Master::NotStarted;
        while !self.is_connected()? {
            if Instant::now() >= deadline {
                return Err(QemuError::SshNotReady {
                    destination: format!("{}@127.0.0.1:{}", self.user, self.port),
                    seconds: timeout.as_secs_f32(),
                    messages: self.messages(),
                });
            }
            if self.console.wait_ended(RETRY_INTERVAL) {
                return Err(self.console.failure("SSH".to_owned(), WaitCause::Ended));
            }
        }
        Ok(())
    }

    /// Runs `command` in the guest's shell for at most two minutes. That it fails is no error
    /// here; that the guest cannot be reached is [`QemuError::CommandFailed`].
    pub fn run(&self, command: &str) -> Result<Output, QemuError> {
        self.run_within(command, COMMAND_TIMEOUT)
    }

    /// Like [`Ssh::run`], for at most `timeout`.
    pub fn run_within(&self, command: &str, timeout: Duration) -> Result<Output, QemuError> {
        let mut ssh = self.ssh(&["-o", "ControlMaster=no"]);
        ssh.args(["--", command]);
        let output = Output::from(bounded::run_to_end(ssh, timeout)?);
        match output.status.code() {
            Some(255) | None => Err(output.into_error(command)),
            Some(_) => Ok(output),
        }
    }

    /// Runs `command` in the guest's shell and returns what it prints; that it fails is an error.
    pub fn run_ok(&self, command: &str) -> Result<String, QemuError> {
        let output = self.run(command)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(output.into_error(command))
        }
    }

    /// A login shell on this process' terminal, until the user leaves it. The connection must be
    /// ready.
    pub fn run_shell(&self) -> Result<ExitStatus, QemuError> {
        let mut ssh = self.ssh(&["-t", "-o", "ControlMaster=no"]);
        ssh.status().map_err(QemuError::file("run", &self.program))
    }

    /// Whether the master connection stands; starts one if there is none.
    fn is_connected(&mut self) -> Result<bool, QemuError> {
        match &self.master {
            Master::Started { child, .. } if child.try_wait().is_none() => {
                // The master makes its socket once it is logged in.
                return Ok(self.file(&self.control_name()).exists());
            }
            Master::Started { .. } => {
                // It is started anew after the pause that follows.
                let messages = self.messages();
                self.master = Master::Ended { messages };
            }
            Master::NotStarted | Master::Ended { .. } => {
                self.master = Master::Started {
                    earlier_messages: self.messages(),
                    child: self.start_master()?,
                };
            }
        }
        Ok(false)
    }

    /// What the last attempt to connect printed.
    fn messages(&self) -> String {
        match &self.master {
            Master::NotStarted => String::new(),
            Master::Ended { messages } => messages.clone(),
            Master::Started {
                earlier_messages, ..
            } => match read_messages(&self.file(MASTER_LOG_NAME)) {
                current if current.is_empty() => earlier_messages.clone(),
                current => current,
            },
        }
    }

    fn start_master(&self) -> Result<ChildProcess, QemuError> {
        // A killed master has left its socket, which would look like a connection.
        let _ = fs::remove_file(self.file(&self.control_name()));
        let path = self.file(MASTER_LOG_NAME);
        let log = File::create(&path).map_err(QemuError::file("create", &path))?;
        let mut command = self.ssh(&["-N", "-o", "ControlMaster=yes"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        ChildProcess::spawn(command, Vec::new())
    }

    /// `ssh` to the guest. It runs in the key's directory and gets names relative to it: the
    /// path of a control socket must not be longer than 90 bytes or so.
    fn ssh(&self, options: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.directory.path());
        command.args(["-F", "/dev/null", "-i", KEY_NAME]);
        let settings = [
            "BatchMode=yes",
            "ConnectTimeout=10",
            "ControlPersist=no",
            "GlobalKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "LogLevel=ERROR",
            "PreferredAuthentications=publickey",
            "ServerAliveCountMax=6",
            "ServerAliveInterval=10",
            "StrictHostKeyChecking=no",
        ];
        for setting in settings {
            command.args(["-o", setting]);
        }
        let port = self.port;
        command.args(["-o", &format!("UserKnownHostsFile=known_hosts-{port}")]);
        command.args(["-o", &format!("ControlPath={}", self.control_name())]);
        command.args(options);
        command.args(["-p", &port.to_string(), "-l", &self.user, "127.0.0.1"]);
        command
    }

    fn control_name(&self) -> String {
        format!("control-{}-{}", self.user, self.port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

#[cfg(test)]
mod tests;
