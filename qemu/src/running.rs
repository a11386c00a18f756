//! A machine that runs: QEMU as a child process, with its console and control connection.
//!
//! Dropping a [`Running`] kills QEMU, reaps it and removes its temporary directory; if this
//! process dies, the kernel kills QEMU. Both connections are inherited socket pairs: they have no
//! names, so no path is too long for them and nothing else can connect. Machines are not
//! restarted here: start the [`Machine`] again.

use crate::arguments::{self, Resources};
use crate::child::ChildProcess;
use crate::console::{ConsoleFiles, read_messages};
use crate::qmp::Qmp;
use crate::run_directory::RunDirectory;
use crate::segment::HardwareAddress;
use crate::ssh::{Ssh, SshKey};
use crate::{
    Boot, Console, Disk, DiskMode, FirmwareVariables, Forward, LogPolicy, Machine, QemuError,
    QemuVersion, interrupt, network, tpm,
};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long QEMU may take to end once it was told to.
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);
/// The name of the file with what QEMU itself prints.
const MESSAGES_NAME: &str = "qemu.log";

/// A machine that runs; dropping it ends it and leaves nothing behind.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: ChildProcess,
    /// Ends after QEMU, which it serves.
    _tpm: Option<ChildProcess>,
    console: Console,
    /// The thread that captures the console, until the machine has ended.
    capture: Option<JoinHandle<()>>,
    qmp: Qmp,
    forwards: Vec<Forward>,
    logs: LogPolicy,
    directory: RunDirectory,
}

impl Machine {
    /// Starts the machine with a temporary directory in `run_directory_parent`.
    ///
    /// QEMU's own temporary files, the writes to snapshot disks, go there as well. Directories
    /// that killed processes left in it are removed.
    pub fn start(&self, run_directory_parent: &Path) -> Result<Running, QemuError> {
        self.validate()?;
        QemuVersion::require(&self.binary)?;
        interrupt::check()?;
        let directory = RunDirectory::create(run_directory_parent)?;
        let (control, control_theirs) = socket_pair()?;
        let (console, console_theirs) = socket_pair()?;
        let (tpm, tpm_theirs) = self.tpm.as_deref().map(tpm::start).transpose()?.unzip();
        let resources = Resources {
            control: control_theirs.as_raw_fd(),
            console: console_theirs.as_raw_fd(),
            tpm: tpm_theirs.as_ref().map(OwnedFd::as_raw_fd),
            variables: variables(&self.boot, &directory)?,
            strings: write_strings(self, &directory)?,
            segment_address: HardwareAddress::random(),
        };
        let files = ConsoleFiles {
            machine: self.name.clone(),
            log: new_log(&self.logs, &directory, &self.name)?,
            messages: directory.path().join(MESSAGES_NAME),
            tolerated: self.tolerated.clone(),
        };
        make_write_logs(&self.disks)?;
        let command = self.command(&resources, &directory)?;
        let mut inherited = vec![control_theirs, console_theirs];
        inherited.extend(tpm_theirs);
        let child = ChildProcess::spawn(command, inherited)?;
        let (console, capture) = Console::capture(console, files)?;
        let qmp = match Qmp::connect(control) {
            Ok(qmp) => qmp,
            Err(error) => return Err(self.explain(&child, &directory, error)),
        };
        let mut running = Running {
            name: self.name.clone(),
            child,
            _tpm: tpm,
            console,
            capture: Some(capture),
            qmp,
            forwards: Vec::new(),
            logs: self.logs.clone(),
            directory,
        };
        if !self.network.forwards().is_empty() {
            let table = running.qmp.human_monitor("info usernet")?;
            running.forwards = network::parse_forwards(&table);
        }
        Ok(running)
    }

    fn command(
        &self,
        resources: &Resources,
        directory: &RunDirectory,
    ) -> Result<Command, QemuError> {
        let path = directory.path().join(MESSAGES_NAME);
        let messages = File::create(&path).map_err(QemuError::file("create", &path))?;
        let same = messages
            .try_clone()
            .map_err(QemuError::file("duplicate", &path))?;
        let mut command = Command::new(&self.binary);
        command
            .args(arguments::build(self, resources))
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(messages)
            .stderr(same);
        Ok(command)
    }

    /// QEMU that ends at once has printed why, which says more than the broken connection.
    fn explain(
        &self,
        child: &ChildProcess,
        directory: &RunDirectory,
        error: QemuError,
    ) -> QemuError {
        if let Err(interrupted) = interrupt::check() {
            return interrupted;
        }
        match (&error, child.wait(QUIT_TIMEOUT)) {
            (QemuError::QmpClosed { .. }, Some(status)) => QemuError::DidNotStart {
                machine: self.name.clone(),
                status,
                messages: read_messages(&directory.path().join(MESSAGES_NAME)),
            },
            _ => error,
        }
    }
}

impl Running {
    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The connection to QEMU's control socket.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// The directory for this machine's temporary files.
    pub fn run_directory(&self) -> &Path {
        self.directory.path()
    }

    /// The port at 127.0.0.1 that leads to `guest_port`, if one does.
    pub fn host_port(&self, guest_port: u16) -> Option<u16> {
        let mut forwards = self.forwards.iter();
        let forward = forwards.find(|forward| forward.guest_port == guest_port)?;
        Some(forward.host_port)
    }

    /// A way to run commands in the guest as `user`, whose `authorized_keys` has `key`. Port 22
    /// must be forwarded.
    pub fn ssh(&self, key: &SshKey, user: &str) -> Result<Ssh, QemuError> {
        let port = self.host_port(22).ok_or_else(|| QemuError::Configuration {
            machine: self.name.clone(),
            reason: "port 22 is not forwarded, so SSH cannot reach it".to_owned(),
        })?;
        Ok(Ssh::new(key, user, port, self.console.clone()))
    }

    /// Waits until the machine ends by itself.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus, QemuError> {
        let status = self.child.wait(timeout);
        interrupt::check()?;
        let status = status.ok_or_else(|| QemuError::StillRunning {
            machine: self.name.clone(),
            seconds: timeout.as_secs_f32(),
        })?;
        self.finish_capture();
        Ok(status)
    }

    /// Presses the power button and waits until the machine has ended. One that has not when
    /// `timeout` is over is killed, which is an error.
    pub fn power_off(&mut self, timeout: Duration) -> Result<ExitStatus, QemuError> {
        let pressed = self.qmp.system_powerdown();
        self.end(pressed, timeout)
    }

    /// Ends QEMU without asking the guest, with the disks' images in order: like a reset button
    /// held, not like a power cut.
    pub fn quit(&mut self) -> Result<ExitStatus, QemuError> {
        let told = self.qmp.quit();
        self.end(told, QUIT_TIMEOUT)
    }

    /// Kills QEMU: what it had not yet written is lost with it.
    pub fn kill(&mut self) -> Result<ExitStatus, QemuError> {
        let program = self.child.program().to_owned();
        let status = self.child.kill();
        let status = status.map_err(QemuError::file("kill", program))?;
        self.finish_capture();
        Ok(status)
    }

    fn end(
        &mut self,
        told: Result<(), QemuError>,
        timeout: Duration,
    ) -> Result<ExitStatus, QemuError> {
        match told {
            // It was ending already.
            Ok(()) | Err(QemuError::QmpClosed { .. }) => {}
            Err(error) => return Err(error),
        }
        let ended = self.wait_exit(timeout);
        if matches!(ended, Err(QemuError::StillRunning { .. })) {
            self.kill()?;
        }
        ended
    }

    /// Waits for the last of the console, which ends with QEMU.
    fn finish_capture(&mut self) {
        if let Some(capture) = self.capture.take() {
            // A panic there has been printed, and the lines it captured remain.
            let _ = capture.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failure leaves nothing to be done: dropping the child tries once more.
        let _ = self.kill();
        let failed = self.console.has_failed() || std::thread::panicking();
        if matches!(self.logs, LogPolicy::KeepOnFailure(_)) && !failed {
            let _ = fs::remove_file(self.console.log_path());
        }
    }
}

fn socket_pair() -> Result<(UnixStream, OwnedFd), QemuError> {
    let (ours, theirs) = UnixStream::pair().map_err(QemuError::file("create", "a socket pair"))?;
    Ok((ours, theirs.into()))
}

/// QEMU opens the logs, and makes none.
fn make_write_logs(disks: &[Disk]) -> Result<(), QemuError> {
    for disk in disks {
        if let DiskMode::Recorded(log) = &disk.mode {
            File::create(log).map_err(QemuError::file("create", log))?;
        }
    }
    Ok(())
}

fn variables(boot: &Boot, directory: &RunDirectory) -> Result<Option<PathBuf>, QemuError> {
    match boot {
        Boot::LegacyBios | Boot::DirectKernel { .. } => Ok(None),
        Boot::Firmware { variables, .. } => match variables {
            FirmwareVariables::Persistent(path) => Ok(Some(path.clone())),
            FirmwareVariables::Fresh(template) => {
                let bytes = fs::read(template).map_err(QemuError::file("read", template))?;
                directory.write("variables.fd", &bytes).map(Some)
            }
        },
    }
}

fn write_strings(machine: &Machine, directory: &RunDirectory) -> Result<Vec<PathBuf>, QemuError> {
    let strings = machine.smbios_strings();
    let numbered = strings.iter().enumerate();
    numbered
        .map(|(index, text)| directory.write(&format!("smbios-string{index}"), text.as_bytes()))
        .collect()
}

/// The file for the console's log: a new one, as several machines may have the same name.
pub(crate) fn new_log(
    policy: &LogPolicy,
    directory: &RunDirectory,
    name: &str,
) -> Result<PathBuf, QemuError> {
    let kept = match policy {
        LogPolicy::Remove => return Ok(directory.path().join("console.log")),
        LogPolicy::KeepOnFailure(kept) | LogPolicy::Keep(kept) => kept,
    };
    fs::create_dir_all(kept).map_err(QemuError::file("create", kept))?;
    for number in 1_u32.. {
        let path = kept.join(format!("{name}-{number}.log"));
        match File::create_new(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(QemuError::file("create", path)(error)),
        }
    }
    unreachable!("numbers do not run out before the disk is full")
}
