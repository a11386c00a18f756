//! crun: it creates and starts the payload, and deletes what it knows of it at the end.
//!
//! It never stays: the payload becomes the monitor's child, since the monitor adopts orphans.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use monitor_protocol::RUNTIME_STATE;
use rustix::process::Pid;

use crate::arguments::Arguments;
use crate::exit::{Ending, LAUNCHER_FAILED, NOT_EXECUTABLE, NOT_FOUND};

const CRUN: &str = "/usr/bin/crun";
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Variables by which systemd speaks to a main process; to crun they would mean something, too.
const SYSTEMD_VARIABLES: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

fn crun(arguments: &Arguments) -> Command {
    crun_with_log(arguments, &log(&arguments.bundle))
}

fn crun_with_log(arguments: &Arguments, log: &Path) -> Command {
    let mut command = Command::new(CRUN);
    for variable in SYSTEMD_VARIABLES {
        command.env_remove(variable);
    }
    command
        .arg0("crun")
        .arg("--root")
        .arg(RUNTIME_STATE)
        .arg("--log")
        .arg(log)
        .arg(format!("--cgroup-manager={}", arguments.cgroup_manager))
        .stdin(Stdio::null());
    command
}

fn log(bundle: &Path) -> PathBuf {
    bundle.join("crun.log")
}

/// How far a container is brought at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Its first process waits for [`start`].
    Created,
    /// Its first process is the payload.
    Running,
}

/// Creates the container, and may start it, too: that costs a process less. Its first process gets the three standard
/// streams, or a terminal.
pub(crate) fn create(
    arguments: &Arguments,
    until: Until,
    streams: [Stdio; 3],
    console: Option<&Path>,
) -> Result<Pid, Ending> {
    let [standard_input, standard_output, standard_error] = streams;
    let pid_file = arguments.bundle.join("pid");
    let mut command = crun(arguments);
    match until {
        Until::Created => command.arg("create"),
        Until::Running => command.args(["run", "--detach"]),
    };
    command
        .arg("--bundle")
        .arg(&arguments.bundle)
        .arg("--pid-file")
        .arg(&pid_file)
        .arg(format!("--preserve-fds={}", arguments.sockets))
        .args(console.map(|path| format!("--console-socket={}", path.display())))
        .arg(&arguments.name)
        .stdin(standard_input)
        .stdout(standard_output)
        .stderr(standard_error);
    run(command, &arguments.bundle)?;
    let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| Ending::failed("crun told no process id"))
}

/// Lets the first process become the payload.
pub(crate) fn start(arguments: &Arguments) -> Result<(), Ending> {
    let mut command = crun(arguments);
    command
        .arg("start")
        .arg(&arguments.name)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run(command, &arguments.bundle)
}

/// Sends a signal that has no name.
pub(crate) fn kill(arguments: &Arguments, signal: i32) {
    let mut command = crun(arguments);
    command
        .arg("kill")
        .arg(&arguments.name)
        .arg(signal.to_string());
    // It fails only for a payload that has just ended.
    let _status = command.status();
}

/// Has crun forget the container and remove its control group.
pub(crate) fn delete(arguments: &Arguments) {
    let mut command = crun(arguments);
    command
        .args(["delete", "--force"])
        .arg(&arguments.name)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Of a container that was never created there is nothing to delete.
    let _status = command.status();
}

/// Has systemd stop the unit, without waiting: that stops the caller.
pub(crate) fn stop_unit(unit: &str) {
    let mut command = Command::new(SYSTEMCTL);
    for variable in SYSTEMD_VARIABLES {
        command.env_remove(variable);
    }
    command
        .args(["stop", "--no-block", "--"])
        .arg(format!("{unit}.service"))
        .stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("launch: {unit}.service is not stopped: systemctl: {status}"),
        Err(error) => eprintln!("launch: {unit}.service is not stopped: {SYSTEMCTL}: {error}"),
    }
}

/// Has the launcher remove what it made for the container.
pub(crate) fn clean_up(arguments: &Arguments) {
    let mut command = Command::new(&arguments.launcher);
    for variable in SYSTEMD_VARIABLES {
        command.env_remove(variable);
    }
    command
        .args(["clean", "--by-monitor"])
        .arg(&arguments.name)
        .stdin(Stdio::null());
    // What it could not do, it said; whoever starts the next container does it.
    if let Err(error) = command.status() {
        eprintln!("launch: {}: {error}", arguments.launcher.display());
    }
}

/// A file about an execution, in the current folder, which is the bundle.
pub(crate) fn exec_file(id: u64, ending: &str) -> String {
    format!("exec-{id}.{ending}")
}

pub(crate) fn remove_exec_files(id: u64) {
    for ending in ["json", "pid", "log", "console"] {
        // Not all of them are there; the rest goes with the folder.
        let _removed = std::fs::remove_file(exec_file(id, ending));
    }
}

/// Starts the runtime that starts a process. The process is described in a file, and gets the three streams or, if
/// it has a console, a terminal.
#[allow(
    clippy::zombie_processes,
    reason = "the monitor waits for every child that ends"
)]
pub(crate) fn exec(
    arguments: &Arguments,
    id: u64,
    has_console: bool,
    streams: [Stdio; 3],
) -> std::io::Result<Pid> {
    let path = |ending| arguments.bundle.join(exec_file(id, ending));
    let console = has_console.then(|| format!("--console-socket={}", path("console").display()));
    let [input, output, error] = streams;
    let mut command = crun_with_log(arguments, &path("log"));
    command
        .args(["exec", "--detach", "--pid-file"])
        .arg(path("pid"))
        .arg("--process")
        .arg(path("json"))
        .args(console)
        .arg(&arguments.name)
        .stdin(input)
        .stdout(output)
        .stderr(error);
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// The process that the runtime started, once the runtime has ended.
pub(crate) fn exec_result(id: u64, is_good: bool) -> Result<Pid, Ending> {
    let text = std::fs::read_to_string(exec_file(id, "pid")).unwrap_or_default();
    match text.trim().parse().ok().and_then(Pid::from_raw) {
        Some(pid) if is_good => Ok(pid),
        _ => {
            let log = std::fs::read_to_string(exec_file(id, "log")).unwrap_or_default();
            Err(failure(&log, "crun failed, and did not say why"))
        }
    }
}

fn run(mut command: Command, bundle: &Path) -> Result<(), Ending> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let text = std::fs::read_to_string(log(bundle)).unwrap_or_default();
            Err(failure(&text, &format!("crun failed: {status}")))
        }
        Err(error) => Err(Ending::failed(format!("{CRUN}: {error}"))),
    }
}

/// What crun's log says last, and which of Docker's codes that is.
fn failure(log: &str, otherwise: &str) -> Ending {
    let last = log.lines().rfind(|line| !line.trim().is_empty());
    let reason = last.map_or(otherwise, message).to_owned();
    // crun's words for a program that is not there, and for one that the kernel does not run.
    let is_program = ["executable", "exec "]
        .iter()
        .any(|word| reason.contains(word));
    let code = if is_program && reason.contains("No such file or directory") {
        NOT_FOUND
    } else if is_program {
        NOT_EXECUTABLE
    } else {
        LAUNCHER_FAILED
    };
    Ending::NotStarted { code, reason }
}

/// Without the time that crun's log has before each message.
fn message(line: &str) -> &str {
    let after = line
        .split_once(": ")
        .filter(|(time, _)| time.contains('T') && time.ends_with('Z'));
    after.map_or(line, |(_, rest)| rest).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(log: &str) -> (u8, String) {
        match failure(log, "crun failed") {
            Ending::NotStarted { code, reason } => (code, reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_are_dockers() {
        let log = "2026-11-30T03:00:00.123456Z: executable file `nope` not found in $PATH: No such file or directory\n";
        let reason = "executable file `nope` not found in $PATH: No such file or directory";
        assert_eq!(code(log), (NOT_FOUND, reason.to_owned()));
        let log = "the path `/a` exists but it is not executable: Operation not permitted\n";
        assert_eq!(code(log).0, NOT_EXECUTABLE);
        assert_eq!(
            code("open executable: Permission denied\n").0,
            NOT_EXECUTABLE
        );
        assert_eq!(
            code("mount `x`: No such file or directory\n").0,
            LAUNCHER_FAILED
        );
        assert_eq!(code(""), (LAUNCHER_FAILED, "crun failed".to_owned()));
    }
}
