//! A machine's TPM 2.0: swtpm, a process beside QEMU's, which ends with it.
//!
//! What it keeps is in a folder, so that several starts of a machine are one machine's life.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::QemuError;
use crate::child::ChildProcess;

const PROGRAM: &str = "swtpm";

/// Starts it with its state in this folder; returns the process and QEMU's end of the connection.
pub(crate) fn start(folder: &Path) -> Result<(ChildProcess, OwnedFd), QemuError> {
    fs::create_dir_all(folder).map_err(QemuError::file("create", folder))?;
    let pair = UnixStream::pair().map_err(QemuError::file("create", "a socket pair"));
    let (ours, theirs): (OwnedFd, OwnedFd) = pair.map(|(a, b)| (a.into(), b.into()))?;
    let mut command = Command::new(PROGRAM);
    command
        .args(["socket", "--tpm2", "--terminate", "--tpmstate"])
        .arg(format!("dir={}", folder.display()))
        .arg("--ctrl")
        .arg(format!("type=unixio,clientfd={}", theirs.as_raw_fd()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = ChildProcess::spawn(command, vec![theirs])?;
    Ok((child, ours))
}
