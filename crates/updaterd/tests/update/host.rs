//! A machine that waits for a reboot, as a folder, and the host that is asked for it. No test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use disk_format::verity::RootHash;
use jiff::Timestamp;
use machine_facts::health_report::HealthReport;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files::{read_record, read_settings, write_record};
use tempfile::TempDir;
use update_model::progress::{Release, State};
use update_model::record::Record;
use update_model::why::why;
use updaterd::host::{Host, Notice, Question};
use updaterd::keeper::Keeper;
use updaterd::reboot::{Occasion, Surroundings, back_in_service, when_it_suits};
use updaterd::watcher::SharedWatcher;

const OLD: RootHash = RootHash([1; 32]);
const NEW: RootHash = RootHash([2; 32]);

/// What a host was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Reboot,
    Notice(Duration),
    Again(Question),
}

/// Does nothing but say so.
#[derive(Debug, Default)]
pub(crate) struct TestHost {
    pub(crate) asked: Mutex<Vec<Asked>>,
    pub(crate) users: Vec<String>,
    /// Whether somebody calls off what is announced.
    pub(crate) is_called_off: bool,
    /// Whether systemd refuses to reboot.
    pub(crate) is_stuck: bool,
}

impl TestHost {
    fn note(&self, asked: Asked) {
        self.lock().push(asked);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for TestHost {
    fn logged_in(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.users.clone())
    }

    fn reboot(&self) -> anyhow::Result<()> {
        self.note(Asked::Reboot);
        anyhow::ensure!(!self.is_stuck, "systemd does not want to");
        Ok(())
    }

    fn reboot_with_notice(&self, notice: Duration, message: &str) -> anyhow::Result<Notice> {
        assert!(message.contains("version 2"), "{message}");
        self.note(Asked::Notice(notice));
        Ok(if self.is_called_off {
            Notice::CalledOff("somebody called it off".to_owned())
        } else {
            Notice::GoesDown
        })
    }

    fn ask_again_at(&self, time: Timestamp, question: Question) -> anyhow::Result<()> {
        assert!(time > Timestamp::now());
        self.note(Asked::Again(question));
        Ok(())
    }
}

/// The machine: version 2 is installed, 1 runs.
#[derive(Debug)]
pub(crate) struct WaitingMachine {
    folder: TempDir,
    pub(crate) root: SystemRoot,
    pub(crate) host: TestHost,
}

impl WaitingMachine {
    pub(crate) fn new(id: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let root = SystemRoot::new(folder.path());
        let machine = Self {
            folder,
            root,
            host: TestHost::default(),
        };
        machine.put("/etc/machine-id", &format!("{id}\n"));
        machine.put("/etc/keelson/update.toml", settings);
        let os_release = "NAME=\"Keelson\"\nID=\"keelson\"\nIMAGE_VERSION=\"1\"\n\
                          BUILD_ID=\"0\"\nVARIANT_ID=\"vm\"\n";
        machine.put("/usr/lib/os-release", os_release);
        let mut record = Record::default();
        let release = Release {
            version: "2".parse().expect("a version"),
            root_hash: NEW,
        };
        record.enter(State::Staged(release), Timestamp::UNIX_EPOCH);
        write_record(&machine.root, &record).expect("written");
        machine.begin_to_run(OLD);
        // That the record knows of this boot.
        machine.put("/run/keelson/update-boot-seen", "");
        machine
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        self.root.replace(path, text).expect("written");
    }

    /// A program in `drain.d` that writes a line into `/log`, and then does this.
    pub(crate) fn hook(&self, then: &str) {
        let path = "/etc/keelson/drain.d/50-test";
        let log = self.folder.path().join("log");
        let text = format!(
            "#!/bin/sh\necho \"$1\" \"$2\" >> {}\n{then}\n",
            log.display()
        );
        self.put(path, &text);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.root.path(path), mode).expect("executable");
    }

    /// What the program was called with.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = self.root.read_text("/log").unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// As a timer asks; gives what is said of it.
    pub(crate) fn ask(&self) -> String {
        self.try_to_ask().expect("it works")
    }

    pub(crate) fn try_to_ask(&self) -> anyhow::Result<String> {
        let around = Surroundings {
            root: &self.root,
            host: &self.host,
            watcher: &SharedWatcher::default(),
        };
        Ok(when_it_suits(around)?.unwrap_or_default())
    }

    /// What the host was asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.host.lock())
    }

    fn begin_to_run(&self, root_hash: RootHash) {
        let facts = format!(
            "version = \"2\"\nroot_hash = \"{root_hash}\"\nslot = \"b\"\ndisk = \"/dev/vda\"\n\
             root = \"/dev/vda1\"\nverity = true\nboot_path = \"uefi\"\ncounted = true\n\
             first_boot = false\nfailed_boots = 0\n\n[steps_milliseconds]\n"
        );
        self.put("/run/keelson/boot.toml", &facts);
    }

    fn reboot_into(&self, root_hash: RootHash, is_healthy: bool) {
        fs::remove_dir_all(self.root.path("/run")).expect("removed");
        self.begin_to_run(root_hash);
        let report = if is_healthy {
            HealthReport::Healthy {
                healthy_after_seconds: 9.0,
                notes: Vec::new(),
            }
        } else {
            HealthReport::Unhealthy {
                unhealthy_after_seconds: 300.0,
                reasons: vec!["kvd.service has failed".to_owned()],
            }
        };
        report.write(&self.root).expect("written");
        // As keelson-update-outcome.service does.
        drop(Keeper::take(&self.root).expect("nobody has it"));
    }

    /// Version 2 runs, and is healthy or not.
    pub(crate) fn boot_new(&self, is_healthy: bool) {
        self.reboot_into(NEW, is_healthy);
    }

    /// Version 2 did not come up, and 1 runs again.
    pub(crate) fn fall_back(&self) {
        self.reboot_into(OLD, true);
    }

    /// As its service does after a boot.
    pub(crate) fn back_in_service(&self) -> anyhow::Result<String> {
        back_in_service(&self.root, Occasion::Boot)
    }

    pub(crate) fn record(&self) -> Record {
        read_record(&self.root).expect("a record")
    }

    /// What `osctl why` says.
    pub(crate) fn why(&self) -> String {
        let settings = read_settings(&self.root).expect("settings");
        let zone = jiff::tz::TimeZone::UTC;
        why(&self.record(), &settings, &zone, Timestamp::now())
    }
}
