//! What `/init` knows and user space wants to know, as files in `/run`.
//!
//! `/run/keelson/boot.toml` holds the facts, `/run/keelson/esp`, `meta` and `state` are links to
//! device nodes. On a counted boot, drop-ins make a failure of user space end in a reboot, so
//! that the counter can do its work. Nothing here is read by `/init` again.
//!
//! The drop-ins, for systemd 257: a target can neither fail nor time out while active, so
//! `FailureAction=` on `emergency.target` does nothing. Its shell's service does end the boot:
//! `RuntimeMaxSec=` puts it into the failed state, also if nobody can log in and it ends at once.
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::boot_loader::boot_path::BootPath;
use crate::boot_options::BootOptions;
use crate::disk::choice::BootDisk;
use crate::report::error::{ActionFailed, Context};
use crate::report::toml_text::quoted;
use crate::state::partition::{History, Prepared};

const DROP_IN: &str = "50-counted-boot.conf";
/// The health service may be slow or wait for a soak time, but not for ever.
const HEALTH: &str = "[Unit]
FailureAction=reboot
JobTimeoutSec=15min
JobTimeoutAction=reboot
";
/// Time enough to read the console, not enough to call it a machine in service.
const SHELL: &str = "[Unit]
FailureAction=reboot
SuccessAction=reboot
[Service]
RuntimeMaxSec=60
";

/// The facts of this boot.
#[derive(Debug)]
pub(crate) struct BootFacts<'a> {
    /// The command line's options.
    pub(crate) options: &'a BootOptions,
    /// Who started the kernel.
    pub(crate) boot_path: BootPath,
    /// The disk and its partitions.
    pub(crate) disk: &'a BootDisk,
    /// Where state is, and whether it was made just now.
    pub(crate) state: &'a Prepared,
    /// Boots of this version since it was last healthy, this one included; 0 if not counted.
    pub(crate) failed_boots: u32,
    /// The steps so far and how long they took.
    pub(crate) steps: &'a [(&'static str, Duration)],
}

impl BootFacts<'_> {
    /// Writes everything below `run`.
    pub(crate) fn write(&self, run: &Path) -> Result<(), ActionFailed> {
        self.write_files(run)
            .context(|| format!("write the facts of this boot to {}", run.display()))
    }

    fn write_files(&self, run: &Path) -> io::Result<()> {
        let folder = run.join("keelson");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("boot.toml"), self.to_toml())?;
        for (name, device) in self.partitions() {
            if let (true, Some(device)) = (name != "root", device) {
                symlink(device, folder.join(name))?;
            }
        }
        if self.boot_path.is_counted() {
            for unit in ["emergency.service", "rescue.service"] {
                write_drop_in(run, unit, SHELL)?;
            }
            write_drop_in(run, "keelson-health.service", HEALTH)?;
        }
        Ok(())
    }

    fn partitions(&self) -> [(&'static str, Option<String>); 4] {
        let disk = self.disk;
        let path = |number: Option<u32>| number.map(|number| disk.path(number));
        [
            ("root", path(Some(disk.root))),
            ("esp", path(disk.esp)),
            ("meta", path(disk.meta)),
            ("state", self.state.device.clone()),
        ]
    }

    fn to_toml(&self) -> String {
        let boot_path = match self.boot_path {
            BootPath::Direct => "direct",
            BootPath::Uefi { .. } => "uefi",
        };
        let mut lines = Vec::new();
        if let Some(version) = &self.options.version {
            lines.push(format!("version = {}", quoted(version)));
        }
        lines.push(format!(
            "root_hash = {}",
            quoted(&self.options.root_hash.to_string())
        ));
        lines.push(format!("slot = {}", quoted(self.disk.slot())));
        lines.push(format!("disk = {}", quoted(&self.disk.disk.path())));
        for (name, device) in self.partitions() {
            lines.extend(device.map(|device| format!("{name} = {}", quoted(&device))));
        }
        lines.push("verity = true".to_owned());
        lines.push(format!("boot_path = {}", quoted(boot_path)));
        lines.push(format!("counted = {}", self.boot_path.is_counted()));
        lines.push(format!(
            "first_boot = {}",
            self.state.history == History::FirstBoot
        ));
        lines.push(format!("failed_boots = {}", self.failed_boots));
        lines.join("\n") + "\n" + &self.steps_table()
    }

    fn steps_table(&self) -> String {
        let mut text = "\n[steps_milliseconds]\n".to_owned();
        for (name, duration) in self.steps {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} = {}", quoted(name), duration.as_millis());
        }
        text
    }
}

fn write_drop_in(run: &Path, unit: &str, text: &str) -> io::Result<()> {
    let folder = run.join(format!("systemd/system/{unit}.d"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(DROP_IN), text)
}

#[cfg(test)]
mod tests;
