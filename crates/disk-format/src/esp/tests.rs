//! File systems against `fsck.vfat` and mtools, in files as sparse as a real image.

use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::NamedTempFile;

use super::*;
use crate::test_tools::{Noise, run_tool};
use crate::window::Window;

const MIB: u64 = 1024 * 1024;

fn options() -> EspOptions {
    EspOptions {
        length_bytes: 1024 * MIB,
        sector_size: SectorSize::Bytes4096,
        volume_id: 0x1234_abcd,
        label: *b"KEELSON ESP",
        timestamp_seconds: 1_700_000_000,
    }
}

fn image(length_bytes: u64) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(length_bytes).unwrap();
    file
}

/// The tree of a real image: loader, configuration, one kernel.
fn fill<D: Read + Write + Seek>(esp: &mut Esp<D>) -> Vec<u8> {
    let kernel = Noise(3).bytes(3_000_001);
    esp.write_file("EFI/BOOT/BOOTX64.EFI", &mut &b"loader"[..])
        .unwrap();
    esp.write_file("loader/loader.conf", &mut &b"timeout 0\n"[..])
        .unwrap();
    esp.write_file("EFI/Linux/keelson_1.2~rc1+3.efi", &mut &kernel[..])
        .unwrap();
    kernel
}

fn filled(options: &EspOptions) -> NamedTempFile {
    let file = image(options.length_bytes);
    let mut esp = format(file.reopen().unwrap(), options).unwrap();
    fill(&mut esp);
    esp.finish().unwrap();
    file
}

/// Everything that `fsck.vfat` prints after the boot sector must be about nothing.
fn fsck(path: &Path) {
    let mut command = Command::new("fsck.vfat");
    let printed = run_tool("dosfstools", command.args(["-n", "-v"]).arg(path));
    let (_, report) = printed.split_once("sectors total\n").expect(&printed);
    let expected = "Checking for unused clusters.\nChecking free cluster summary.\n";
    let summary = report.strip_prefix(expected).expect(&printed);
    assert_eq!(summary.lines().count(), 1, "{printed}");
}

/// Runs an mtools program on the image, `::` standing for its root directory.
fn mtools(program: &str, image: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .env("TZ", "UTC")
        .env("MTOOLS_SKIP_CHECK", "0")
        .arg("-i")
        .arg(image)
        .args(arguments);
    run_tool("mtools", &mut command)
}

#[test]
fn fsck_finds_no_problem() {
    let small = |sector_size, length_mib| EspOptions {
        sector_size,
        length_bytes: length_mib * MIB,
        ..options()
    };
    for options in [
        options(),
        small(SectorSize::Bytes4096, 300),
        small(SectorSize::Bytes512, 64),
    ] {
        fsck(filled(&options).path());
    }
}

#[test]
fn mtools_read_names_times_and_contents() {
    let file = filled(&options());
    let listing = mtools("mdir", file.path(), &["::/EFI/Linux"]);
    assert!(listing.contains("keelson_1.2~rc1+3.efi"), "{listing}");
    assert!(listing.contains("2023-11-14  22:13"), "{listing}");
    assert!(
        listing.contains("Volume Serial Number is 1234-ABCD"),
        "{listing}"
    );
    assert!(listing.contains("KEELSON ESP"), "{listing}");
    let copied = NamedTempFile::new().unwrap();
    let target = copied.path().to_str().unwrap();
    mtools(
        "mcopy",
        file.path(),
        &["-n", "-o", "::/EFI/Linux/keelson_1.2~rc1+3.efi", target],
    );
    assert!(std::fs::read(target).unwrap() == Noise(3).bytes(3_000_001));
    assert_eq!(
        mtools("mtype", file.path(), &["::/loader/loader.conf"]),
        "timeout 0\n"
    );
}

#[test]
fn we_read_what_mtools_wrote() {
    let file = filled(&options());
    mtools("mmd", file.path(), &["::/EFI/Debian"]);
    let source = crate::test_tools::file_of(b"written by another");
    let source = source.path().to_str().unwrap();
    mtools(
        "mcopy",
        file.path(),
        &[source, "::/EFI/Debian/a long name.txt"],
    );
    let esp = Esp::open(file.reopen().unwrap(), 0).unwrap();
    assert_eq!(esp.list("EFI/Debian").unwrap(), ["a long name.txt"]);
    assert_eq!(
        esp.read_file("EFI/Debian/a long name.txt").unwrap(),
        b"written by another"
    );
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let options = EspOptions {
        length_bytes: 300 * MIB,
        ..options()
    };
    let (first, second) = (filled(&options), filled(&options));
    let mut chunks = [vec![0; 1 << 20], vec![1; 1 << 20]];
    for _ in 0..300 {
        first.as_file().read_exact(&mut chunks[0]).unwrap();
        second.as_file().read_exact(&mut chunks[1]).unwrap();
        assert!(chunks[0] == chunks[1]);
    }
}

/// A disk that was used before must give the same files, not the same bytes.
#[test]
fn formatting_over_old_data_leaves_none_of_it_visible() {
    let options = EspOptions {
        sector_size: SectorSize::Bytes512,
        length_bytes: 40 * MIB,
        ..options()
    };
    let length = usize::try_from(options.length_bytes).unwrap();
    let mut esp = format(Cursor::new(Noise(9).bytes(length)), &options).unwrap();
    fill(&mut esp);
    assert_eq!(esp.list("").unwrap(), ["EFI", "loader"]);
    let device = esp.finish().unwrap();
    fsck(crate::test_tools::file_of(device.get_ref()).path());
}

#[test]
fn a_sparse_file_stays_sparse() {
    let file = image(1024 * MIB);
    format(file.reopen().unwrap(), &options())
        .unwrap()
        .finish()
        .unwrap();
    let allocated_bytes = file.as_file().metadata().unwrap().blocks() * 512;
    assert!(
        allocated_bytes < 4 * MIB,
        "{allocated_bytes} bytes are allocated"
    );
}

#[test]
fn files_are_replaced_renamed_and_removed() {
    let file = filled(&options());
    let mut esp = Esp::open(file.reopen().unwrap(), 1_800_000_000).unwrap();
    let free_bytes = esp.free_bytes().unwrap();
    esp.write_file("loader/loader.conf", &mut &[b'x'; 5000][..])
        .unwrap();
    assert_eq!(esp.read_file("loader/loader.conf").unwrap(), [b'x'; 5000]);
    esp.write_file("loader/loader.conf", &mut &b"short"[..])
        .unwrap();
    assert_eq!(esp.read_file("loader/loader.conf").unwrap(), b"short");
    esp.rename(
        "EFI/Linux/keelson_1.2~rc1+3.efi",
        "EFI/Linux/keelson_1.2~rc1+2-1.efi",
    )
    .unwrap();
    assert_eq!(esp.list("EFI/Linux").unwrap(), ["keelson_1.2~rc1+2-1.efi"]);
    esp.write_file("EFI/Linux/new.tmp", &mut &b"new"[..])
        .unwrap();
    esp.rename("EFI/Linux/new.tmp", "EFI/Linux/keelson_2+3.efi")
        .unwrap();
    esp.remove("EFI/Linux/keelson_1.2~rc1+2-1.efi").unwrap();
    assert_eq!(esp.list("EFI/Linux").unwrap(), ["keelson_2+3.efi"]);
    assert_eq!(esp.read_file("EFI/Linux/keelson_2+3.efi").unwrap(), b"new");
    // 733 clusters of the kernel, less one for the new file.
    assert_eq!(esp.free_bytes().unwrap(), free_bytes + 732 * 4096);
    esp.finish().unwrap();
    fsck(file.path());
}

/// Directories of several clusters, below each other, and one that is moved to the root.
#[test]
fn crowded_and_moved_directories_are_sound() {
    let options = EspOptions {
        sector_size: SectorSize::Bytes512,
        length_bytes: 40 * MIB,
        ..options()
    };
    let file = image(options.length_bytes);
    let mut esp = format(file.reopen().unwrap(), &options).unwrap();
    for number in 0..40 {
        let path = format!("a/b/directory number {number}/file number {number}");
        esp.write_file(&path, &mut path.as_bytes()).unwrap();
    }
    esp.rename("a/b/directory number 7", "moved").unwrap();
    esp.finish().unwrap();
    fsck(file.path());
    let esp = Esp::open(file.reopen().unwrap(), 0).unwrap();
    assert_eq!(esp.list("a/b").unwrap().len(), 39);
    let moved = esp.read_file("moved/file number 7").unwrap();
    assert_eq!(moved, b"a/b/directory number 7/file number 7");
}

#[test]
fn a_partition_is_formatted_in_its_window() {
    let mut file = image(302 * MIB).into_file();
    let options = EspOptions {
        length_bytes: 300 * MIB,
        ..options()
    };
    let window = Window::new(&mut file, MIB, options.length_bytes).unwrap();
    let mut esp = format(window, &options).unwrap();
    let kernel = fill(&mut esp);
    esp.finish().unwrap();
    let mut edge = vec![1; usize::try_from(MIB).unwrap()];
    for start in [0, 301 * MIB] {
        file.seek(SeekFrom::Start(start)).unwrap();
        file.read_exact(&mut edge).unwrap();
        assert!(
            edge.iter().all(|byte| *byte == 0),
            "written outside of the partition"
        );
    }
    let window = Window::new(file, MIB, options.length_bytes).unwrap();
    let esp: Esp<Window<File>> = Esp::open(window, 0).unwrap();
    assert!(esp.read_file("efi/linux/KEELSON_1.2~RC1+3.EFI").unwrap() == kernel);
}

#[test]
fn a_full_partition_keeps_no_half_file() {
    let options = EspOptions {
        sector_size: SectorSize::Bytes512,
        length_bytes: 40 * MIB,
        ..options()
    };
    let length = usize::try_from(options.length_bytes).unwrap();
    let mut esp = format(Cursor::new(vec![0; length]), &options).unwrap();
    esp.write_file("EFI/a", &mut &b"a"[..]).unwrap();
    let free_bytes = esp.free_bytes().unwrap();
    let error = esp
        .write_file("EFI/big", &mut std::io::repeat(1).take(50 * MIB))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write /EFI/big on the EFI system partition"
    );
    assert_eq!(esp.list("EFI").unwrap(), ["a"]);
    assert_eq!(esp.free_bytes().unwrap(), free_bytes);
    let device = esp.finish().unwrap();
    fsck(crate::test_tools::file_of(device.get_ref()).path());
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let mut esp = format(image(1024 * MIB).into_file(), &options()).unwrap();
    esp.write_file("EFI/a", &mut &b"a"[..]).unwrap();
    esp.write_file("EFI/b", &mut &b"b"[..]).unwrap();
    assert!(esp.read_file("EFI/c").is_err());
    assert!(esp.list("EFI/c").is_err());
    assert!(esp.remove("EFI").is_err(), "it is not empty");
    assert!(esp.rename("EFI/a", "EFI/b").is_err());
    assert!(
        esp.write_file("EFI/a/b", &mut &b""[..]).is_err(),
        "a is a file"
    );
    assert!(
        esp.write_file("EFI/a:b", &mut &b""[..]).is_err(),
        "FAT has no colons"
    );
    assert_eq!(esp.read_file("EFI/b").unwrap(), b"b");
}

#[test]
fn lengths_and_contents_that_are_no_fat32_are_refused() {
    for length_bytes in [0, 4096, 100 * MIB] {
        let options = EspOptions {
            length_bytes,
            ..options()
        };
        let formatted = format(image(100 * MIB).into_file(), &options);
        assert!(formatted.is_err(), "{length_bytes} bytes");
    }
    assert!(matches!(
        Esp::open(Cursor::new(vec![0; 4096]), 0),
        Err(EspError::Open(_))
    ));
}
