//! The power fails at any moment of an update: the guest's writes are recorded, and the disk is looked at as it
//! was at every flush, with and without some of the writes that followed. Some of these disks are booted.
//!
//! In `make soak`. That each step of an installation is safe by itself is `slot-install`'s to prove.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use disk_format::boot_entry::BootEntry;
use disk_format::verity::RootHash;
use fastrand::Rng;
use image_build::output::{Manifest, copy_sparse};
use keelson_qemu::Disk;
use keelson_qemu::ssh::Ssh;

use crate::installed::InstalledDisk;
use crate::releases::{NEXT, Releases, reboot, status, subscribe, update, wait_for_outcome};
use crate::replay::{Epoch, epochs, undo};
use crate::support::{BOOT_TIMEOUT, Bench, build, image, output, power_off, wait_healthy};

/// Ways in which the writes after a flush are torn, where they matter to booting.
const TORN: usize = 4;
/// Disks that are booted: of those where boot entries or the table have just changed, and of all.
const BOOTED: [usize; 2] = [4, 3];
/// For a seed to try again.
const SEED: &str = "KEELSON_POWER_CUT_SEED";

#[test]
fn soak_a_power_cut_at_any_flush_of_an_update_leaves_old_or_new() {
    let image = image();
    let bench = Bench::new(&image);
    let folder = bench.folder.path();
    let next = build(&["--version", NEXT], &folder.join("next"));
    let releases = Releases::new(folder);
    let built = format!("next/keelson-{}.json", image.product);
    releases.release(&folder.join(built), 0);
    let recording = Recording {
        before: folder.join("before.raw"),
        log: folder.join("writes.log"),
    };
    recording.record(&bench, &releases);

    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let mut random = given.map_or_else(Rng::new, Rng::with_seed);
    println!("{SEED}={}", random.get_seed());
    let mut sweep = Sweep {
        disk: folder.join("replayed.raw"),
        old: Release::of(&image),
        new: Release::of(&next),
        is_slot_checked: false,
    };
    copy_sparse(&recording.before, &sweep.disk).expect("the disk is copied");
    let boundaries = sweep.run(&recording.log, &mut random);
    std::fs::remove_file(&sweep.disk).expect("it is there");
    for boundary in choose(&boundaries, &mut random) {
        println!("booting the disk as it was at flush {boundary}");
        recording.replay(boundary, &bench.disk);
        converges(&bench, boundary, &image);
    }
}

/// A machine's disk before an update, and what was written to it from then on.
struct Recording {
    before: PathBuf,
    log: PathBuf,
}

impl Recording {
    /// A whole update, with the reboot into the new version.
    fn record(&self, bench: &Bench, releases: &Releases) {
        let (address, _) = releases.serve();
        let running = bench.start(&bench.machine("before-the-update", bench.firmware()));
        wait_healthy(&running, 0);
        subscribe(&bench.ssh(&running), releases, address);
        power_off(running);
        copy_sparse(&bench.disk, &self.before).expect("the disk is copied");
        let mut machine = bench.machine("recorded-update", bench.firmware());
        machine.disks = vec![Disk::recorded(&bench.disk, &self.log)];
        let running = bench.start(&machine);
        wait_healthy(&running, 0);
        let ssh = bench.ssh(&running);
        install(&ssh);
        let ssh = reboot(bench, &running, &ssh, BOOT_TIMEOUT);
        assert_eq!(status(&ssh)["release"]["version"], NEXT);
        power_off(running);
    }

    /// Makes the disk what it was at a flush.
    fn replay(&self, boundary: usize, disk: &Path) {
        copy_sparse(&self.before, disk).expect("the disk is copied");
        let file = open(disk);
        epochs(&self.log)
            .take(boundary + 1)
            .for_each(|epoch| epoch.apply(&file));
    }
}

fn install(ssh: &Ssh) {
    let text = update(ssh, "");
    assert!(text.contains(&format!("{NEXT} is installed")), "{text}");
}

fn open(disk: &Path) -> File {
    let file = File::options().read(true).write(true).open(disk);
    file.expect("the disk opens")
}

/// What a boot entry must be.
struct Release {
    version: String,
    root_hash: RootHash,
    boot_image: Vec<u8>,
}

impl Release {
    fn of(image: &Manifest) -> Self {
        Self {
            version: image.version.clone(),
            root_hash: image.root_hash.parse().expect("a root hash"),
            boot_image: std::fs::read(&image.uki).expect("the kernel image"),
        }
    }
}

/// What was written before a flush.
#[derive(Clone, Copy, Debug, Default)]
struct Touched {
    table: bool,
    esp: bool,
    idle_slot: bool,
}

/// The disk at flush after flush.
struct Sweep {
    disk: PathBuf,
    old: Release,
    new: Release,
    /// The new root was checked since something was last written to its slot.
    is_slot_checked: bool,
}

impl Sweep {
    /// Looks at all of them, and says what was written before each.
    fn run(&mut self, log: &Path, random: &mut Rng) -> Vec<Touched> {
        let places = Places::of(&self.disk);
        let file = open(&self.disk);
        let mut boundaries = Vec::new();
        let (mut torn, mut offered) = (0, 0);
        for (number, epoch) in epochs(log).enumerate() {
            let touched = places.touched(&epoch);
            self.is_slot_checked &= !touched.idle_slot;
            if touched.table || touched.esp {
                for _ in 0..TORN {
                    let replaced = epoch.apply_torn(&file, random);
                    self.look(&format!("torn before flush {number}"), true);
                    undo(&file, replaced);
                    torn += 1;
                }
            }
            epoch.apply(&file);
            if touched.table || touched.esp || touched.idle_slot {
                offered += usize::from(self.look(&format!("at flush {number}"), false));
            }
            boundaries.push(touched);
        }
        let count = boundaries.len();
        println!("{count} flushes and {torn} torn disks, the new version bootable at {offered}");
        assert!(count > 30 && torn > 30, "too few to be true");
        assert!(offered > 0, "the new version is never offered");
        boundaries
    }

    /// Checks that the old version can be booted, and the new one either can or is not there. Says which.
    fn look(&mut self, when: &str, is_torn: bool) -> bool {
        let disk = InstalledDisk::open(&self.disk);
        let (root, tree) = (
            &disk.partition("root-a").guid,
            &disk.partition("root-a-verity").guid,
        );
        let hash = &self.old.root_hash;
        assert_eq!(*root, hash.data_partition_guid(), "{when}");
        assert_eq!(*tree, hash.hash_partition_guid(), "{when}");
        let (mut has_old, mut has_new) = (false, false);
        let files = disk.boot_files();
        let is_new = |contents: &Vec<u8>| *contents == self.new.boot_image;
        let images = files
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().ends_with(".efi"));
        for (name, contents) in images {
            let version = BootEntry::parse(name).map(|entry| entry.version);
            let is_old = *contents == self.old.boot_image;
            // Being renamed: the boot loader passes over it, as long as it is there under the other name.
            if contents.is_empty() && version.as_ref() != Some(&self.old.version) {
                let is_elsewhere = files.iter().any(|(_, contents)| is_new(contents));
                assert!(is_torn || is_elsewhere, "{when}: {name} is empty");
                continue;
            }
            let length = contents.len();
            assert!(
                is_old || is_new(contents),
                "{when}: {name} of {length} bytes is of no version"
            );
            has_old |= is_old && version.as_ref() == Some(&self.old.version);
            has_new |= !is_old;
        }
        assert!(has_old, "{when}: the old version has no boot entry");
        if has_new && !self.is_slot_checked {
            println!("checking the new root {when}");
            disk.assert_slot_holds("b", &self.new.root_hash);
            self.is_slot_checked = true;
        }
        has_new
    }
}

/// Where things are on the disk, in bytes.
struct Places {
    tables: [Range<u64>; 2],
    esp: Range<u64>,
    running_slot: [Range<u64>; 2],
    idle_slot: [Range<u64>; 2],
}

impl Places {
    fn of(disk: &Path) -> Self {
        let disk = InstalledDisk::open(disk);
        let range = |name: &str| {
            let place = disk.partition(name);
            place.start_bytes..place.end_bytes()
        };
        Self {
            tables: [0..range("esp").start, range("state").end..u64::MAX],
            esp: range("esp"),
            running_slot: [range("root-a"), range("root-a-verity")],
            idle_slot: [range("root-b"), range("root-b-verity")],
        }
    }

    fn touched(&self, epoch: &Epoch) -> Touched {
        let touches = |range: &Range<u64>| epoch.touches(range.start, range.end);
        let is_running_slot_touched = self.running_slot.iter().any(touches);
        assert!(!is_running_slot_touched, "the running slot is written to");
        Touched {
            table: self.tables.iter().any(touches),
            esp: touches(&self.esp),
            idle_slot: self.idle_slot.iter().any(touches),
        }
    }
}

/// Flushes whose disks are booted.
fn choose(boundaries: &[Touched], random: &mut Rng) -> Vec<usize> {
    let all = 0..boundaries.len();
    let matters = |number: &usize| boundaries[*number].table || boundaries[*number].esp;
    let mut chosen = random.choose_multiple(all.clone().filter(matters), BOOTED[0]);
    chosen.extend(random.choose_multiple(all, BOOTED[1]));
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// What was cut off comes up healthy, old or new, and gets to the new version from there.
fn converges(bench: &Bench, boundary: usize, old: &Manifest) {
    let running = bench.start(&bench.machine(&format!("flush-{boundary}"), bench.firmware()));
    wait_healthy(&running, 0);
    let mut ssh = bench.ssh(&running);
    wait_for_outcome(&ssh);
    let version = status(&ssh)["release"]["version"].clone();
    if version != NEXT {
        assert_eq!(version, old.version.as_str(), "flush {boundary}");
        install(&ssh);
        ssh = reboot(bench, &running, &ssh, BOOT_TIMEOUT + Duration::from_mins(1));
    }
    let status = status(&ssh);
    assert_eq!(
        status["release"]["version"], NEXT,
        "flush {boundary}: {status:#}"
    );
    let failed = output(&ssh, "systemctl list-units --failed --no-legend --plain");
    assert_eq!(failed, "", "flush {boundary}");
    let text = update(&ssh, "--check");
    assert!(text.contains("newest release"), "flush {boundary}: {text}");
    power_off(running);
}
