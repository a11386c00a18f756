//! Everything that can go wrong with a virtual machine.
//!
//! It does not judge what a guest prints; that is [`crate::badness`].

use crate::binary::QemuVersion;
use std::{fmt, io, path::PathBuf, process::ExitStatus};
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
pub enum QemuError {
    /// The QEMU program is not installed.
    #[error("{} is not installed: install the package qemu-system-x86", binary.display())]
    BinaryMissing {
        /// The program that was looked for.
        binary: PathBuf,
    },
    /// The program answered `--version` with something else than a version of QEMU.
    #[error("{} --version does not tell a version of QEMU, but: {output:?}", binary.display())]
    VersionUnreadable {
        /// The program that was asked.
        binary: PathBuf,
        /// What it printed.
        output: String,
    },
    /// The QEMU found cannot run Debian 13.
    #[error(
        "{} is QEMU {found}, and {oldest} is the oldest that works: the software emulation of \
         older ones (7.2 of Debian 12) crashes Debian 13's kernels. Install qemu-system-x86 \
         from backports: apt-get install -t bookworm-backports qemu-system-x86",
        binary.display(), oldest = crate::binary::OLDEST_VERSION
    )]
    TooOld {
        /// The program that was asked.
        binary: PathBuf,
        /// Its version.
        found: QemuVersion,
    },
    /// The operator asked for an acceleration that does not exist.
    #[error("acceleration {value:?} is unknown: {variable} must be kvm or tcg", variable = crate::ACCELERATION_VARIABLE)]
    UnknownAcceleration {
        /// What was asked for.
        value: String,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A program did not finish in its time and was killed.
    #[error("{program} did not finish in {seconds} s and was killed; it printed: {output}")]
    CommandTimeout {
        /// The program.
        program: String,
        /// The time it was given, in seconds.
        seconds: f32,
        /// What it had printed on its standard output and error.
        output: String,
    },
    /// A file, directory or pipe of a machine could not be used.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried: "create", "read" and so on.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The description of a machine makes no sense.
    #[error("machine {machine}: {reason}")]
    Configuration {
        /// The machine's name.
        machine: String,
        /// What is wrong with it.
        reason: String,
    },
    /// QEMU ended before the machine ran.
    #[error("machine {machine} did not start, QEMU ended with {status}: {messages}")]
    DidNotStart {
        /// The machine's name.
        machine: String,
        /// How QEMU ended.
        status: ExitStatus,
        /// What QEMU printed.
        messages: String,
    },
    /// A machine in namespaces ended before its systemd ran.
    #[error(
        "machine {machine} did not start in namespaces, which needs root and the programs of util-linux and iproute2: {reason}"
    )]
    NamespaceDidNotStart {
        /// The machine's name.
        machine: String,
        /// What the scripts printed.
        reason: String,
    },
    /// Waiting for the console failed.
    #[error("{0}")]
    Console(Box<WaitFailure>),
    /// Nothing can be typed on the console: the machine has ended.
    #[error("cannot write to the console of machine {machine}")]
    ConsoleWrite {
        /// The machine's name.
        machine: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The connection to QEMU's control socket broke.
    #[error("QMP: the connection broke during {command}")]
    QmpConnection {
        /// The command under way.
        command: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// QEMU closed its control socket, usually because it ended.
    #[error("QMP: QEMU closed the connection during {command}")]
    QmpClosed {
        /// The command under way.
        command: String,
    },
    /// QEMU did not answer in time.
    #[error("QMP: no answer to {command} in {seconds} s")]
    QmpTimeout {
        /// The command or event that was waited for.
        command: String,
        /// The time it was given, in seconds.
        seconds: f32,
    },
    /// QEMU refused a command.
    #[error("QMP: {command} was refused ({class}): {description}")]
    QmpRefused {
        /// The command.
        command: String,
        /// QEMU's class of the error.
        class: String,
        /// QEMU's description of it.
        description: String,
    },
    /// QEMU sent something that is not QMP.
    #[error("QMP: {line:?} is not a message")]
    QmpMalformed {
        /// What arrived.
        line: String,
    },
    /// The machine was still running when it should have ended.
    #[error("machine {machine} was still running after {seconds} s")]
    StillRunning {
        /// The machine's name.
        machine: String,
        /// The time it was given, in seconds.
        seconds: f32,
    },
    /// No connection by SSH came about.
    #[error("no SSH connection to {destination} in {seconds} s, the last attempt said: {messages}")]
    SshNotReady {
        /// User, address and port.
        destination: String,
        /// The time it was given, in seconds.
        seconds: f32,
        /// What `ssh` printed last.
        messages: String,
    },
    /// A command failed in the guest, or a local helper of SSH failed.
    #[error("{command} ended with {status}\nstdout: {stdout}\nstderr: {stderr}")]
    CommandFailed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
    /// The terminal could not be used.
    #[error("cannot {operation} the terminal")]
    Terminal {
        /// What was tried.
        operation: &'static str,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The handlers for signals could not be installed.
    #[error("cannot handle signals")]
    Signals {
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A signal told this process to end; its machines are stopped.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// The number of the signal.
        signal: i32,
    },
}

impl QemuError {
    /// Returns a closure for `map_err` that says which file could not be used for what.
    pub(crate) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }
}

/// Why and in which state of the console a wait failed.
#[derive(Debug)]
pub struct WaitFailure {
    /// The machine's name.
    pub machine: String,
    /// What was waited for.
    pub pattern: String,
    /// Why the wait ended.
    pub cause: WaitCause,
    /// The last 20 lines of the console.
    pub tail: Vec<String>,
    /// What QEMU itself printed.
    pub messages: String,
    /// Where the full log of the console is.
    pub log: PathBuf,
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitCause {
    /// The time was over.
    TimedOut {
        /// The time given, in seconds.
        seconds: f32,
    },
    /// The machine ended.
    Ended,
    /// The guest printed a line after which nothing good follows.
    FatalLine {
        /// Its number, from 1.
        number: usize,
        /// What it means.
        reason: &'static str,
    },
}

impl fmt::Display for WaitCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { seconds } => write!(formatter, "not seen in {seconds} s"),
            Self::Ended => write!(formatter, "the machine ended before it was seen"),
            Self::FatalLine { number, reason } => {
                write!(formatter, "console line {number} says: {reason}")
            }
        }
    }
}

impl fmt::Display for WaitFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "machine {}: waited for {}: {}",
            self.machine, self.pattern, self.cause
        )?;
        if !self.messages.is_empty() {
            writeln!(formatter, "QEMU said: {}", self.messages)?;
        }
        writeln!(formatter, "the last {} lines:", self.tail.len())?;
        for line in &self.tail {
            writeln!(formatter, "  | {line}")?;
        }
        write!(formatter, "full log: {}", self.log.display())
    }
}
