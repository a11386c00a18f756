//! The reboot into what a timer's run installed, when the settings allow it, and what is undone after it.
//!
//! Before it, in this order: a slot of the cluster's lock, the machine's work moved away, users told. Each is in
//! the record before it is done. After it, or if it does not happen, the work comes back first and the slot is
//! given back last, so that the next machine goes down only when this one is in service again. The rules of when
//! stand in `update_model::reboot`.

use std::time::Duration;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use machine_facts::health_report::HealthReport;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use update_model::preparation::{Drain, is_over};
use update_model::progress::{Release, State};
use update_model::reboot::{Lock, Verdict, decide};
use update_model::record::Happened;
use update_model::settings::reboot_lock::RebootLock;
use update_model::settings::{DrainFailure, Settings};

use crate::cluster;
use crate::drain::Hooks;
use crate::host::{Host, Notice, Question};
use crate::keeper::Keeper;
use crate::lock;
use crate::watcher::Watcher;

/// How often a machine that waits for the lock asks for it.
const TURN: SignedDuration = SignedDuration::from_mins(5);

/// Who is asked and told.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The machine's files.
    pub root: &'a SystemRoot,
    /// The machine itself.
    pub host: &'a dyn Host,
    /// Whoever is told how far it is.
    pub watcher: &'a dyn Watcher,
}

/// Reboots, or sees to it that the question is asked again when the answer may be another. Says what will happen;
/// nothing if nothing waits for a reboot.
pub fn when_it_suits(around: Surroundings<'_>) -> anyhow::Result<Option<String>> {
    let settings = update_files::read_settings(around.root)?;
    let keeper = Keeper::take(around.root)?;
    let State::Staged(release) = keeper.record().state.clone() else {
        return Ok(None);
    };
    let mut attempt = Attempt {
        around,
        settings,
        keeper,
        release,
    };
    let verdict = attempt.decide_with_lock()?;
    let now = Timestamp::now();
    match verdict {
        Verdict::Now => return attempt.reboot().map(Some),
        Verdict::WaitForOthers(_) | Verdict::LockUnreachable(_) => {
            around.host.ask_again_at(next_turn(now), Question::Reboot)?;
        }
        Verdict::WaitForWindow(opens) => {
            attempt.undo()?;
            around.host.ask_again_at(opens, Question::Update)?;
        }
        Verdict::AskForLock | Verdict::NoWindow | Verdict::WaitForOrder => attempt.undo()?,
    }
    Ok(Some(format!("the reboot {verdict}")))
}

/// All who ask within a turn ask once more after it.
fn next_turn(now: Timestamp) -> Timestamp {
    let seconds = TURN.as_secs();
    let turn = now.as_second().div_euclid(seconds) + 1;
    Timestamp::from_second(turn * seconds).unwrap_or(Timestamp::MAX)
}

/// When a machine looks whether it is back in service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Once in every boot.
    Boot,
    /// Whenever it looks for releases.
    Check,
}

/// Brings the machine back into service after a reboot that it got ready for, once it is healthy: its work comes
/// back, and its slot of the lock is given back. Says what was done.
///
/// # Errors
/// If that is to be tried again.
pub fn back_in_service(root: &SystemRoot, occasion: Occasion) -> anyhow::Result<String> {
    let settings = update_files::read_settings(root)?;
    let mut keeper = Keeper::take(root)?;
    let is_owed = keeper.record().preparation.is_owed();
    let may_be_forgotten = occasion == Occasion::Boot && settings.reboot_lock != RebootLock::None;
    if !is_owed && !may_be_forgotten {
        return Ok("nothing was done for a reboot".to_owned());
    }
    let is_healthy = matches!(
        HealthReport::read(root)?,
        Some(HealthReport::Healthy { .. })
    );
    if !is_healthy || !is_over(&keeper.record().state) {
        let state = &keeper.record().state;
        return Ok(format!(
            "the reboot lock is kept until this machine is healthy and its update over; that is {state}"
        ));
    }
    if !is_owed {
        return Ok(release_what_is_forgotten(root, &settings));
    }
    undo(root, &settings, &mut keeper)?;
    Ok("the machine is back in service".to_owned())
}

/// A machine that lost its record, or was installed anew, may hold a slot that it knows nothing of. That is worth
/// one attempt in a boot.
fn release_what_is_forgotten(root: &SystemRoot, settings: &Settings) -> String {
    let machine = lock::holder(root);
    match machine.and_then(|machine| lock::release(root, settings, &machine)) {
        Ok(_) => "this machine holds no reboot lock".to_owned(),
        Err(error) => format!("whether this machine holds the reboot lock is unknown: {error:#}"),
    }
}

/// Undoes what was done for a reboot, as far as something was.
fn undo(root: &SystemRoot, settings: &Settings, keeper: &mut Keeper) -> anyhow::Result<()> {
    if keeper.record().preparation.drain == Drain::Begun {
        let longest = Duration::from_secs(settings.drain_timeout.into());
        Hooks::find(root)
            .undrain("the machine is back in service", longest)
            .context("the machine's work was not brought back; the next check tries again")?;
        keeper.prepare(|preparation| preparation.drain = Drain::NotBegun)?;
    }
    let has_lock = keeper.record().preparation.is_owed();
    if has_lock {
        lock::release(root, settings, &lock::holder(root)?).context(
            "the reboot lock was not given back; the next check tries again, and \
             `osctl lock unlock` on another machine takes it away",
        )?;
        keeper.prepare(|preparation| preparation.lock = Lock::NotAsked)?;
    }
    Ok(())
}

/// A release that waits for the reboot into it.
struct Attempt<'a> {
    around: Surroundings<'a>,
    settings: Settings,
    keeper: Keeper,
    release: Release,
}

impl Attempt<'_> {
    fn decide(&self, lock: &Lock) -> Verdict {
        let strategy = &self.settings.reboot;
        decide(strategy, lock, &TimeZone::system(), Timestamp::now())
    }

    /// Asks for the lock if the answer depends on it. What was held before is asked for again: somebody may have
    /// taken it away.
    fn decide_with_lock(&mut self) -> anyhow::Result<Verdict> {
        let known = match self.settings.reboot_lock {
            RebootLock::None => Lock::Unneeded,
            RebootLock::Store(_) | RebootLock::FleetLock(_) => Lock::NotAsked,
        };
        let verdict = self.decide(&known);
        if verdict != Verdict::AskForLock {
            return Ok(verdict);
        }
        let asked = Lock::Unreachable("it was asked for, and the answer was not noted".to_owned());
        self.keeper
            .prepare(|preparation| preparation.lock = asked)?;
        self.around.watcher.phase("asking for the reboot lock");
        let machine = lock::holder(self.around.root)?;
        let lock = lock::take(self.around.root, &self.settings, &machine);
        self.keeper
            .prepare(|preparation| preparation.lock = lock.clone())?;
        Ok(self.decide(&lock))
    }

    fn undo(&mut self) -> anyhow::Result<()> {
        undo(self.around.root, &self.settings, &mut self.keeper)
    }

    /// The machine may reboot, and holds the lock if it needs one.
    fn reboot(&mut self) -> anyhow::Result<String> {
        // Whoever held the lock before may have found the release bad.
        let version = self.release.version.clone();
        self.keeper
            .held_back(cluster::hold(self.around.root, &self.settings, &version))?;
        if let Some(reason) = self.keeper.record().hold.of_version(&version) {
            self.undo()?;
            return Ok(format!(
                "the reboot does not happen, since {version} {reason}"
            ));
        }
        if let Err(error) = self.drain() {
            let reason = format!("{error:#}");
            match self.settings.drain_failure {
                DrainFailure::Reboot => eprintln!("updaterd: reboots all the same: {reason}"),
                DrainFailure::PutOff => {
                    self.call_off(&reason)?;
                    self.keeper
                        .prepare(|preparation| preparation.drain = Drain::Failed(reason.clone()))?;
                    return Ok(format!("the reboot is put off: {reason}"));
                }
            }
        }
        // Draining takes its time.
        let lock = match self.settings.reboot_lock {
            RebootLock::None => Lock::Unneeded,
            RebootLock::Store(_) | RebootLock::FleetLock(_) => Lock::Held,
        };
        let verdict = self.decide(&lock);
        if verdict != Verdict::Now {
            self.call_off(&format!("after draining it {verdict}"))?;
            if let Verdict::WaitForWindow(opens) = verdict {
                self.around.host.ask_again_at(opens, Question::Update)?;
            }
            return Ok(format!("the reboot {verdict}"));
        }
        self.keeper.enter(State::reboot)?;
        let reason = match self.go_down() {
            Ok(Notice::GoesDown) => return Ok(format!("the reboot {}", Verdict::Now)),
            Ok(Notice::CalledOff(reason)) => reason,
            Err(error) => format!("{error:#}"),
        };
        self.keeper.enter(State::reboot_called_off)?;
        self.call_off(&reason)?;
        Ok(format!("the reboot was called off: {reason}"))
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        let hooks = Hooks::find(self.around.root);
        if hooks.is_empty() {
            return Ok(());
        }
        self.keeper
            .prepare(|preparation| preparation.drain = Drain::Begun)?;
        self.around.watcher.phase("moving this machine's work away");
        let longest = Duration::from_secs(self.settings.drain_timeout.into());
        hooks.drain(&format!("reboot into {}", self.release.version), longest)
    }

    /// At once if nobody is logged in. Whoever cannot be asked for is not waited for.
    fn go_down(&self) -> anyhow::Result<Notice> {
        let host = self.around.host;
        let users = host.logged_in().unwrap_or_else(|error| {
            eprintln!("updaterd: cannot tell who is logged in: {error:#}");
            Vec::new()
        });
        let seconds = self.settings.reboot_notice;
        if users.is_empty() || seconds == 0 {
            host.reboot()?;
            return Ok(Notice::GoesDown);
        }
        self.around.watcher.phase(&format!(
            "rebooting in {seconds} seconds, since {} may want to finish; `shutdown -c` calls it off",
            users.join(", ")
        ));
        let message = format!(
            "This machine reboots into version {}. `shutdown -c` puts that off.",
            self.release.version
        );
        host.reboot_with_notice(Duration::from_secs(seconds.into()), &message)
    }

    fn call_off(&mut self, reason: &str) -> anyhow::Result<()> {
        self.keeper.note(Happened::RebootCalledOff {
            version: self.release.version.clone(),
            reason: reason.to_owned(),
        })?;
        self.undo()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_shared() {
        let turn = |text: &str| next_turn(text.parse().unwrap()).to_string();
        assert_eq!(turn("2026-11-28T02:00:00Z"), "2026-11-28T02:05:00Z");
        assert_eq!(turn("2026-11-28T02:04:59Z"), "2026-11-28T02:05:00Z");
        assert_eq!(turn("2026-11-28T02:05:40Z"), "2026-11-28T02:10:00Z");
    }
}
