//! `launch attach`: the streams of a container's payload.
//!
//! Leaving it changes nothing for the payload.

use std::process::ExitCode;

use anyhow::bail;
use monitor_protocol::{Answer, Attach, DetachKeys, Request};

use super::command_line::AttachArguments;
use super::connection::Connection;
use super::session::{End, Joined, Subject, join};

pub(crate) fn run(arguments: &AttachArguments) -> anyhow::Result<ExitCode> {
    let mut connection = Connection::open(&arguments.name)?;
    let status = connection.status()?;
    let attach = Attach {
        input: status.input && !arguments.no_stdin,
        output: true,
        error: true,
        wait: arguments.wait,
    };
    let has_terminal = attach_to(&mut connection, attach)?;
    let mut joined = joined(attach, has_terminal, &arguments.detach_keys);
    joined.passes_signals = arguments.sig_proxy;
    finish(&join(&mut connection, &mut joined)?)
}

/// Attaches, and says whether the payload has a terminal.
pub(crate) fn attach_to(connection: &mut Connection, attach: Attach) -> anyhow::Result<bool> {
    match connection.ask(&Request::Attach(attach))? {
        Answer::Attached { terminal } => Ok(terminal),
        other => bail!("the container's monitor answered {other:?}"),
    }
}

pub(crate) fn joined(attach: Attach, has_terminal: bool, keys: &DetachKeys) -> Joined {
    Joined {
        has_input: attach.input,
        has_terminal,
        passes_signals: false,
        subject: Subject::Payload,
        keys: keys.clone(),
    }
}

/// Ends as the process did.
pub(crate) fn finish(end: &End) -> anyhow::Result<ExitCode> {
    match end {
        End::Exited(exit) => Ok(ExitCode::from(exit.code)),
        End::Detached => {
            eprintln!("launch: detached");
            Ok(ExitCode::SUCCESS)
        }
        End::Closed => bail!("the container's monitor is gone, and did not say how it ended"),
    }
}
