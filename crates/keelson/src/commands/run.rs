//! `keelson run`: boots an image in QEMU, with its serial console or an SSH session in this terminal.
//!
//! Whatever way it ends, nothing is left running and no temporary file behind; only a disk named with
//! `--disk` stays.

use anyhow::Context as _;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use image_build::output::{BuiltImage, Manifest, copy_sparse};
use keelson_qemu::ssh::SshKey;
use keelson_qemu::{
    Acceleration, Boot, Disk, DiskInterface, FirmwareVariables, Machine, Network, Running, Segment,
    TerminalEnd, Watchdog, interrupt,
};

use crate::cli::{Interface, RunArguments};
use crate::commands::build::build_image;
use crate::commands::config;
use crate::commands::{cache_directory, default_build};

/// How long a guest in software emulation may take until SSH answers.
const SSH_TIMEOUT: Duration = Duration::from_mins(3);
/// How long a guest may take to shut down before it is cut off.
const POWER_OFF_TIMEOUT: Duration = Duration::from_mins(1);
const GIB: u64 = 1 << 30;
/// Where a machine looks first.
const CONFIGURATION_ITEM: &str = "opt/org.keelson/config";
const FOLDER_PREFIX: &str = "run-";

/// Runs the command.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    interrupt::install()?;
    let result = boot(arguments);
    match interrupt::received() {
        // The conventional code of a program that a signal ended.
        Some(signal) => Ok(ExitCode::from(128 + u8::try_from(signal).unwrap_or(0))),
        None => result,
    }
}

fn boot(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    if let Some(file) = &arguments.config
        && !config::is_valid(file)?
    {
        return Ok(ExitCode::FAILURE);
    }
    let image = match &arguments.image {
        Some(path) => BuiltImage::load(path)?,
        None => build_image(&default_build(&arguments.places, arguments.renew_vanished))?,
    };
    let parent = std::path::absolute(cache_directory(&arguments.places))?;
    let folder = run_folder(&parent)?;
    let key = SshKey::generate(folder.path())?;
    let disk = prepare_disk(arguments, &image.manifest, folder.path())?;
    let machine = machine(arguments, &image.manifest, disk, &key)?;
    let mut running = machine.start(folder.path())?;
    greet(arguments, &running);
    if arguments.ssh {
        ssh_session(&mut running, &key)
    } else {
        console_session(&mut running)
    }
}

/// A folder for this run's disk, named after this process so that a later run can tell that it is dead.
fn run_folder(parent: &Path) -> anyhow::Result<tempfile::TempDir> {
    remove_dead_folders(parent);
    tempfile::Builder::new()
        .prefix(&format!("{FOLDER_PREFIX}{}-", std::process::id()))
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a directory in {}", parent.display()))
}

/// What runs that were killed with SIGKILL have left.
fn remove_dead_folders(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(FOLDER_PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another run may be removing it too; whoever is first has done it.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn console_session(running: &mut Running) -> anyhow::Result<ExitCode> {
    match running.attach_terminal()? {
        TerminalEnd::Quit => {
            running.kill()?;
            Ok(ExitCode::SUCCESS)
        }
        TerminalEnd::Exited(status) if status.success() => Ok(ExitCode::SUCCESS),
        TerminalEnd::Exited(status) => anyhow::bail!("QEMU ended with {status}"),
        TerminalEnd::Interrupted { .. } => Ok(ExitCode::FAILURE),
    }
}

fn ssh_session(running: &mut Running, key: &SshKey) -> anyhow::Result<ExitCode> {
    let mut ssh = running.ssh(key, "root")?;
    ssh.wait_ready(SSH_TIMEOUT)?;
    let status = ssh.run_shell()?;
    running.power_off(POWER_OFF_TIMEOUT)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(u8::MAX)))
}

fn greet(arguments: &RunArguments, running: &Running) {
    if let Some(port) = running.host_port(22) {
        eprintln!("SSH with a key of --key: ssh -p {port} root@127.0.0.1");
    }
    if arguments.ssh {
        eprintln!("Waiting for SSH; leaving the shell powers the machine off.");
    } else if std::io::stdin().is_terminal() {
        eprintln!("This terminal is the machine's console. Ctrl-A x ends it, poweroff does too.");
    }
}

/// The disk that is booted: a copy that goes with the machine, or the file the user named, made once.
fn prepare_disk(
    arguments: &RunArguments,
    manifest: &Manifest,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let path = arguments
        .disk
        .clone()
        .unwrap_or_else(|| folder.join("disk.raw"));
    if !path.exists() {
        let partial = path.with_extension("partial");
        copy_sparse(&manifest.disk, &partial)?;
        std::fs::rename(&partial, &path)
            .with_context(|| format!("cannot create {}", path.display()))?;
    }
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let wanted = arguments.disk_size.saturating_mul(GIB);
    if file.metadata()?.len() < wanted {
        file.set_len(wanted)
            .with_context(|| format!("cannot grow {}", path.display()))?;
    }
    Ok(path)
}

fn machine(
    arguments: &RunArguments,
    manifest: &Manifest,
    disk: PathBuf,
    key: &SshKey,
) -> anyhow::Result<Machine> {
    let boot = if arguments.direct {
        direct(manifest)
    } else {
        firmware(manifest)
    };
    let mut machine = Machine::new("keelson", boot);
    let detection =
        Acceleration::detect(arguments.acceleration.as_deref(), Some(&manifest.kernel))?;
    eprintln!("{}", detection.reason);
    machine.acceleration = detection.acceleration;
    machine.memory_mebibytes = arguments.memory;
    machine.cpus = arguments.cpus;
    machine.watchdog = Watchdog::Reset;
    machine.network = Network::forwarding([22]);
    machine.segment = arguments.network.as_deref().map(Segment::named);
    machine
        .kernel_command_line_extra
        .clone_from(&arguments.append);
    machine.tpm.clone_from(&arguments.tpm);
    machine.credentials = credentials(arguments, key)?;
    if let Some(file) = &arguments.config {
        machine.extra_arguments.extend(configuration(file)?);
    }
    machine.disks = vec![Disk {
        interface: match arguments.interface {
            Interface::Virtio => DiskInterface::VirtioBlock,
            Interface::Scsi => DiskInterface::VirtioScsi,
            Interface::Nvme => DiskInterface::Nvme,
        },
        ..Disk::new(disk)
    }];
    Ok(machine)
}

fn direct(manifest: &Manifest) -> Boot {
    Boot::DirectKernel {
        kernel: manifest.kernel.clone(),
        initramfs: Some(manifest.initramfs.clone()),
        command_line: manifest.command_line.clone(),
    }
}

fn firmware(manifest: &Manifest) -> Boot {
    Boot::Firmware {
        code: manifest.firmware_code.clone(),
        variables: FirmwareVariables::Fresh(manifest.firmware_variables.clone()),
    }
}

/// The first-boot configuration as a file of QEMU's `fw_cfg` device.
fn configuration(file: &Path) -> anyhow::Result<[OsString; 2]> {
    let path = std::path::absolute(file)?;
    let path = path.to_str().context("the path of --config is no UTF-8")?;
    // A single comma would end it.
    let path = path.replace(',', ",,");
    let item = format!("name={CONFIGURATION_ITEM},file={path}");
    Ok(["-fw_cfg".into(), item.into()])
}

/// A root shell on the console without a password is for this machine only: the image has none.
fn credentials(arguments: &RunArguments, key: &SshKey) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut keys = key.public_line().to_owned();
    if let Some(path) = &arguments.key {
        keys += &std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the public key {}", path.display()))?;
    }
    let mut credentials = vec![
        ("agetty.autologin".to_owned(), b"root".to_vec()),
        ("login.noauth".to_owned(), b"yes".to_vec()),
        ("ssh.authorized_keys.root".to_owned(), keys.into_bytes()),
    ];
    for text in &arguments.credentials {
        let (name, value) = text
            .split_once('=')
            .with_context(|| format!("--credential {text}: it must be NAME=VALUE"))?;
        credentials.push((name.to_owned(), value.as_bytes().to_vec()));
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configurations_path_may_have_commas() {
        let [option, item] = configuration(Path::new("/a,b.ign")).expect("a path");
        assert_eq!(option, "-fw_cfg");
        assert_eq!(item, "name=opt/org.keelson/config,file=/a,,b.ign");
    }

    #[test]
    fn a_run_removes_what_dead_runs_left_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a directory");
        let own = run_folder(parent.path()).expect("made");
        // Processes have numbers below 2^22.
        let dead = parent.path().join("run-9999999-x");
        let other = parent.path().join("packages");
        for folder in [&dead, &other] {
            std::fs::create_dir(folder).expect("made");
        }
        let second = run_folder(parent.path()).expect("made");
        assert!(own.path().exists() && second.path().exists() && other.exists());
        assert!(!dead.exists());
    }
}
