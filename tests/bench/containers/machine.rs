//! The booted machine in which all engines run, and the steps that it is told to do.
//!
//! What a step does is `guest.sh`'s; here are time limits, and what it printed as figures.

use anyhow::{Context as _, bail};
use image_build::output::{BuiltImage, copy_sparse};
use keelson_qemu::ssh::{Ssh, SshKey};
use keelson_qemu::{ACCELERATION_VARIABLE, Acceleration, Boot, Disk, Machine, Network, Running};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use super::Engine;
use crate::builds::Builder;

/// In the checkout.
const GUEST: &str = "tests/bench/containers/guest.sh";
/// Fifty of any engine's clients at once have room.
const MEMORY_MEBIBYTES: u32 = 6144;
const DISK_LENGTH_BYTES: u64 = 12 << 30;
const BOOT_TIMEOUT: Duration = Duration::from_mins(4);
const SSH_TIMEOUT: Duration = Duration::from_mins(1);
/// For one step, in software emulation on a busy host.
const STEP_TIMEOUT: Duration = Duration::from_mins(6);

/// A machine that is up.
pub(crate) struct Guest {
    /// It ends with this.
    _running: Running,
    ssh: Ssh,
    registry: String,
    details: bool,
    /// A sentence about it.
    pub(crate) note: String,
}

impl Guest {
    /// Boots the image in `folder`, with the peers' disk beside its own.
    pub(crate) fn boot(
        builder: &Builder,
        image: &BuiltImage,
        peers: &Path,
        registry: String,
        folder: &Path,
        details: bool,
    ) -> anyhow::Result<Self> {
        let script = builder.checkout.join(GUEST);
        let script = fs::read_to_string(&script)
            .with_context(|| format!("cannot read {}", script.display()))?;
        let manifest = &image.manifest;
        let request = std::env::var(ACCELERATION_VARIABLE).ok();
        let detection = Acceleration::detect(request.as_deref(), Some(&manifest.kernel))?;
        let disk = folder.join("machine.raw");
        copy_sparse(&manifest.disk, &disk)?;
        File::options()
            .write(true)
            .open(&disk)?
            .set_len(DISK_LENGTH_BYTES)?;
        let boot = Boot::DirectKernel {
            kernel: manifest.kernel.clone(),
            initramfs: Some(manifest.initramfs.clone()),
            command_line: manifest.command_line.clone(),
        };
        let mut machine = Machine::new("containers", boot);
        machine.acceleration = detection.acceleration;
        machine.memory_mebibytes = MEMORY_MEBIBYTES;
        // A machine that waits for a processor while it starts is no machine with a broken timer.
        machine.kernel_command_line_extra = String::from("no_timer_check");
        let mut second = Disk::snapshot(peers);
        second.serial = Some("peers".to_owned());
        machine.disks = vec![Disk::new(&disk), second];
        machine.network = Network::forwarding([22]);
        let key = SshKey::generate(folder)?;
        let public = key.public_line().as_bytes().to_vec();
        machine.credentials = vec![("ssh.authorized_keys.root".to_owned(), public)];
        let running = machine.start(folder)?;
        running
            .console()
            .wait_for("keelson: healthy after", BOOT_TIMEOUT)?;
        let mut ssh = running.ssh(&key, "root")?;
        ssh.wait_ready(SSH_TIMEOUT)?;
        ssh.run_ok(&format!(
            "mkdir -p /run/bench && cat >/run/bench/guest.sh <<'END_OF_GUEST'\n{script}\nEND_OF_GUEST"
        ))?;
        Ok(Self {
            note: format!(
                "A machine of {} processors and {MEMORY_MEBIBYTES} MiB under {:?}: {}.",
                machine.cpus, detection.acceleration, detection.reason
            ),
            _running: running,
            ssh,
            registry,
            details,
        })
    }

    /// Does a step; the figures that it printed.
    pub(crate) fn step(&self, words: &str) -> anyhow::Result<Vec<(String, f64)>> {
        let command = format!("bash /run/bench/guest.sh {} {words}", self.registry);
        let output = self.ssh.run_within(&command, STEP_TIMEOUT)?;
        if self.details {
            eprintln!("bench: {words}\n{}{}", output.stdout, output.stderr);
        }
        if !output.status.success() {
            let last: Vec<&str> = output.stderr.lines().rev().take(3).collect();
            let reason = last.into_iter().rev().collect::<Vec<_>>().join("; ");
            bail!("`{words}` fails: {reason}");
        }
        output.stdout.lines().filter_map(figure).collect()
    }

    /// Makes an engine ready.
    pub(crate) fn prepare(&self, engine: Engine) -> anyhow::Result<()> {
        self.step(&format!("prepare {}", engine.word())).map(drop)
    }

    /// Lays the peers under `/usr`.
    pub(crate) fn mount_peers(&self) -> anyhow::Result<()> {
        self.step("prepare peers").map(drop)
    }
}

/// `NAME VALUE`; what else is printed is the engines'.
fn figure(line: &str) -> Option<anyhow::Result<(String, f64)>> {
    let (name, value) = line.split_once(' ')?;
    let value = value.parse().with_context(|| line.to_owned());
    Some(value.map(|value| (name.to_owned(), value)))
}
