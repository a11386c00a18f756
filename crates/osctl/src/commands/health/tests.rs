//! What is left behind in a copy of the machine, and said on its console.
use super::*;
use crate::test_machine::facts;
use disk_format::meta::BootRecord;
use std::fs;

struct Machine {
    folder: tempfile::TempDir,
    root: SystemRoot,
    boot: BootFacts,
}

impl Machine {
    /// With two failed boots on record, and a console.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dev")).unwrap();
        fs::write(folder.path().join("dev/console"), "").unwrap();
        fs::write(folder.path().join("dev/vda6"), vec![0; 1 << 20]).unwrap();
        let (root, boot) = (SystemRoot::new(folder.path()), facts());
        let mut record = BootRecord::default();
        record.count_failed_boot(&boot.root_hash);
        record.count_failed_boot(&boot.root_hash);
        let meta = File::options()
            .read(true)
            .write(true)
            .open(root.path("/dev/vda6"));
        record.write(&mut meta.unwrap()).unwrap();
        Self { folder, root, boot }
    }

    fn console(&self) -> String {
        fs::read_to_string(self.folder.path().join("dev/console")).unwrap()
    }

    fn report(&self) -> HealthReport {
        HealthReport::read(&self.root).unwrap().unwrap()
    }

    fn failed_boots(&self) -> u32 {
        failed_boots::read(&self.root, &self.boot).unwrap()
    }
}

const AFTER: Duration = Duration::from_micros(12_345_678);

fn healthy() -> Outcome {
    Outcome::Healthy {
        healthy_after: AFTER,
        notes: Vec::new(),
    }
}

#[test]
fn a_healthy_boot_is_announced_once_and_clears_the_count() {
    let machine = Machine::new();
    let mut announcer = Announcer::new(&machine.root, &machine.boot);
    announcer.checking(&["a.service is activating".to_owned()]);
    assert!(matches!(machine.report(), HealthReport::Checking { reasons } if reasons.len() == 1));
    announcer.soaking(AFTER, &[]);
    announcer.soaking(AFTER, &[]);
    assert!(matches!(machine.report(), HealthReport::Soaking { .. }));
    assert_eq!(machine.failed_boots(), 2, "not before the soak's end");
    assert_eq!(announcer.finish(healthy()), ExitCode::SUCCESS);
    assert_eq!(machine.failed_boots(), 0);
    assert_eq!(
        machine.console(),
        "keelson: healthy after 12.3 s (version 1.2~rc3, slot a)\n"
    );
    assert_eq!(
        machine.report(),
        HealthReport::Healthy {
            healthy_after_seconds: 12.345,
            notes: Vec::new()
        }
    );
}

#[test]
fn a_relapse_is_announced() {
    let machine = Machine::new();
    let mut announcer = Announcer::new(&machine.root, &machine.boot);
    announcer.soaking(AFTER, &[]);
    announcer.checking(&["a.service has failed".to_owned()]);
    announcer.checking(&["a.service has failed".to_owned()]);
    announcer.soaking(AFTER * 2, &[]);
    assert_eq!(
        machine.console(),
        "keelson: healthy after 12.3 s (version 1.2~rc3, slot a)\n\
         keelson: no longer healthy: a.service has failed\n\
         keelson: healthy again after 24.7 s (version 1.2~rc3, slot a)\n"
    );
}

#[test]
fn an_unhealthy_boot_says_why_and_stays_counted() {
    let machine = Machine::new();
    let mut announcer = Announcer::new(&machine.root, &machine.boot);
    let reasons = vec!["a.service has failed".to_owned(), "b".to_owned()];
    let outcome = Outcome::Unhealthy {
        unhealthy_after: Duration::from_mins(5),
        reasons: reasons.clone(),
    };
    assert_eq!(announcer.finish(outcome), ExitCode::FAILURE);
    assert_eq!(
        machine.console(),
        "keelson: unhealthy after 300.0 s:\nkeelson:   a.service has failed\nkeelson:   b\n"
    );
    assert_eq!(machine.failed_boots(), 2);
    assert_eq!(
        machine.report(),
        HealthReport::Unhealthy {
            unhealthy_after_seconds: 300.0,
            reasons
        }
    );
}

#[test]
fn neither_a_console_nor_a_record_is_needed() {
    let mut machine = Machine::new();
    fs::remove_file(machine.folder.path().join("dev/console")).unwrap();
    machine.boot.meta = None;
    let mut announcer = Announcer::new(&machine.root, &machine.boot);
    announcer.soaking(AFTER, &[]);
    assert_eq!(announcer.finish(healthy()), ExitCode::SUCCESS);
}

#[test]
fn flags_win_over_the_command_line_and_that_over_files() {
    let config = HealthConfig {
        required_units: Vec::new(),
        soak: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
    };
    let of = |soak, timeout, line: Option<u64>| {
        let arguments = HealthArguments { soak, timeout };
        let limits = limits(&arguments, &config, line.map(Duration::from_secs));
        (limits.soak.as_secs(), limits.timeout.as_secs())
    };
    assert_eq!(of(None, None, None), (1, 2));
    assert_eq!(of(None, None, Some(3)), (3, 2));
    assert_eq!(of(Some(0), Some(5), Some(3)), (0, 5));
}
