//! What every boot test needs: the image, a disk of its own, a machine, and what a good boot looks like.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use image_build::output::{BuiltImage, Manifest, copy_sparse};
use keelson_qemu::ssh::{Ssh, SshKey};
use keelson_qemu::{
    Acceleration, Boot, Disk, DiskInterface, FirmwareVariables, LogPolicy, Machine, Network,
    Running, Watchdog,
};

/// A boot in software emulation on a machine that is busy with a dozen other things; a good one takes 25 s.
pub(crate) const BOOT_TIMEOUT: Duration = Duration::from_mins(5);
/// The health unit prints this once all is well, before the soak time.
pub(crate) const HEALTHY: &str = "keelson: healthy";
/// Size of a test machine's disk; the image is smaller.
pub(crate) const DISK_BYTES: u64 = 12 << 30;

pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is in the checkout")
        .to_path_buf()
}

fn work_folder() -> PathBuf {
    let folder = checkout().join("target/keelson/boot-tests");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// The image under test.
pub(crate) fn image() -> Manifest {
    let path = std::env::var_os("KEELSON_IMAGE").map_or_else(
        || checkout().join("target/keelson/image/keelson-vm.json"),
        PathBuf::from,
    );
    BuiltImage::load(&path)
        .expect("an image was built; run `make image`")
        .manifest
}

/// The program that builds images and releases.
pub(crate) fn builder() -> PathBuf {
    std::env::var_os("KEELSON_BUILDER")
        .map_or_else(|| checkout().join("target/release/keelson"), PathBuf::from)
}

/// Builds another image from the same sources, mostly out of the step cache.
pub(crate) fn build(arguments: &[&str], output: &Path) -> Manifest {
    let result = Command::new(builder())
        .current_dir(checkout())
        .args(["build", "--json", "--output"])
        .arg(output)
        .args(arguments)
        .output()
        .expect("the builder runs; `make image` builds it");
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    serde_json::from_slice(&result.stdout).expect("a manifest")
}

/// A machine's disk, credentials and temporary files.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) key: SshKey,
    pub(crate) disk: PathBuf,
    manifest: Manifest,
}

impl Bench {
    /// With a copy of the image's disk on a larger one.
    pub(crate) fn new(manifest: &Manifest) -> Self {
        let folder = tempfile::tempdir_in(work_folder()).expect("a temporary directory");
        let disk = folder.path().join("disk.raw");
        copy_sparse(&manifest.disk, &disk).expect("the disk is copied");
        let file = File::options()
            .write(true)
            .open(&disk)
            .expect("the copy can be written");
        file.set_len(DISK_BYTES).expect("the copy can grow");
        let key = SshKey::generate(folder.path()).expect("ssh-keygen works");
        Self {
            folder,
            key,
            disk,
            manifest: manifest.clone(),
        }
    }

    /// Boots through UEFI, the boot loader and its counting.
    pub(crate) fn firmware(&self) -> Boot {
        Boot::Firmware {
            code: self.manifest.firmware_code.clone(),
            variables: FirmwareVariables::Fresh(self.manifest.firmware_variables.clone()),
        }
    }

    /// Boots the kernel directly, as integration tests of users do.
    pub(crate) fn direct(&self) -> Boot {
        Boot::DirectKernel {
            kernel: self.manifest.kernel.clone(),
            initramfs: Some(self.manifest.initramfs.clone()),
            command_line: self.manifest.command_line.clone(),
        }
    }

    /// A machine with this disk whose soak time is a second.
    pub(crate) fn machine(&self, name: &str, boot: Boot) -> Machine {
        let request = std::env::var(keelson_qemu::ACCELERATION_VARIABLE).ok();
        let detection = Acceleration::detect(request.as_deref(), Some(&self.manifest.kernel))
            .expect("QEMU works");
        let mut machine = Machine::new(name, boot);
        machine.acceleration = detection.acceleration;
        machine.network = Network::forwarding([22]);
        // In software emulation two machines with a processor each get a quarter more done than one after the
        // other with two.
        machine.cpus = 1;
        machine.watchdog = Watchdog::Reset;
        machine.disks = vec![Disk::new(&self.disk)];
        machine.logs = LogPolicy::KeepOnFailure(work_folder().join("logs"));
        machine.kernel_command_line_extra = String::from("keelson.soak=1");
        machine.credentials = vec![
            ("agetty.autologin".to_owned(), b"root".to_vec()),
            ("login.noauth".to_owned(), b"yes".to_vec()),
            (
                "ssh.authorized_keys.root".to_owned(),
                self.key.public_line().as_bytes().to_vec(),
            ),
        ];
        machine
    }

    pub(crate) fn with_interface(&self, machine: Machine, interface: DiskInterface) -> Machine {
        Machine {
            disks: vec![Disk {
                interface,
                ..Disk::new(&self.disk)
            }],
            ..machine
        }
    }

    pub(crate) fn start(&self, machine: &Machine) -> Running {
        machine
            .start(self.folder.path())
            .unwrap_or_else(|e| panic!("{}: {e}", machine.name))
    }

    /// Gives a machine a configuration by QEMU's `fw_cfg`.
    pub(crate) fn configure(&self, machine: &mut Machine, text: &str) {
        let file = self.folder.path().join("config");
        std::fs::write(&file, text).expect("the configuration is written");
        let item = format!("name=opt/org.keelson/config,file={}", file.display());
        machine
            .extra_arguments
            .extend(["-fw_cfg".into(), item.into()]);
    }

    /// SSH as root with the key that was given by credential.
    pub(crate) fn ssh(&self, running: &Running) -> Ssh {
        let mut ssh = running
            .ssh(&self.key, "root")
            .expect("port 22 is forwarded");
        ssh.wait_ready(BOOT_TIMEOUT)
            .unwrap_or_else(|e| panic!("{}: {e}", running.name()));
        ssh
    }
}

/// Waits until the boot that began after a console line is healthy.
pub(crate) fn wait_healthy(running: &Running, after_line: usize) {
    running
        .console()
        .wait_after(after_line, HEALTHY, BOOT_TIMEOUT)
        .unwrap_or_else(|e| panic!("{e}"));
}

/// Runs a command in the guest that must succeed, and returns what it prints, trimmed.
pub(crate) fn output(ssh: &Ssh, command: &str) -> String {
    ssh.run_ok(command)
        .unwrap_or_else(|e| panic!("{e}"))
        .trim()
        .to_owned()
}

/// Nothing on the console that a healthy machine does not print.
pub(crate) fn assert_clean(running: &Running) {
    let findings = running.console().scan();
    assert!(
        findings.is_empty(),
        "{}: bad lines on the console: {findings:#?}",
        running.name()
    );
}

/// Shuts the guest down in order.
pub(crate) fn power_off(mut running: Running) {
    let name = running.name().to_owned();
    running
        .power_off(Duration::from_secs(90))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
}
