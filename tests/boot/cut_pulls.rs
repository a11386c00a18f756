//! The power fails while an image comes and is unpacked: what is on the disk then is what was there at its last
//! flush. Nothing of an image that is half there may be taken for a whole one, and nothing of it may stay.
//!
//! In `make soak`. What is left of a `launch pull` that was killed is for the tests of containers.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use image_build::output::copy_sparse;
use keelson_qemu::ssh::Ssh;
use keelson_qemu::{Disk, Running};

use crate::archive::{self, Packing, Parts};
use crate::registry::{self, Fault, Registry};
use crate::replay::epochs;
use crate::support::{BOOT_TIMEOUT, Bench, image, output, power_off, wait_healthy};

const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
/// What a guest of QEMU's user network has this host's loopback at.
const HOST: &str = "10.0.2.2";
/// So long that a pull and its unpacking can be cut off.
const NOISE: usize = 48 << 20;
const CONTENT: &str = "/var/lib/containerd/io.containerd.content.v1.content";
const SNAPSHOTS: &str = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";

/// When the power fails.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Half of the largest layer has come.
    Fetching,
    /// The largest layer is being unpacked.
    Unpacking,
    /// `launch pull` has just ended.
    Pulled,
}

#[test]
fn soak_a_power_cut_in_a_pull_leaves_no_half_image() {
    let bench = Bench::new(&image());
    let registry = Registry::start();
    let parts = archive::packed(NOISE, Packing::Gzip);
    for blob in &parts.blobs {
        registry.blob("team/app", blob);
    }
    registry.manifest("team/app", "1", KIND, &parts.manifest);
    let test = Test {
        before: bench.folder.path().join("before.raw"),
        log: bench.folder.path().join("writes.log"),
        name: format!("{HOST}:{}/team/app:1", port(&registry)),
        bench,
        registry,
        parts,
    };
    test.make_ready();
    for moment in [Moment::Fetching, Moment::Unpacking, Moment::Pulled] {
        test.cut_at(moment);
        test.look_after(moment);
    }
}

fn port(registry: &Registry) -> String {
    let host = registry.host();
    let (_, port) = host.rsplit_once(':').expect("an address with a port");
    port.to_owned()
}

struct Test {
    bench: Bench,
    registry: Registry,
    parts: Parts,
    /// The image's.
    name: String,
    /// The disk before anything is pulled.
    before: PathBuf,
    /// What was written from then on.
    log: PathBuf,
}

impl Test {
    /// A first boot, with the registry's settings.
    fn make_ready(&self) {
        let running = self.start("before-a-pull", Disk::new(&self.bench.disk));
        let ssh = self.bench.ssh(&running);
        let place = self.name.split('/').next().unwrap_or_default();
        let settings = format!("[[registry]]\\nname = \"{place}\"\\nplain-http = true\\n");
        output(
            &ssh,
            &format!("mkdir -p /etc/keelson && printf '{settings}' >/etc/keelson/registries.toml"),
        );
        power_off(running);
        copy_sparse(&self.bench.disk, &self.before).expect("the disk is copied");
    }

    fn start(&self, name: &str, disk: Disk) -> Running {
        let mut machine = self.bench.machine(name, self.bench.direct());
        machine.disks = vec![disk];
        let running = self.bench.start(&machine);
        wait_healthy(&running, 0);
        running
    }

    /// The power fails, and the disk has what it had when it was last asked to keep all.
    fn cut_at(&self, moment: Moment) {
        copy_sparse(&self.before, &self.bench.disk).expect("the disk is copied");
        let disk = Disk::recorded(&self.bench.disk, &self.log);
        let mut running = self.start(&format!("cut-{moment:?}"), disk);
        let ssh = self.bench.ssh(&running);
        self.wait_for(moment, &ssh);
        running.kill().unwrap_or_else(|e| panic!("{moment:?}: {e}"));
        self.registry.faults(|_| None);
        copy_sparse(&self.before, &self.bench.disk).expect("the disk is copied");
        let disk = File::options().write(true).open(&self.bench.disk);
        let disk = disk.expect("the disk opens");
        epochs(&self.log).for_each(|epoch| epoch.apply(&disk));
    }

    fn wait_for(&self, moment: Moment, ssh: &Ssh) {
        let pull = format!("systemd-run --quiet --unit=pull launch pull {}", self.name);
        match moment {
            Moment::Fetching => {
                self.registry
                    .faults(|_| Some(Fault::Slow(Duration::from_millis(10))));
                let half = self.parts.blobs[3].len() as u64 / 2;
                let enough = self.registry.served() + half;
                output(ssh, &pull);
                let begun = Instant::now();
                while self.registry.served() < enough {
                    assert!(begun.elapsed() < BOOT_TIMEOUT, "nothing comes");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            Moment::Unpacking => {
                let begun = format!("until test -s {SNAPSHOTS}/*/fs/srv/noise; do sleep 0.1; done");
                output(ssh, &format!("{pull} && {begun}"));
            }
            Moment::Pulled => {
                let line = within(ssh, &format!("launch pull --quiet {}", self.name));
                assert_eq!(line, self.parts.digest);
            }
        }
    }

    /// After the next boot.
    fn look_after(&self, moment: Moment) {
        let running = self.start(&format!("after-{moment:?}"), Disk::new(&self.bench.disk));
        let ssh = self.bench.ssh(&running);
        match moment {
            Moment::Fetching | Moment::Unpacking => {
                let named = output(&ssh, "launch images --quiet");
                assert_eq!(named, "", "{moment:?}");
                if matches!(moment, Moment::Unpacking) {
                    // Housekeeping by hand removes it all; the next pull is the first.
                    within(&ssh, "launch prune");
                    nothing_is_left(&ssh, moment);
                }
            }
            Moment::Pulled => self.is_whole(&ssh, moment),
        }
        let line = within(&ssh, &format!("launch pull --quiet {}", self.name));
        assert_eq!(line, self.parts.digest);
        self.is_whole(&ssh, moment);
        output(&ssh, &format!("launch rmi {}", self.name));
        within(&ssh, "launch prune");
        nothing_is_left(&ssh, moment);
        power_off(running);
    }

    /// Each file of the image is what it was when the image was made.
    fn is_whole(&self, ssh: &Ssh, moment: Moment) {
        let read = "busybox sha256sum </srv/noise; cat /srv/page; tail -n 1 /etc/group";
        let run = format!(
            "launch run --pull=never --network=none {} sh -c '{read}'",
            self.name
        );
        let run = format!("systemd-run --quiet --wait --pipe --property=Delegate=yes {run}");
        let noise = registry::digest(&archive::noise(NOISE)).replace("sha256:", "");
        let expected = format!("{noise}  -\nof the image\nextra:x:40:web");
        assert_eq!(within(ssh, &run), expected, "{moment:?}");
    }
}

/// No blob, half blob, layer, half layer or lease is on the disk.
fn nothing_is_left(ssh: &Ssh, moment: Moment) {
    let folders = format!("{CONTENT}/blobs/sha256 {CONTENT}/ingest {SNAPSHOTS}");
    let left = output(ssh, &format!("find {folders} -mindepth 1 -maxdepth 1"));
    assert_eq!(left, "", "{moment:?}");
    let report = output(ssh, "launch prune --dry-run --json");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["leases"], 0, "{moment:?}: {report:#}");
}

/// What a command prints that takes long in software emulation.
fn within(ssh: &Ssh, command: &str) -> String {
    let done = ssh.run_within(command, BOOT_TIMEOUT);
    let done = done.expect("the guest answers");
    assert!(done.status.success(), "{command}: {}", done.stderr);
    done.stdout.trim().to_owned()
}
