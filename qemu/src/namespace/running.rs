//! A machine in namespaces that runs.
//!
//! Dropping a [`RunningNamespace`] kills every process of it; if this process dies, the kernel does.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::pseudo_terminal::PseudoTerminal;
use super::{Bridge, NamespaceMachine, RootTree, commands};
use crate::child::ChildProcess;
use crate::console::{ConsoleFiles, read_messages};
use crate::run_directory::RunDirectory;
use crate::running::new_log;
use crate::{Console, LogPolicy, QemuError, interrupt};

const OUTSIDE: &str = include_str!("outside.sh");
const INSIDE: &str = include_str!("inside.sh");
/// How long the scripts may take on a busy host.
const SETUP_TIMEOUT: Duration = Duration::from_mins(1);
/// How long processes may take to vanish once they are killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a boot's end is looked for.
const BOOT_INTERVAL: Duration = Duration::from_millis(50);
/// The name of the file with what the scripts print.
const MESSAGES_NAME: &str = "namespace.log";

/// A machine that runs; dropping it ends it and leaves nothing behind.
#[derive(Debug)]
pub struct RunningNamespace {
    machine: NamespaceMachine,
    life: Life,
    directory: RunDirectory,
}

/// From a start to an end.
#[derive(Debug)]
struct Life {
    child: ChildProcess,
    /// Its systemd, as the host numbers it.
    init: u32,
    console: Console,
    /// The thread that captures the console, until the machine has ended.
    capture: Option<JoinHandle<()>>,
    terminal: PseudoTerminal,
    group: String,
}

impl RunningNamespace {
    pub(super) fn start(
        machine: &NamespaceMachine,
        run_directory_parent: &Path,
        bridge: Option<&Bridge>,
    ) -> Result<Self, QemuError> {
        interrupt::check()?;
        let directory = RunDirectory::create(run_directory_parent)?;
        lay_files(machine, &directory.path().join("upper"))?;
        let life = begin(machine, &directory, bridge)?;
        Ok(Self {
            machine: machine.clone(),
            life,
            directory,
        })
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.machine.name
    }

    /// Its systemd, as the host numbers it.
    pub fn process_id(&self) -> u32 {
        self.life.init
    }

    /// What systemd prints.
    pub fn console(&self) -> &Console {
        &self.life.console
    }

    /// The folder that holds what the machine has written over its root tree. While it runs, it is to be
    /// read only.
    pub fn upper(&self) -> PathBuf {
        self.directory.path().join("upper")
    }

    /// A program of the machine, run in it as root, outside of its units, with an empty environment.
    pub fn command(&self, program: &str) -> Command {
        commands::inside(self.life.init, program)
    }

    /// Runs a program of the machine to its end and returns its standard output; a failure is an error.
    pub fn run(&self, words: &[&str], timeout: Duration) -> Result<String, QemuError> {
        commands::run(self.words(words), &words.join(" "), timeout)
    }

    /// Runs a program of the machine to its end: its status, standard output and standard error.
    pub fn output(
        &self,
        words: &[&str],
        timeout: Duration,
    ) -> Result<(ExitStatus, String, String), QemuError> {
        commands::output(self.words(words), timeout)
    }

    fn words(&self, words: &[&str]) -> Command {
        let (program, arguments) = words
            .split_first()
            .map_or(("true", words), |(p, a)| (*p, a));
        let mut command = self.command(program);
        command.args(arguments);
        command
    }

    /// Waits until systemd has started all that it wants to. Whether every unit is well is not asked:
    /// the answer is systemd's word, `running` or `degraded`.
    pub fn wait_booted(&self, timeout: Duration) -> Result<String, QemuError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (_, state, _) = self.output(&["systemctl", "is-system-running"], left)?;
            let state = state.trim();
            if ["running", "degraded"].contains(&state) {
                return Ok(state.to_owned());
            }
            if self.life.child.try_wait().is_some() || left.is_zero() {
                let cause = crate::WaitCause::TimedOut {
                    seconds: timeout.as_secs_f32(),
                };
                return Err(self.console().failure("a booted systemd".to_owned(), cause));
            }
            std::thread::sleep(BOOT_INTERVAL);
        }
    }

    /// Ends the machine in order. One that has not ended when `timeout` is over is killed, which is an
    /// error.
    pub fn power_off(&mut self, timeout: Duration) -> Result<(), QemuError> {
        let mut command = self.command("systemctl");
        command.args(["--no-block", "poweroff"]);
        // The machine may be gone before the answer is.
        let _told = commands::output(command, timeout)?;
        let ended = self.life.child.wait(timeout);
        self.life.end();
        interrupt::check()?;
        match ended {
            Some(_) => Ok(()),
            None => Err(QemuError::StillRunning {
                machine: self.machine.name.clone(),
                seconds: timeout.as_secs_f32(),
            }),
        }
    }

    /// Kills every process at once, as a power cut does.
    pub fn kill(&mut self) {
        self.life.end();
    }

    /// Boots again with what was written so far, after the end or after a power cut now.
    pub fn boot_again(&mut self, bridge: Option<&Bridge>) -> Result<(), QemuError> {
        self.life.end();
        commands::remove_group(&self.life.group, &self.directory.path().join("cgroup"));
        self.life = begin(&self.machine, &self.directory, bridge)?;
        Ok(())
    }
}

impl Life {
    fn end(&mut self) {
        // The first process of its namespace: all others die with it, before it is reaped.
        let init = i32::try_from(self.init).ok().and_then(Pid::from_raw);
        if let Some(init) = init.filter(|_| self.child.try_wait().is_none()) {
            let _killed = kill_process(init, Signal::KILL);
            if self.child.wait(KILL_TIMEOUT).is_none() {
                let _killed = self.child.kill();
            }
        }
        self.terminal.end();
        if let Some(capture) = self.capture.take() {
            // A panic there has been printed, and the lines it captured remain.
            let _ended = capture.join();
        }
    }
}

impl Drop for RunningNamespace {
    fn drop(&mut self) {
        self.life.end();
        commands::remove_group(&self.life.group, &self.directory.path().join("cgroup"));
        let failed = self.console().has_failed() || std::thread::panicking();
        if matches!(self.machine.logs, LogPolicy::KeepOnFailure(_)) && !failed {
            let _removed = fs::remove_file(self.console().log_path());
        }
    }
}

/// Writes what the machine has over its root tree.
fn lay_files(machine: &NamespaceMachine, upper: &Path) -> Result<(), QemuError> {
    let name = format!("{}\n", machine.name);
    write(upper, Path::new("/etc/hostname"), name.as_bytes(), 0o644)?;
    let id = match &machine.machine_id {
        Some(id) => id.clone(),
        None => random_id()?,
    };
    let id = format!("{id}\n");
    write(upper, Path::new("/etc/machine-id"), id.as_bytes(), 0o444)?;
    for unit in &machine.masked {
        let link = upper.join("etc/systemd/system").join(unit);
        make_parent(&link)?;
        symlink("/dev/null", &link).map_err(QemuError::file("create", &link))?;
    }
    for file in &machine.files {
        write(upper, &file.path, &file.contents, file.mode)?;
    }
    Ok(())
}

fn write(upper: &Path, path: &Path, contents: &[u8], mode: u32) -> Result<(), QemuError> {
    let target = upper.join(path.strip_prefix("/").unwrap_or(path));
    make_parent(&target)?;
    fs::write(&target, contents).map_err(QemuError::file("write", &target))?;
    fs::set_permissions(&target, fs::Permissions::from_mode(mode))
        .map_err(QemuError::file("set the permissions of", &target))
}

fn make_parent(path: &Path) -> Result<(), QemuError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(QemuError::file("create", parent))
}

/// As the kernel makes one up.
fn random_id() -> Result<String, QemuError> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = fs::read_to_string(path).map_err(QemuError::file("read", path))?;
    Ok(text.trim().replace('-', ""))
}

fn begin(
    machine: &NamespaceMachine,
    directory: &RunDirectory,
    bridge: Option<&Bridge>,
) -> Result<Life, QemuError> {
    let (terminal, stream) = PseudoTerminal::open()?;
    let messages = directory.path().join(MESSAGES_NAME);
    let files = ConsoleFiles {
        machine: machine.name.clone(),
        log: new_log(&machine.logs, directory, &machine.name)?,
        messages: messages.clone(),
        tolerated: machine.tolerated.clone(),
    };
    let group = format!("keelson-{}-{}", std::process::id(), machine.name);
    let (control, theirs) =
        UnixStream::pair().map_err(QemuError::file("create", "a socket pair"))?;
    let command = command(machine, directory, &group, &terminal, theirs.into())?;
    let child = ChildProcess::spawn(command, Vec::new())?;
    let (console, capture) = Console::capture(stream, files)?;
    let refused = |reason: String| QemuError::NamespaceDidNotStart {
        machine: machine.name.clone(),
        reason: format!("{reason}{}", read_messages(&messages)),
    };
    wait_ready(&control).map_err(refused)?;
    let init = only_child(child.id()).map_err(refused)?;
    if let (Some(bridge), Some(address)) = (bridge, &machine.address) {
        bridge.join(&machine.name, init, address)?;
    }
    (&control)
        .write_all(b"go\n")
        .map_err(|error| refused(format!("{error}: ")))?;
    Ok(Life {
        child,
        init,
        console,
        capture: Some(capture),
        terminal,
        group,
    })
}

fn command(
    machine: &NamespaceMachine,
    directory: &RunDirectory,
    group: &str,
    terminal: &PseudoTerminal,
    control: OwnedFd,
) -> Result<Command, QemuError> {
    let path = directory.path().join(MESSAGES_NAME);
    let messages = File::create(&path).map_err(QemuError::file("create", &path))?;
    let same = messages
        .try_clone()
        .map_err(QemuError::file("duplicate", &path))?;
    let (root, file_system) = match &machine.root {
        RootTree::Directory(path) => (path, ""),
        RootTree::Image { path, file_system } => (path, *file_system),
    };
    let root = std::path::absolute(root).map_err(QemuError::file("find", root))?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", OUTSIDE, "outside", INSIDE, group])
        .arg(directory.path())
        .arg(root)
        .arg(file_system)
        .arg(&terminal.path)
        .arg(&machine.name)
        .stdin(Stdio::from(control))
        .stdout(messages)
        .stderr(same);
    for bind in &machine.binds {
        let source = std::path::absolute(&bind.source);
        command.arg(source.map_err(QemuError::file("find", &bind.source))?);
        command.arg(&bind.target);
    }
    Ok(command)
}

/// Waits for the script's word; what went wrong otherwise.
fn wait_ready(control: &UnixStream) -> Result<(), String> {
    let timed = control.set_read_timeout(Some(SETUP_TIMEOUT));
    timed.map_err(|error| format!("{error}: "))?;
    let mut line = String::new();
    match BufReader::new(control).read_line(&mut line) {
        Ok(_) if line == "ready\n" => Ok(()),
        Ok(_) => Err(String::new()),
        Err(error) => Err(format!("{error} while it was put together: ")),
    }
}

fn only_child(process: u32) -> Result<u32, String> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}. "))?;
    let first = text.split_whitespace().next();
    first
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| format!("{path}: no child. "))
}
