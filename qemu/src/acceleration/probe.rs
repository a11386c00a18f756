//! Guests that prove by what they do that an engine runs them.
//!
//! A probe answers with the reason of a refusal; it does not choose another engine.

use super::Acceleration;
use crate::boot_sector::BootSector;
use crate::bounded::{self, Finished};
use crate::{Pattern, QemuError};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A boot sector answers in well under a second, where the engine works at all.
const BOOT_SECTOR_TIMEOUT: Duration = Duration::from_secs(10);
/// A kernel needs a second under KVM, and two to four in software.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(20);
/// The boot sector's answer, and the exit code that `isa-debug-exit` makes of it.
const ANSWER: u8 = 42;
const ANSWER_EXIT_CODE: i32 = 2 * ANSWER as i32 + 1;

/// Runs a boot sector that must answer by QEMU's exit code.
pub(super) fn boot_sector(
    binary: &Path,
    acceleration: Acceleration,
) -> Result<Option<String>, QemuError> {
    let disk = memory_file(&BootSector::new().debug_exit(ANSWER).disk_image())?;
    let mut command = machine(binary, acceleration);
    let drive = format!(
        "if=none,id=probe,format=raw,readonly=on,file.locking=off,file=/proc/self/fd/{}",
        disk.as_raw_fd()
    );
    command.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=probe"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
    let finished = bounded::run_inheriting(command, vec![disk], BOOT_SECTOR_TIMEOUT)?;
    if finished.status.and_then(|status| status.code()) == Some(ANSWER_EXIT_CODE) {
        return Ok(None);
    }
    Ok(Some(refusal("a boot sector did not answer", &finished)))
}

/// Boots `kernel` with nothing else: having come up, it must miss its root file system.
pub(super) fn kernel(
    binary: &Path,
    acceleration: Acceleration,
    kernel: &Path,
) -> Result<Option<String>, QemuError> {
    let mut command = machine(binary, acceleration);
    command.arg("-kernel").arg(kernel);
    command.args(["-append", "console=ttyS0 panic=-1"]);
    let finished = bounded::run(command, KERNEL_TIMEOUT)?;
    let came_up = Pattern::any_of(["Unable to mount root fs", "No working init found"]);
    if came_up.matches(&String::from_utf8_lossy(&finished.stdout)) {
        return Ok(None);
    }
    let what = format!("the kernel {} did not come up", kernel.display());
    Ok(Some(refusal(&what, &finished)))
}

fn machine(binary: &Path, acceleration: Acceleration) -> Command {
    let mut command = Command::new(binary);
    command.args(["-nodefaults", "-no-user-config", "-machine", "q35"]);
    command.args(acceleration.arguments());
    command.args(["-m", "256", "-smp", "2", "-display", "none"]);
    command.args(["-serial", "stdio", "-no-reboot"]);
    command
}

fn refusal(what: &str, finished: &Finished) -> String {
    let end = match finished.status {
        Some(status) => format!("QEMU ended with {status}"),
        None => "QEMU was killed when its time was over".to_owned(),
    };
    let text = finished.text();
    // QEMU warns about features of processors, which is not what stopped the guest.
    let tells = |line: &&str| !line.trim().is_empty() && !line.contains(": warning: ");
    match text.lines().rev().find(tells) {
        Some(last) => format!("{what}: {end}, its last line was {:?}", last.trim()),
        None => format!("{what}: {end} and printed nothing"),
    }
}

/// A file that has no name and so cannot be left behind.
fn memory_file(bytes: &[u8]) -> Result<OwnedFd, QemuError> {
    let descriptor = memfd_create("probe", MemfdFlags::CLOEXEC)
        .map_err(|error| QemuError::file("create", "a file in memory")(error.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)
        .map_err(QemuError::file("write", "a file in memory"))?;
    Ok(file.into())
}
