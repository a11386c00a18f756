//! `launch exec`: another program in a running container.
//!
//! The container's monitor starts it, so it is counted with the container.

use std::process::ExitCode;

use anyhow::bail;
use container_model::environment::Variable;
use monitor_protocol::message::{ExecStreams, Failure, FailureKind};
use monitor_protocol::{Answer, Exec, Request};
use rustix::termios::isatty;

use super::attach::finish;
use super::command_line::ExecArguments;
use super::connection::Connection;
use super::session::{Joined, Subject, join, window_size};

pub(crate) fn run(arguments: &ExecArguments) -> anyhow::Result<ExitCode> {
    if arguments.tty && arguments.interactive && !isatty(std::io::stdin()) {
        bail!("the standard input is no terminal: leave --tty away");
    }
    let mut connection = Connection::open(&arguments.name)?;
    match connection.ask(&Request::Exec(Box::new(exec(arguments)))) {
        Ok(Answer::Started { .. }) if arguments.detach => return Ok(ExitCode::SUCCESS),
        Ok(Answer::Started { .. }) => {}
        Ok(other) => bail!("the container's monitor answered {other:?}"),
        Err(error) => return refused(error),
    }
    let mut joined = Joined {
        has_input: arguments.interactive,
        has_terminal: arguments.tty,
        passes_signals: !arguments.tty,
        subject: Subject::Execution,
        keys: arguments.detach_keys.clone(),
    };
    finish(&join(&mut connection, &mut joined)?)
}

fn exec(arguments: &ExecArguments) -> Exec {
    let variable = |variable: &Variable| match variable {
        Variable::Set { name, value } => Some(format!("{name}={value}")),
        Variable::Inherited(name) => Some(format!("{name}={}", std::env::var(name).ok()?)),
    };
    Exec {
        command: arguments.command.clone(),
        environment: arguments.env.iter().filter_map(variable).collect(),
        user: arguments.user.clone(),
        working_directory: arguments.workdir.clone(),
        privileged: arguments.privileged,
        streams: match (arguments.detach, arguments.tty) {
            (true, _) => ExecStreams::Detached,
            (false, true) => ExecStreams::Terminal {
                size: window_size(),
            },
            (false, false) => ExecStreams::Pipes {
                input: arguments.interactive,
            },
        },
    }
}

/// Docker's codes for programs that are not there or cannot be run.
fn refused(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let kind = error.downcast_ref().map(|failure: &Failure| failure.kind);
    let code = match kind {
        Some(FailureKind::NotFound) => 127,
        Some(FailureKind::NotExecutable) => 126,
        _ => return Err(error),
    };
    eprintln!("launch: {error:#}");
    Ok(ExitCode::from(code))
}
