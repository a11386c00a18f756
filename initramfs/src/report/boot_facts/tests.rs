//! The files for user space, written to a temporary folder.
use super::*;
use crate::boot_loader::boot_path::Counting;
use crate::disk::block_device::{Contents, Disk};
use disk_format::gpt::{PartitionTable, SectorSize};
use std::collections::BTreeMap;
use uuid::Uuid;

fn disk() -> BootDisk {
    let table = PartitionTable {
        disk_guid: Uuid::from_u128(1),
        sector_size: SectorSize::Bytes512,
        partitions: BTreeMap::new(),
    };
    let contents = Contents::Partitioned(table.clone());
    let disk = Disk {
        name: "nvme0n1".to_owned(),
        length_bytes: 1,
        contents,
    };
    BootDisk {
        disk,
        table,
        root: 2,
        verity: 3,
        esp: Some(1),
        meta: None,
        state: Some(7),
    }
}

fn options() -> BootOptions {
    let hash = "ab".repeat(32);
    BootOptions::parse(&format!("keelson.roothash={hash} keelson.version=1.2~rc3")).unwrap()
}

fn write(boot_path: BootPath) -> (tempfile::TempDir, String) {
    let (options, disk) = (options(), disk());
    let state = Prepared {
        history: History::FirstBoot,
        device: Some("/dev/nvme0n1p7".to_owned()),
    };
    let facts = BootFacts {
        options: &options,
        boot_path,
        disk: &disk,
        state: &state,
        failed_boots: 2,
        steps: &[("load modules", Duration::from_micros(12_900))],
    };
    let run = tempfile::tempdir().unwrap();
    facts.write(run.path()).unwrap();
    let text = fs::read_to_string(run.path().join("keelson/boot.toml")).unwrap();
    (run, text)
}

const COUNTED: BootPath = BootPath::Uefi {
    esp: Uuid::nil(),
    counting: Counting::Counted,
};

#[test]
fn the_facts_are_complete() {
    let (_run, text) = write(COUNTED);
    let hash = "ab".repeat(32);
    let expected = format!(
        "version = \"1.2~rc3\"\nroot_hash = \"{hash}\"\nslot = \"\"\ndisk = \"/dev/nvme0n1\"\n\
         root = \"/dev/nvme0n1p2\"\nesp = \"/dev/nvme0n1p1\"\nstate = \"/dev/nvme0n1p7\"\n\
         verity = true\nboot_path = \"uefi\"\ncounted = true\nfirst_boot = true\n\
         failed_boots = 2\n\n[steps_milliseconds]\n\"load modules\" = 12\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn links_lead_to_the_partitions_that_exist() {
    let (run, _) = write(BootPath::Direct);
    let link = |name: &str| fs::read_link(run.path().join("keelson").join(name));
    assert_eq!(link("esp").unwrap(), Path::new("/dev/nvme0n1p1"));
    assert_eq!(link("state").unwrap(), Path::new("/dev/nvme0n1p7"));
    assert!(link("meta").is_err() && link("root").is_err());
}

#[test]
fn only_a_counted_boot_reboots_on_failure() {
    let drop_in = |run: &Path, unit: &str| {
        fs::read_to_string(run.join(format!("systemd/system/{unit}.d/50-counted-boot.conf")))
    };
    let (run, _) = write(COUNTED);
    for unit in [
        "emergency.service",
        "rescue.service",
        "keelson-health.service",
    ] {
        assert!(
            drop_in(run.path(), unit)
                .unwrap()
                .contains("FailureAction=reboot"),
            "{unit}"
        );
    }
    let (run, text) = write(BootPath::Direct);
    assert!(text.contains("boot_path = \"direct\"\ncounted = false"));
    assert!(!run.path().join("systemd").exists());
}
