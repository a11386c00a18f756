//! One run: look for a release, decide, fetch, install; or as much of that as was ordered.
//!
//! Whatever fails leaves the machine booting what it runs. Does not reboot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use disk_format::window::Window;
use jiff::Timestamp;
use machine_facts::error::{Fact, chain};
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use slot_install::install;
use slot_install::slots::Candidate;
use update_client::error::ClientError;
use update_client::repository::{Expiry, Repository};
use update_client::source::Source;
use update_model::decision::{self, Cluster, Decision, Take};
use update_model::manifest::Manifest;
use update_model::progress::{Needs, Release, Room, State, Step};
use update_model::record::{Attempts, Happened};
use update_model::settings::{Choices, Settings};
use update_model::version::Version;

use crate::cluster;
use crate::keeper::Keeper;
use crate::machine::{Machine, MachineSlots};
use crate::parts::{Downloads, Local, Parts, fetch};
use crate::source;
use crate::transfer::{Came, Transfer};
use crate::watcher::Watcher;

/// Processor architecture of this program's releases, as systemd names it.
const ARCHITECTURE: &str = "x86-64";

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Find out what there is.
    Check,
    /// Write it to the idle slot, and do not offer it to the boot loader.
    Download,
    /// Install it: the next boot tries it.
    Install,
}

/// Who ordered the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderedBy {
    /// Somebody, now.
    Hand,
    /// The timer, which waits after failures.
    Timer,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// How far.
    pub goal: Goal,
    /// From another source than the settings'.
    pub from: Option<String>,
    /// Take a version that was bad here or elsewhere, too.
    pub retry: bool,
    /// By whom.
    pub by: OrderedBy,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not its time yet.
    NotDue(String),
    /// Nothing is to be taken, for this reason.
    Nothing(String),
    /// This one waits for a reboot already.
    Waiting(Version),
    /// There is a release to take, for this reason.
    Available(String),
    /// This one was written to the idle slot.
    Downloaded(Version),
    /// This one is installed.
    Installed(Version),
}

/// A run's surroundings.
struct Run<'a> {
    root: &'a SystemRoot,
    order: &'a Order,
    settings: Settings,
    choices: Choices,
    keeper: Keeper,
    watcher: &'a dyn Watcher,
}

/// Does what was ordered. Why a run failed is in the record too.
pub fn run(root: &SystemRoot, order: &Order, watcher: &dyn Watcher) -> anyhow::Result<Outcome> {
    let mut keeper = Keeper::take(root)?;
    let (settings, choices) = match read_wishes(root) {
        Ok(wishes) => wishes,
        Err(error) => {
            keeper.could_not_begin(&error.reason())?;
            return Err(error.into());
        }
    };
    let mut run = Run {
        root,
        order,
        settings,
        choices,
        keeper,
        watcher,
    };
    cluster::tell(root, &run.settings, &mut run.keeper);
    if let Some(reason) = run.not_due() {
        return Ok(Outcome::NotDue(reason));
    }
    let staged = match &run.keeper.record().state {
        State::Staged(release) => Some(release.clone()),
        State::AwaitingHealth(release) => bail!(
            "{} has yet to prove itself before another may follow: `osctl status` shows its health",
            release.version
        ),
        _ => None,
    };
    run.keeper.enter(State::check)?;
    match run.attempt(staged.as_ref()) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            let reason = chain(error.as_ref());
            // The error itself matters more than one of keeping it.
            if let Err(error) = run.keeper.failed(&reason) {
                eprintln!("updaterd: {error:#}");
            }
            Err(error)
        }
    }
}

fn read_wishes(root: &SystemRoot) -> Fact<(Settings, Choices)> {
    let settings = update_files::read_settings(root)?;
    Ok((settings, update_files::read_choices(root)?))
}

impl Run<'_> {
    fn not_due(&self) -> Option<String> {
        match (&self.keeper.record().attempts, self.order.by) {
            (Attempts::Failing { next, reason, .. }, OrderedBy::Timer)
                if Timestamp::now() < *next =>
            {
                Some(format!("waits until {next} after a failure: {reason}"))
            }
            _ => None,
        }
    }

    fn attempt(&mut self, staged: Option<&Release>) -> anyhow::Result<Outcome> {
        self.watcher.phase("looking for releases");
        let machine = Machine::read(self.root)?;
        let source = source::open(&self.settings, self.order.from.as_deref())?;
        let repository = self.repository(&source)?;
        let decision = self.decide(&machine, &repository, staged)?;
        let verdict = decision.to_string();
        self.keeper.decided(&decision)?;
        let take = match decision {
            Decision::Take(take) if self.order.goal != Goal::Check => take,
            decision => {
                self.keeper.enter(State::nothing_found)?;
                self.keeper.succeeded(None)?;
                return Ok(match decision {
                    Decision::Take(_) => Outcome::Available(verdict),
                    Decision::Stay(decision::Stay::Staged(version)) => Outcome::Waiting(version),
                    Decision::Stay(_) => Outcome::Nothing(verdict),
                });
            }
        };
        let manifest = manifest_of(&machine, &repository, &take)?;
        self.take_in(&machine, &*source, &manifest)
    }

    fn repository(&self, source: &Arc<dyn Source>) -> anyhow::Result<Repository> {
        let path = &self.settings.root_of_trust;
        let root = fs::read(self.root.path(path)).with_context(|| {
            format!(
                "cannot read {path}, the root that releases are trusted by: put the builder's \
                 1.root.json there, or name another as `root-of-trust` in {}",
                update_files::SETTINGS
            )
        })?;
        let seen = self.root.path(update_files::METADATA);
        fs::create_dir_all(&seen).with_context(|| format!("cannot create {}", seen.display()))?;
        let repository =
            Repository::load(Arc::clone(source), &root, Some(&seen), Expiry::Enforced)?;
        Ok(repository)
    }

    fn channel(&self) -> &str {
        let chosen = self.choices.channel.as_deref();
        chosen.unwrap_or(&self.settings.channel)
    }

    fn decide(
        &self,
        machine: &Machine,
        repository: &Repository,
        staged: Option<&Release>,
    ) -> anyhow::Result<Decision> {
        let channel = repository.channel(&machine.product, self.channel())?;
        let memory = &self.keeper.record().memory;
        let mut known = decision::Machine {
            id: machine.id.clone(),
            running: machine.running.version.clone(),
            staged: staged.map(|release| release.version.clone()),
            floor: memory.floor.clone(),
            pinned: self.choices.pinned.clone(),
            bad: if self.order.retry {
                BTreeMap::new()
            } else {
                memory.bad.clone()
            },
            cluster: Cluster::default(),
        };
        let decision = decision::decide(&known, &channel, Timestamp::now());
        if self.order.retry || !decision.concerns_cluster() {
            return Ok(decision);
        }
        known.cluster = cluster::ask(self.root, &self.settings);
        Ok(decision::decide(&known, &channel, Timestamp::now()))
    }

    /// From the preflight to the end.
    fn take_in(
        &mut self,
        machine: &Machine,
        source: &dyn Source,
        manifest: &Manifest,
    ) -> anyhow::Result<Outcome> {
        let release = Release {
            version: manifest.version.clone(),
            root_hash: manifest.root_hash,
        };
        self.keeper.enter(|state| state.found(release))?;
        let mut slots = machine.slots()?;
        let downloads = Downloads::open(self.root)?;
        self.preflight(&slots, manifest, &downloads)?;
        let running = slots.idle().other();
        self.keeper.enter(|state| state.preflight_passed(running))?;
        let local = Local::read(&mut slots, &downloads)?;
        let parts = fetch(source, manifest, &slots, &local, &downloads, self.watcher)?;
        self.keeper.enter(State::fetched)?;
        let outcome = self.install(
            machine, source, manifest, &mut slots, &local, parts, &downloads,
        )?;
        if self.order.goal == Goal::Install {
            downloads.clean(None);
        }
        Ok(outcome)
    }

    fn preflight(
        &self,
        slots: &MachineSlots,
        manifest: &Manifest,
        downloads: &Downloads,
    ) -> anyhow::Result<()> {
        let candidate = Candidate {
            version: manifest.version.clone(),
            root_hash: manifest.root_hash,
            root_bytes: manifest.root.length,
            tree_bytes: manifest.verity.length,
            boot_image_bytes: manifest.uki.file.length,
        };
        slots.check(&candidate, self.keeper.record().memory.floor.as_ref())?;
        let room = Room {
            state: downloads.free_bytes(),
            ..slots.room()?
        };
        let is_kept = self.order.goal == Goal::Download;
        let needs = Needs {
            root_partition: candidate.root_bytes,
            tree_partition: candidate.tree_bytes,
            esp: candidate.boot_image_bytes,
            state: if is_kept {
                candidate.boot_image_bytes
            } else {
                0
            },
        };
        room.check(&needs)
            .with_context(|| format!("{} does not fit", manifest.version))
    }

    #[allow(clippy::too_many_arguments)] // what a run has gathered so far
    fn install(
        &mut self,
        machine: &Machine,
        source: &dyn Source,
        manifest: &Manifest,
        slots: &mut MachineSlots,
        local: &Local,
        parts: Parts,
        downloads: &Downloads,
    ) -> anyhow::Result<Outcome> {
        let mut running = machine.slots()?;
        let running_slot = running.idle().other();
        let base = local.base(slots, running.root(running_slot)?);
        let transfer = Transfer {
            source,
            manifest,
            tree: &parts.tree,
            route: parts.route,
            watcher: self.watcher,
        };
        let mut came = None;
        let write_root = |partition: Window<&mut File>| -> Result<(), ClientError> {
            came = Some(transfer.write(partition, base)?);
            Ok(())
        };
        let keeper = &mut self.keeper;
        let mut done = |step: Step| {
            let entered = keeper.enter(|state| state.step_done(step));
            entered.map_err(|error| slot_install::error::InstallError::Root(error.into()))
        };
        slots.fill(&parts.tree.bytes, write_root, &mut done)?;
        let came = came.context("the root was not written")?;
        if self.order.goal == Goal::Download {
            downloads.keep_boot_image(&parts.boot_image);
            return self.downloaded(manifest, came, parts.fetched_bytes);
        }
        self.watcher.phase("making it bootable");
        let install = install::Parts {
            version: &manifest.version,
            root_hash: manifest.root_hash,
            boot_image: &parts.boot_image,
        };
        slots.offer(&install, &mut done)?;
        let version = manifest.version.clone();
        self.keeper.succeeded(Some(Happened::Installed {
            version: version.clone(),
            method: came.method,
            fetched_bytes: came.fetched_bytes + parts.fetched_bytes,
        }))?;
        Ok(Outcome::Installed(version))
    }

    fn downloaded(
        &mut self,
        manifest: &Manifest,
        came: Came,
        fetched_bytes: u64,
    ) -> anyhow::Result<Outcome> {
        self.keeper.enter(State::downloaded)?;
        let version = manifest.version.clone();
        self.keeper.succeeded(Some(Happened::Downloaded {
            version: version.clone(),
            method: came.method,
            fetched_bytes: came.fetched_bytes + fetched_bytes,
        }))?;
        Ok(Outcome::Downloaded(version))
    }
}

/// The manifest of what is taken, if it is for this machine.
fn manifest_of(
    machine: &Machine,
    repository: &Repository,
    take: &Take,
) -> anyhow::Result<Manifest> {
    let manifest = repository.manifest(&take.manifest)?;
    ensure!(
        manifest.product == machine.product && manifest.version == take.version,
        "{} is of {} {}, not of {} {}",
        take.manifest,
        manifest.product,
        manifest.version,
        machine.product,
        take.version
    );
    ensure!(
        manifest.architecture == ARCHITECTURE,
        "{} is for {}, this machine is {ARCHITECTURE}",
        take.manifest,
        manifest.architecture
    );
    Ok(manifest)
}

impl Outcome {
    /// For people.
    pub fn sentence(&self) -> String {
        match self {
            Self::NotDue(text) | Self::Nothing(text) | Self::Available(text) => text.clone(),
            Self::Waiting(version) => {
                format!("{version} is installed already and waits for a reboot: `systemctl reboot`")
            }
            Self::Downloaded(version) => {
                format!("{version} is downloaded: `osctl update` makes it bootable")
            }
            Self::Installed(version) => {
                format!("{version} is installed: `systemctl reboot` boots it")
            }
        }
    }
}
