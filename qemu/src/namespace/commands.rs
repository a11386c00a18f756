//! The programs of the host that namespaces are made with: `unshare`, `nsenter`, `ip`, `mount`.
//!
//! All of them are in util-linux and iproute2.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::{QemuError, bounded};

/// How long a command that only changes namespaces may take on a busy host.
const SETUP_TIMEOUT: Duration = Duration::from_mins(1);

/// What a command finds programs in.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `program` in every namespace of a process, with an empty environment.
pub(super) fn inside(process: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command
        .env_clear()
        .env("PATH", PATH)
        .arg("--target")
        .arg(process.to_string())
        .args([
            "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
        ])
        .arg(program);
    command
}

/// `program` of the host in the network of a process, with this process's environment.
pub(super) fn in_network(process: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg("--target")
        .arg(process.to_string())
        .args(["--net", "--"])
        .arg(program);
    command
}

/// Runs `ip` in the network of a process.
pub(super) fn ip(process: u32, words: &str) -> Result<(), QemuError> {
    let mut command = in_network(process, "ip");
    command.args(words.split_whitespace());
    run(command, &format!("ip {words}"), SETUP_TIMEOUT).map(drop)
}

/// Runs a command to its end; one that fails is an error that says what it printed.
pub(super) fn run(command: Command, name: &str, timeout: Duration) -> Result<String, QemuError> {
    let (status, stdout, stderr) = output(command, timeout)?;
    if status.success() {
        return Ok(stdout);
    }
    Err(QemuError::CommandFailed {
        command: name.to_owned(),
        status,
        stdout,
        stderr,
    })
}

/// Runs a command to its end: its status, standard output and standard error.
pub(super) fn output(
    command: Command,
    timeout: Duration,
) -> Result<(ExitStatus, String, String), QemuError> {
    let (status, finished) = bounded::run_to_end(command, timeout)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((status, text(&finished.stdout), text(&finished.stderr)))
}

/// Removes a control group that is empty by now.
pub(super) fn remove_group(group: &str, mount_point: &std::path::Path) {
    let script = "mount -t cgroup2 none \"$1\" && [ ! -d \"$1/$2\" ] || \
        find \"$1/$2\" -depth -type d -exec rmdir {} +";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "remove"])
        .arg(mount_point)
        .arg(group);
    // What is left is empty, and removed by the next start.
    let _removed = bounded::run(command, SETUP_TIMEOUT);
}
