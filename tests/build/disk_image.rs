//! The built disk and boot image, as the usual tools see them.

use disk_format::gpt::{PartitionTable, SectorSize};
use image_build::output::{BuiltImage, copy_sparse};
use image_build::tools::Tools;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{Cache, assert_says, built, scratch};

fn image() -> BuiltImage {
    BuiltImage::load(&built().join("image/keelson-vm.json")).expect("built")
}

/// Runs a tool to its success and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// A tool that Debian keeps where ordinary users do not look.
fn administration_tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("env");
    command
        .arg(format!("PATH={path}:/usr/sbin:/sbin"))
        .arg(name);
    command
}

fn table(disk: &Path, sector_size: SectorSize) -> PartitionTable {
    let mut file = File::open(disk).expect("a disk");
    PartitionTable::read(&mut file, sector_size).expect("a partition table")
}

#[test]
fn the_partition_table_is_sound_to_sgdisk() {
    let disk = image().manifest.disk;
    let text = run(administration_tool("sgdisk").arg("--verify").arg(&disk));
    assert_says(&text, &["No problems found"]);
    assert!(!text.to_lowercase().contains("caution"), "{text}");
}

#[test]
fn the_esp_is_sound_to_fsck_and_holds_loader_and_kernel() {
    let folder = scratch();
    let path = extract(&image().manifest.disk, "esp", folder.path());
    run(administration_tool("fsck.vfat").arg("-n").arg(&path));
    let listing = run(Command::new("mdir").args(["-b", "-/", "-i"]).arg(&path));
    let entry = format!("EFI/Linux/keelson_{}+3.efi", image().manifest.version);
    assert_says(
        &listing,
        &["EFI/BOOT/BOOTX64.EFI", "loader/loader.conf", &entry],
    );
    let kernel = folder.path().join("uki.efi");
    let source = format!("::/{entry}");
    run(Command::new("mcopy")
        .arg("-i")
        .args([&path, Path::new(&source), &kernel]));
    let same = fs::read(&kernel).expect("copied") == fs::read(image().manifest.uki).expect("built");
    assert!(same, "the boot entry is not the published image");
}

/// A partition as a sparse file of its own.
fn extract(disk: &Path, name: &str, folder: &Path) -> PathBuf {
    let table = table(disk, SectorSize::Bytes512);
    let (_, partition) = table.by_name(name).expect("a partition");
    let path = folder.join(name);
    run(Command::new("dd")
        .args([
            "bs=1M",
            "conv=sparse",
            "iflag=skip_bytes,count_bytes",
            "status=none",
        ])
        .arg(format!("if={}", disk.display()))
        .arg(format!("of={}", path.display()))
        .arg(format!("skip={}", partition.start_bytes))
        .arg(format!("count={}", partition.length_bytes)));
    // A hole at the end is not written by dd.
    let file = File::options().write(true).open(&path).expect("extracted");
    file.set_len(partition.length_bytes).expect("grown");
    path
}

#[test]
fn veritysetup_and_fsck_accept_the_root_and_a_changed_bit_is_found() {
    let manifest = image().manifest;
    let verify = |root: &Path| {
        let mut command = administration_tool("veritysetup");
        command
            .arg("verify")
            .args([root, &manifest.verity])
            .arg(&manifest.root_hash);
        command
    };
    run(&mut verify(&manifest.root));
    let fsck = |tools: PathBuf| {
        run(Tools::at(tools)
            .command("usr/bin/fsck.erofs")
            .arg(&manifest.root))
    };
    let tools = fs::read_dir(built().join("tools")).expect("a step");
    let tools = tools.map(|entry| entry.expect("an entry").path());
    fsck(
        tools
            .into_iter()
            .find(|path| path.is_dir())
            .expect("a result"),
    );

    let folder = scratch();
    let damaged = folder.path().join("root");
    copy_sparse(&manifest.root, &damaged).expect("copied");
    let file = File::options().write(true).open(&damaged).expect("copied");
    file.write_all_at(b"X", 100 << 20).expect("written");
    let status = verify(&damaged).output().expect("it runs").status;
    assert!(!status.success(), "a changed byte went unnoticed");
}

#[test]
fn the_partitions_are_found_by_the_root_hash() {
    let manifest = image().manifest;
    let table = table(&manifest.disk, SectorSize::Bytes512);
    let guid = |name: &str| {
        table
            .by_name(name)
            .expect("there")
            .1
            .guid
            .simple()
            .to_string()
    };
    assert_eq!(guid("root-a") + &guid("root-a-verity"), manifest.root_hash);
    assert_says(
        &manifest.command_line,
        &[&manifest.root_hash, &manifest.version],
    );
}

#[test]
fn the_boot_image_shows_its_sections_to_objdump() {
    let uki = image().manifest.uki;
    let text = run(Command::new("objdump").arg("-h").arg(&uki));
    assert_says(
        &text,
        &[".linux", ".initrd", ".cmdline", ".osrel", ".uname", ".sbat"],
    );
    let inspected = run(Command::new(crate::fixture::builder())
        .arg("inspect")
        .arg(&uki));
    assert_says(&inspected, &[&image().manifest.command_line]);
}

#[test]
fn a_disk_with_large_sectors_has_the_same_layout_and_root() {
    let cache = Cache::warm();
    let outcome = cache.build().argument("--sector-size=4096").succeed();
    let mut ran = outcome.steps_run();
    ran.sort_unstable();
    assert_eq!(ran, ["disk", "output"]);
    let large = BuiltImage::load(&cache.image().join("keelson-vm-4k.json")).expect("built");
    let (small, large) = (image().manifest, large.manifest);
    assert_eq!(small.root_hash, large.root_hash);
    let mut file = File::open(&large.disk).expect("a disk");
    assert!(PartitionTable::read(&mut file, SectorSize::Bytes512).is_err());
    let [a, b] = [
        table(&small.disk, SectorSize::Bytes512),
        table(&large.disk, SectorSize::Bytes4096),
    ];
    assert_eq!(a.partitions, b.partitions);
}
