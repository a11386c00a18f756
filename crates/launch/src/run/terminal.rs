//! `launch run` in a terminal, outside of a unit: the container runs beside this process, which is attached to it.
//!
//! Leaving it by the detach keys leaves the container running. It ends with the user's session, since that is where
//! it is counted.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use container_model::name::Name;
use monitor_protocol::{Attach, FOLDER, Request};
use rustix::termios::isatty;

use super::monitor_words::is_main_process;
use crate::run_arguments::RunArguments;
use crate::running::attach::{attach_to, joined};
use crate::running::connection::Connection;
use crate::running::session::{End, join};

/// Between two looks whether the monitor is there.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether the container is to have this terminal.
pub(crate) fn is_wanted(arguments: &RunArguments) -> bool {
    let monitored = &arguments.monitored;
    let is_by_hand = monitored.hold.is_none() && !is_main_process();
    monitored.tty && is_by_hand && isatty(std::io::stdin())
}

/// Runs it, and ends as it ends.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let mark = PathBuf::from(format!("{FOLDER}-hold-{}", std::process::id()));
    let name: Name = match &arguments.name {
        Some(name) => name.clone(),
        None => format!("launch-{}", std::process::id()).parse()?,
    };
    if let Some(folder) = mark.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&mark, "").with_context(|| mark.display().to_string())?;
    let end = joined_to(arguments, &name, &mark);
    let _removed = std::fs::remove_file(&mark);
    end
}

fn joined_to(arguments: &RunArguments, name: &Name, mark: &Path) -> anyhow::Result<ExitCode> {
    let mut child = begin(arguments, name, mark)?;
    let Some(mut connection) = connect(&mut child, name)? else {
        // It said why.
        return code_of(&mut child);
    };
    match attached(arguments, &mut connection)? {
        End::Detached => {
            eprintln!("\r\nlaunch: detached: `launch attach {name}` comes back");
            Ok(ExitCode::SUCCESS)
        }
        End::Exited(exit) => {
            child.wait()?;
            Ok(ExitCode::from(exit.code))
        }
        End::Closed => code_of(&mut child),
    }
}

fn code_of(child: &mut Child) -> anyhow::Result<ExitCode> {
    let code = child
        .wait()?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(125)))
}

/// The same command once more, which holds the container, and hears no key of this terminal.
fn begin(arguments: &RunArguments, name: &Name, mark: &std::path::Path) -> anyhow::Result<Child> {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut more: Vec<OsString> = vec![format!("--hold={}", mark.display()).into()];
    if arguments.name.is_none() {
        more.push(format!("--name={name}").into());
    }
    // After `run`.
    words.splice(1..1, more);
    let child = Command::new(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    child.context("launch")
}

/// Waits until the monitor is there; none if it never will be.
fn connect(child: &mut Child, name: &Name) -> anyhow::Result<Option<Connection>> {
    loop {
        if let Ok(connection) = Connection::open(name) {
            return Ok(Some(connection));
        }
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

fn attached(arguments: &RunArguments, connection: &mut Connection) -> anyhow::Result<End> {
    let attach = Attach {
        input: arguments.monitored.interactive,
        output: true,
        error: true,
        wait: true,
    };
    let has_terminal = attach_to(connection, attach)?;
    connection.ask(&Request::Start)?;
    let mut joined = joined(attach, has_terminal, &arguments.monitored.detach_keys);
    join(connection, &mut joined)
}
