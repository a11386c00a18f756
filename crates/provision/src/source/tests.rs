//! Sources as folders, and their order.
//!
//! The devices themselves are tested where machines boot.

use std::fs;
use std::path::Path;

use disk_format::esp::{EspOptions, format};
use disk_format::gpt::SectorSize;

use super::*;

fn put(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// An ESP with these files.
fn esp(folder: &Path, files: &[&str]) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(folder.join("esp.img"))
        .unwrap();
    let options = EspOptions {
        length_bytes: 40 << 20,
        sector_size: SectorSize::Bytes512,
        volume_id: 1,
        label: *b"ESP        ",
        timestamp_seconds: 1_700_000_000,
    };
    file.set_len(options.length_bytes).unwrap();
    let mut esp = format(file, &options).unwrap();
    for path in files {
        esp.write_file(path, &mut &b"esp"[..]).unwrap();
    }
    esp.finish().unwrap();
}

/// As a machine has them.
fn all(folder: &Path) -> Vec<Box<dyn Source>> {
    let sys = folder.join("sys");
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for item in FirmwareConfiguration::all(&sys) {
        sources.push(Box::new(item));
    }
    sources.push(Box::new(SystemStrings::new(&sys)));
    let device = folder.join("esp.img");
    if device.exists() {
        sources.push(Box::new(FatDevice {
            what: "the ESP",
            device,
        }));
    }
    for (kind, name) in [(Drive::OpenStack, "openstack"), (Drive::NoCloud, "nocloud")] {
        sources.push(Box::new(ConfigDrive {
            kind,
            mounted: folder.join(name),
        }));
    }
    sources
}

#[test]
fn each_source_is_found_and_the_first_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    let text = "io.systemd.credential:keelson.config=smbios";
    let string = [b"\x0b\x05\0\0\x01".as_slice(), text.as_bytes(), b"\0\0"].concat();
    for (path, bytes, source) in [
        (
            "nocloud/user-data",
            b"nocloud".as_slice(),
            "user-data on the config drive cidata",
        ),
        (
            "openstack/openstack/latest/user_data",
            b"openstack".as_slice(),
            "openstack/latest/user_data on the config drive config-2",
        ),
        (
            "sys/firmware/dmi/tables/DMI",
            string.as_slice(),
            "SMBIOS credential keelson.config",
        ),
        (
            "sys/firmware/dmi/entries/11-0/raw",
            string.as_slice(),
            "SMBIOS credential keelson.config",
        ),
        (
            "sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw",
            b"coreos".as_slice(),
            "QEMU fw_cfg opt/com.coreos/config",
        ),
        (
            "sys/firmware/qemu_fw_cfg/by_name/opt/org.keelson/config/raw",
            b"ours".as_slice(),
            "QEMU fw_cfg opt/org.keelson/config",
        ),
    ] {
        put(folder.path(), path, bytes);
        if path.starts_with("openstack") {
            esp(folder.path(), &["keelson/Config.ign", "EFI/x"]);
            let found = first(&all(folder.path()), &mut |_| {}).unwrap().unwrap();
            assert_eq!(
                (&found.source[..], &found.bytes[..]),
                ("keelson/Config.ign on the ESP", &b"esp"[..])
            );
            fs::remove_file(folder.path().join("esp.img")).unwrap();
        }
        let found = first(&all(folder.path()), &mut |_| {}).unwrap().unwrap();
        assert_eq!(found.source, source);
    }
}

#[test]
fn every_source_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let found = first(&all(folder.path()), &mut |one| told.push(one.clone()));
    assert_eq!(found.unwrap(), None);
    assert_eq!(told.len(), 5);
    put(folder.path(), "nocloud/user-data", b"");
    let found = first(&all(folder.path()), &mut |_| {});
    assert_eq!(found.unwrap(), None, "no user data was given");
    esp(folder.path(), &["keelson/config.toml"]);
    told.clear();
    first(&all(folder.path()), &mut |one| told.push(one.clone())).unwrap();
    let last = Told::Found("keelson/config.toml on the ESP".to_owned(), 3);
    assert_eq!((told.len(), told.last()), (4, Some(&last)));
}

#[test]
fn what_cannot_be_taken_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    esp(
        folder.path(),
        &["keelson/config.toml", "keelson/config.ign"],
    );
    let error = first(&all(folder.path()), &mut |_| {})
        .unwrap_err()
        .to_string();
    let expected =
        "there are 2 configurations where one may be: keelson/config.ign, keelson/config.toml";
    assert_eq!(error, expected);
    fs::write(folder.path().join("esp.img"), "no file system").unwrap();
    let error = first(&all(folder.path()), &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("the ESP ("), "{error}");
    fs::remove_file(folder.path().join("esp.img")).unwrap();
    let path = "nocloud/user-data";
    put(folder.path(), path, b"");
    let file = fs::File::options()
        .write(true)
        .open(folder.path().join(path));
    file.unwrap().set_len(BYTES_MAX + 1).unwrap();
    let error = first(&all(folder.path()), &mut |_| {}).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge(_)), "{error}");
}

#[test]
fn drives_are_found_by_their_label() {
    let folder = tempfile::tempdir().unwrap();
    let (sys, dev) = (folder.path().join("sys"), folder.path().join("dev"));
    for (name, label) in [
        ("vdb", b"CIDATA     "),
        ("vdc", b"config-2   "),
        ("vda1", b"ESP        "),
        ("dm-0", b"cidata     "),
    ] {
        fs::create_dir_all(sys.join("class/block").join(name)).unwrap();
        let mut head = vec![0; 1024];
        head[43..54].copy_from_slice(label);
        head[54..59].copy_from_slice(b"FAT16");
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        put(&dev, name, &head);
    }
    let found = find_drives(&sys, &dev);
    let kinds: Vec<_> = found
        .iter()
        .map(|drive| (drive.kind, &drive.device))
        .collect();
    let expected = [
        (Drive::OpenStack, &dev.join("vdc")),
        (Drive::NoCloud, &dev.join("vdb")),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn labels_tell_the_kind_of_drive() {
    assert_eq!(Drive::of_label("CIDATA"), Some(Drive::NoCloud));
    assert_eq!(Drive::of_label("config-2"), Some(Drive::OpenStack));
    assert_eq!(Drive::of_label("ESP"), None);
}
