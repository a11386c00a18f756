//! `/init` of Keelson's initramfs: from the kernel to systemd on a verified root.
//!
//! It reads the kernel command line and the boot loader's variables, loads drivers, finds the
//! disk, opens the root through dm-verity, prepares the state partition, assembles `/etc` and
//! `/var`, has the first-boot configuration applied, and becomes systemd. It starts no service,
//! asks nobody anything, and on any failure says why and reboots, or stops if that cannot help.
use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;

use crate::boot_loader::{attempt, boot_count, boot_path::BootPath};
use crate::boot_options::BootOptions;
use crate::failure::StepFailed;
use crate::kernel::{modules::KernelModules, mounts};
use crate::provision::Configured;
use crate::report::{boot_facts::BootFacts, progress::Progress};
use crate::root::{switch, verity_root};
use crate::state::{elsewhere, etc_layers, folders, partition, reset};

mod boot_loader;
mod boot_options;
mod disk;
mod failure;
mod kernel;
mod provision;
mod report;
mod root;
mod state;
mod system_calls;
mod tpm;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        return refuse();
    }
    failure::catch_panics();
    match boot() {
        Ok(never) => match never {},
        Err(error) => failure::give_up(&error),
    }
}

/// Outside its initramfs it must not touch a thing.
fn refuse() -> ExitCode {
    println!(
        "keelson-init {}: the first program of a Keelson machine",
        env!("CARGO_PKG_VERSION")
    );
    if std::env::args().any(|argument| argument == "--version") {
        return ExitCode::SUCCESS;
    }
    eprintln!("It is started by the kernel as process 1 and does nothing here.");
    ExitCode::FAILURE
}

/// The words are the same at the next boot, unless the boot loader then takes another entry: it does if it counts.
fn refuse_command_line(error: &StepFailed) -> ! {
    // For the boot loader's variables.
    let _modules = KernelModules::load();
    mounts::mount_efivarfs();
    if BootPath::read().is_ok_and(|path| path.is_counted()) {
        failure::give_up(error);
    }
    failure::stop(error)
}

fn boot() -> Result<Infallible, StepFailed> {
    let mut progress = Progress::default();
    progress.step("mount /proc, /sys, /dev and /run", mounts::mount_all)?;
    let options = progress.step("read the kernel command line", BootOptions::read);
    let options = options.unwrap_or_else(|error| refuse_command_line(&error));
    options.apply();
    let mut modules = progress.step("begin to load kernel modules", KernelModules::load)?;
    mounts::mount_efivarfs();
    let boot_path = progress.step("read the boot loader's variables", BootPath::read)?;
    let disk = progress.step("find the disk", || {
        disk::search::find(&options, &boot_path, &mut modules)
    })?;
    progress.infallible("wait for kernel modules", || modules.wait());
    let failed_boots = progress.infallible("count this boot", || {
        boot_count::count(&disk, &options, &boot_path, &modules)
    });
    let device = progress.step("open the root", || {
        verity_root::open(&disk, &options.root_hash)
    })?;
    progress.step("mount the root", || verity_root::mount_root(&device))?;
    let order = progress.infallible("look for an order to reset", || reset::ordered(&disk));
    let mut machine = elsewhere::Machine {
        boot_disk: &disk,
        modules: &mut modules,
        is_counted: boot_path.is_counted(),
    };
    let state = progress.step("prepare state", || {
        partition::prepare(&mut machine, order.as_ref())
    })?;
    progress.step("mount the folders of state", folders::mount_all)?;
    progress.step("assemble /etc", || etc_layers::assemble(&options.root_hash))?;
    let configured = progress.step("apply the first-boot configuration", || {
        let esp = disk.esp.map(|esp| disk.path(esp));
        provision::apply(esp.as_deref(), state.device.is_some())
    })?;
    let failed_boots = match configured {
        Configured::GoOn => failed_boots,
        Configured::Stop => attempt::give_back(&disk, &options, &boot_path, &modules),
    };
    let steps = progress.finished();
    let facts = BootFacts {
        options: &options,
        boot_path,
        disk: &disk,
        state: &state,
        failed_boots,
        steps,
    };
    let run = Path::new("/run");
    facts
        .write(run)
        .map_err(|error| StepFailed::new("write the facts of this boot", error))?;
    progress.step("switch to the root", switch::switch)
}
