//! A disk that is a file: judged, partitioned once, left alone from then on.

use provision_model::parse;
use provision_model::plan::Stated;

use super::*;

const MIB: u64 = 1 << 20;

struct Machine(tempfile::TempDir);

impl Machine {
    /// With `/dev/vdb`, blank.
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(machine.0.path().join("dev")).unwrap();
        let disk = std::fs::File::create(machine.disk()).unwrap();
        disk.set_len(64 * MIB).unwrap();
        machine
    }

    fn disk(&self) -> PathBuf {
        self.0.path().join("dev/vdb")
    }

    fn devices(&self) -> Devices {
        Devices {
            sys: self.0.path().join("sys"),
            dev: self.0.path().join("dev"),
            run: self.0.path().join("run"),
        }
    }

    fn partition(&self, disk: &Disk) -> Result<Vec<Step>, String> {
        let work = judge_disk(disk, &self.devices())?;
        work.perform(Manner::Really)
            .map_err(|error| error.to_string())
    }
}

fn plan(partitions: &str) -> Plan {
    let text = format!(
        r#"{{"ignition": {{"version": "3.4.0"}}, "storage": {{
            "disks": [{{"device": "/dev/vdb", "partitions": [{partitions}]}}],
            "filesystems": [{{"device": "/dev/disk/by-partlabel/data", "format": "ext4", "path": "/srv/data"}}]}}}}"#
    );
    parse(text.as_bytes()).unwrap().1
}

fn disk(partitions: &str) -> Disk {
    plan(partitions).disks.remove(0).value
}

#[test]
fn a_blank_disk_is_partitioned_once() {
    let machine = Machine::new();
    let wanted = disk(r#"{"label": "data", "sizeMiB": 16}, {"label": "log"}"#);
    let change = |steps: Result<Vec<Step>, String>| steps.unwrap()[0].change;
    let dry = judge_disk(&wanted, &machine.devices()).unwrap();
    dry.perform(Manner::DryRun).unwrap();
    assert_eq!(change(machine.partition(&wanted)), Change::Created);
    let bytes = std::fs::read(machine.disk()).unwrap();
    assert_eq!(change(machine.partition(&wanted)), Change::Unchanged);
    assert_eq!(std::fs::read(machine.disk()).unwrap(), bytes);
    let more = disk(r#"{"label": "data", "sizeMiB": 20}"#);
    let error = machine.partition(&more).unwrap_err();
    assert!(error.contains("wipePartitionEntry"), "{error}");
    let wiped = Disk {
        is_wiped: true,
        ..more
    };
    assert_eq!(change(machine.partition(&wiped)), Change::Changed);
}

#[test]
fn what_somebody_has_written_is_not_overwritten() {
    let machine = Machine::new();
    let file_system = &plan("").file_systems[0].value;
    file_system::make(file_system, &machine.disk()).unwrap();
    let wanted = disk(r#"{"label": "data"}"#);
    let error = machine.partition(&wanted).unwrap_err();
    assert!(error.contains("wipeTable replaces it"), "{error}");
    let missing = Disk {
        device: "/dev/vdx".to_owned(),
        ..wanted
    };
    assert!(
        machine
            .partition(&missing)
            .unwrap_err()
            .contains("is not there")
    );
}

#[test]
fn a_file_system_waits_for_its_partition_if_that_is_made_here() {
    let machine = Machine::new();
    let plan = plan(r#"{"label": "data"}"#);
    let system = &plan.file_systems[0].value;
    let judge = |disks: &[Stated<Disk>]| judge_file_system(system, disks, &machine.devices());
    assert!(judge(&plan.disks).is_ok());
    let error = judge(&[]).unwrap_err();
    assert!(
        error.contains("no partition with the label data"),
        "{error}"
    );
    let work = judge(&plan.disks).unwrap();
    assert_eq!(
        work.perform(Manner::DryRun).unwrap()[0].change,
        Change::Created
    );
    assert!(work.perform(Manner::Really).is_err(), "nobody has made it");
}

#[test]
fn partitions_are_told_by_their_disk() {
    let disk = disk(r#"{"label": "data"}"#);
    for (device, is_one) in [
        ("/dev/vdb1", true),
        ("/dev/disk/by-partlabel/data", true),
        ("/dev/vdb", false),
        ("/dev/vdc1", false),
        ("/dev/disk/by-partlabel/other", false),
    ] {
        assert_eq!(may_make(&disk, device), is_one, "{device}");
    }
}
