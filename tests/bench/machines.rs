//! The two systems as machines: started, waited for, asked.
//!
//! Both get the same machine; they differ in disk, kernel, and what counts as booted.

use anyhow::Context as _;
use image_build::output::{Manifest, copy_sparse};
use keelson_qemu::ssh::SshKey;
use keelson_qemu::{Acceleration, Boot, Disk, FirmwareVariables, Machine, Network, Running};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::boot_stages::{BootStages, CLOCK_MARK, QUESTION};
use crate::stock::StockImage;
use crate::stock_disk;

/// What a booted Keelson is; a stock Debian has nothing better than its target.
const OUR_MILESTONE: Milestone = Milestone::ConsoleLine("keelson: healthy after");

/// How long a boot may take in software emulation.
const BOOT_TIMEOUT: Duration = Duration::from_mins(4);
const SSH_TIMEOUT: Duration = Duration::from_mins(1);
const POWER_OFF_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a booted machine is left alone before it is asked: it is idle then.
const QUIET: Duration = Duration::from_secs(20);
/// Room for what either system makes on its first boot.
const DISK_LENGTH_BYTES: u64 = 8 << 30;

/// What Linux counts processor time in, on every architecture that Keelson is for.
const TICKS_PER_SECOND: u32 = 100;

const DETAILS: &str = "systemd-analyze; systemd-analyze critical-chain multi-user.target; \
    systemd-analyze blame | head -n 25; ps -eo rss,args --sort=-rss | head -n 15; \
    systemctl --failed; cat /run/keelson/boot.toml 2>/dev/null";

/// What counts as booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// systemd reached `multi-user.target`.
    MultiUserTarget,
    /// A line with this text stood on the console.
    ConsoleLine(&'static str),
}

/// How a machine comes to its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BootPath {
    /// QEMU loads the kernel.
    Direct,
    /// UEFI firmware and systemd-boot do.
    Firmware,
}

/// A system and the disk it is on.
#[derive(Debug)]
pub(crate) struct Guest {
    name: &'static str,
    disk: PathBuf,
    direct: Boot,
    firmware: Boot,
    milestone: Milestone,
}

/// One boot, measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Its stages.
    pub(crate) stages: BootStages,
    /// Seconds from the machine's start to the system's milestone.
    pub(crate) booted: f64,
    /// Seconds of processor time of the whole machine, until it was left alone for [`QUIET`]: what
    /// else this host does hardly touches it.
    pub(crate) processor: f64,
}

/// What all machines have in common.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The engine that runs them.
    pub(crate) acceleration: Acceleration,
    /// Where they keep their files.
    pub(crate) folder: PathBuf,
    /// What lets us in.
    pub(crate) key: SshKey,
    /// Say where the time went.
    pub(crate) details: bool,
}

impl Guest {
    /// Keelson, with a disk of its own in `folder`.
    pub(crate) fn keelson(manifest: &Manifest, folder: &Path) -> anyhow::Result<Self> {
        let direct = Boot::DirectKernel {
            kernel: manifest.kernel.clone(),
            initramfs: Some(manifest.initramfs.clone()),
            command_line: manifest.command_line.clone(),
        };
        Ok(Self {
            name: "keelson",
            disk: copy_disk(&manifest.disk, &folder.join("keelson.raw"))?,
            direct,
            firmware: firmware(manifest),
            milestone: OUR_MILESTONE,
        })
    }

    /// The stock Debian, with a disk of its own in `folder` and the firmware of `manifest`.
    pub(crate) fn stock(
        image: &StockImage,
        manifest: &Manifest,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let (kernel, initramfs) = stock_disk::boot_files(&image.tree)?;
        let direct = Boot::DirectKernel {
            kernel,
            initramfs: Some(initramfs),
            command_line: stock_disk::command_line(),
        };
        Ok(Self {
            name: "stock",
            disk: copy_disk(&image.disk, &folder.join("stock.raw"))?,
            direct,
            firmware: firmware(manifest),
            milestone: Milestone::MultiUserTarget,
        })
    }

    /// Boots for the first time and shuts down: from then on the disk is that of a settled machine.
    pub(crate) fn settle(&self, bench: &Bench) -> anyhow::Result<Measured> {
        let begun = Instant::now();
        let mut running = self.start(bench, BootPath::Direct, Disk::new(&self.disk))?;
        let measured = self.ask(bench, &mut running, begun)?;
        running.power_off(POWER_OFF_TIMEOUT)?;
        Ok(measured)
    }

    /// Boots the settled machine and throws away what it writes.
    pub(crate) fn boot(&self, bench: &Bench, path: BootPath) -> anyhow::Result<Measured> {
        let begun = Instant::now();
        let mut running = self.start(bench, path, Disk::snapshot(&self.disk))?;
        let measured = self.ask(bench, &mut running, begun)?;
        running.quit()?;
        Ok(measured)
    }

    fn start(&self, bench: &Bench, path: BootPath, disk: Disk) -> anyhow::Result<Running> {
        let boot = match path {
            BootPath::Direct => self.direct.clone(),
            BootPath::Firmware => self.firmware.clone(),
        };
        let mut machine = Machine::new(self.name, boot);
        machine.acceleration = bench.acceleration;
        machine.disks = vec![disk];
        machine.network = Network::forwarding([22]);
        let public = bench.key.public_line().as_bytes().to_vec();
        machine.credentials = vec![("ssh.authorized_keys.root".to_owned(), public)];
        Ok(machine.start(&bench.folder)?)
    }

    /// Waits until the machine that was started at `begun` is up and idle, then asks.
    fn ask(
        &self,
        bench: &Bench,
        running: &mut Running,
        begun: Instant,
    ) -> anyhow::Result<Measured> {
        let console = running.console().clone();
        // The console's own times are those of lines' first bytes: behind a login prompt they are
        // too early.
        let seen = match self.milestone {
            Milestone::MultiUserTarget => None,
            Milestone::ConsoleLine(text) => {
                console.wait_for(text, BOOT_TIMEOUT)?;
                Some(begun.elapsed().as_secs_f64())
            }
        };
        console.wait_for("login:", BOOT_TIMEOUT)?;
        thread::sleep(QUIET);
        let processor = processor_seconds(running.process_id())?;
        let mut ssh = running.ssh(&bench.key, "root")?;
        ssh.wait_ready(SSH_TIMEOUT)?;
        let answer = ssh.run_ok(QUESTION)?;
        let mark = console.wait_for(CLOCK_MARK, SSH_TIMEOUT)?;
        let stages = BootStages::parse(&answer, mark.since_start.as_secs_f64())?;
        let booted = seen.unwrap_or(stages.total());
        eprintln!("bench: {} was up after {booted:.2} s", self.name);
        if bench.details {
            eprintln!("{}", ssh.run(DETAILS)?.stdout);
        }
        Ok(Measured {
            stages,
            booted,
            processor,
        })
    }
}

/// The processor time a process has used, user and system, as proc(5) says it.
fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let seconds = ticks(&text).context("the process has no statistics")?;
    Ok(seconds / f64::from(TICKS_PER_SECOND))
}

/// Fields 14 and 15; the second may hold anything, within parentheses.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn firmware(manifest: &Manifest) -> Boot {
    Boot::Firmware {
        code: manifest.firmware_code.clone(),
        variables: FirmwareVariables::Fresh(manifest.firmware_variables.clone()),
    }
}

fn copy_disk(from: &Path, to: &Path) -> anyhow::Result<PathBuf> {
    copy_sparse(from, to)?;
    let file = File::options()
        .write(true)
        .open(to)
        .with_context(|| format!("cannot open {}", to.display()))?;
    file.set_len(DISK_LENGTH_BYTES.max(file.metadata()?.len()))?;
    Ok(to.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5";
        assert_eq!(ticks(stat).map(f64::to_bits), Some(300.0_f64.to_bits()));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert!(processor_seconds(std::process::id()).is_ok());
    }
}
