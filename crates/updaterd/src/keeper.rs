//! The record of updates while somebody works on it: every change is on the disk before the work goes on.
//!
//! One process at a time has it. Does not decide which changes there are.

use std::collections::BTreeMap;
use std::fs::{self, File};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use machine_facts::boot_facts::BootFacts;
use machine_facts::health_report::HealthReport;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use rustix::fs::{FlockOperation, flock};
use update_model::decision::Decision;
use update_model::outcome::Report;
use update_model::preparation::Preparation;
use update_model::progress::{State, WrongTransition};
use update_model::record::{Happened, Hold, Record};
use update_model::version::Version;

use crate::login_note;
use crate::metrics;

/// There once the record knows of this boot: `/run` begins empty.
const BOOT_SEEN: &str = "/run/keelson/update-boot-seen";

/// The record, held by this process alone.
#[derive(Debug)]
pub struct Keeper {
    root: SystemRoot,
    record: Record,
    /// The lock lives as long as this.
    _lock: File,
}

impl Keeper {
    /// Takes the record, and brings it up to date: what an interrupted run left half done is as if it never
    /// was, and a version that was installed before this boot is waited for, good or bad.
    ///
    /// # Errors
    /// If another process has it.
    pub fn take(root: &SystemRoot) -> anyhow::Result<Self> {
        let folder = root.path(update_files::FOLDER);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("an update is under way already: `osctl status` shows how far it is");
        }
        let mut keeper = Self {
            root: root.clone(),
            record: read_or_begin_anew(root)?,
            _lock: lock,
        };
        keeper.catch_up()?;
        Ok(keeper)
    }

    /// Takes in what happened while nobody held the record: a boot, a verdict on what booted, or that whoever
    /// held it was stopped.
    fn catch_up(&mut self) -> anyhow::Result<()> {
        if self.root.exists(BOOT_SEEN) {
            self.enter(|state| Ok(state.interrupted()))?;
        } else {
            let running = BootFacts::read(&self.root)
                .context("this machine was not booted by Keelson's /init, so it has no slots")?
                .root_hash;
            self.enter(|state| Ok(state.booted(running)))?;
            self.root
                .replace(BOOT_SEEN, "")
                .with_context(|| format!("cannot write {BOOT_SEEN}"))?;
        }
        if !matches!(self.record.state, State::AwaitingHealth(_)) {
            return Ok(());
        }
        match HealthReport::read(&self.root)? {
            Some(HealthReport::Healthy { .. }) => self.enter(State::healthy),
            Some(HealthReport::Unhealthy { reasons, .. }) => {
                let reason = format!("it was unhealthy: {}", reasons.join("; "));
                self.enter(|state| state.unhealthy(&reason))
            }
            Some(HealthReport::Checking { .. } | HealthReport::Soaking { .. }) | None => Ok(()),
        }
    }

    /// What is remembered.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Enters the state that a transition leads to.
    pub fn enter(
        &mut self,
        transition: impl FnOnce(State) -> Result<State, WrongTransition>,
    ) -> anyhow::Result<()> {
        let state = transition(self.record.state.clone())?;
        self.record.enter(state, whole_seconds());
        self.save()
    }

    /// What is under way failed.
    pub fn failed(&mut self, reason: &str) -> anyhow::Result<()> {
        self.record.failed(reason, whole_seconds())?;
        self.save()
    }

    /// What is installed shall not be booted, and its boot entry is gone.
    pub fn withdraw(&mut self) -> anyhow::Result<()> {
        self.record.withdraw(whole_seconds())?;
        self.save()
    }

    /// An attempt failed before it changed the state: what it needs to know cannot be read.
    pub fn could_not_begin(&mut self, reason: &str) -> anyhow::Result<()> {
        self.record
            .attempt_failed(reason.to_owned(), whole_seconds());
        self.save()
    }

    /// What a look at the releases came to.
    pub fn decided(&mut self, decision: &Decision) -> anyhow::Result<()> {
        self.record.decided(decision, whole_seconds());
        self.save()
    }

    /// Whether the cluster holds back what is installed.
    pub fn held_back(&mut self, hold: Hold) -> anyhow::Result<()> {
        self.record.hold = hold;
        self.save()
    }

    /// The cluster was told these.
    pub fn reported(&mut self, reports: &BTreeMap<Version, Report>) -> anyhow::Result<()> {
        for (version, report) in reports {
            self.record.reported(version, report);
        }
        self.save()
    }

    /// The run did what it should.
    pub fn succeeded(&mut self, what: Option<Happened>) -> anyhow::Result<()> {
        self.record.attempt_succeeded(whole_seconds());
        if let Some(what) = what {
            self.record.note(what, whole_seconds());
        }
        self.save()
    }

    /// Something happened.
    pub fn note(&mut self, what: Happened) -> anyhow::Result<()> {
        self.record.note(what, whole_seconds());
        self.save()
    }

    /// Changes what is remembered of getting ready for a reboot.
    pub fn prepare(&mut self, change: impl FnOnce(&mut Preparation)) -> anyhow::Result<()> {
        change(&mut self.record.preparation);
        self.save()
    }

    fn save(&self) -> anyhow::Result<()> {
        login_note::show(&self.root, &self.record);
        metrics::show(&self.root, &self.record);
        update_files::write_record(&self.root, &self.record)
            .with_context(|| format!("cannot write the record in {}", update_files::FOLDER))
    }
}

fn whole_seconds() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// A record that cannot be read must not end all updates.
fn read_or_begin_anew(root: &SystemRoot) -> anyhow::Result<Record> {
    match update_files::read_record(root) {
        Ok(record) => Ok(record),
        Err(error) if error.needs_root() => Err(error.into()),
        Err(error) => {
            eprintln!("updaterd: begins a new record: {}", error.reason());
            update_files::set_record_aside(root).context("cannot set the old record aside")?;
            Ok(Record::default())
        }
    }
}
