//! Has steps done: by systemd, on disk, in the store.
//!
//! Steps of the same kind are done together. One that fails leaves its unit as it was, to be tried again later.

use systemd_unit::UnitName;
use tokio::time::Instant;

use super::{LONG_RETRY, RELOAD_DELAY, RETRY, Reconciler};
use crate::calls::{Call, all, each, full_text};
use crate::outbox::Announcement;
use crate::reconcile::{Activity, Presence, Source, Step, Wish};
use crate::systemd::{Systemd, SystemdError};
use crate::unit_directory::{DirectoryError, check};

impl<S: Systemd> Reconciler<S> {
    /// Does all of them; units whose step was done are open again.
    pub(super) async fn carry_out(&mut self, steps: Vec<(UnitName, Step)>) {
        let of = |wanted: Step| -> Vec<UnitName> {
            let steps = steps.iter().filter(|(_, step)| *step == wanted);
            steps.map(|(name, _)| name.clone()).collect()
        };
        self.stop(&of(Step::Stop)).await;
        for name in of(Step::Announce) {
            self.announce(&name);
        }
        self.load(&of(Step::Load)).await;
        self.start(&of(Step::Start)).await;
        self.unload(&of(Step::Unload)).await;
        for name in of(Step::Withdraw) {
            self.withdraw(&name);
        }
        for name in of(Step::Forget) {
            self.publish(&name);
            self.entries.remove(&name);
        }
        self.open.extend(steps.into_iter().map(|(name, _)| name));
    }

    async fn stop(&mut self, names: &[UnitName]) {
        let results = all(&self.systemd, Call::Stop, names).await;
        let mut refused = Vec::new();
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(()) => {}
                // Most often it is not loaded, which is as good as stopped.
                Err(SystemdError::Refused { .. }) => refused.push(name.clone()),
                Err(error) => {
                    self.fail(name, full_text(&error), RETRY);
                    continue;
                }
            }
            self.set_launched(name, false);
            if let Some(entry) = self.entries.get_mut(name) {
                entry.problem.clear();
                if entry.case.activity != Activity::Stopped {
                    entry.case.activity = Activity::Stopping;
                }
            }
        }
        if !refused.is_empty() {
            self.look_again(&refused).await;
        }
    }

    /// After a refused stop: whatever runs is told again later.
    async fn look_again(&mut self, names: &[UnitName]) {
        self.look_at(names).await;
        for name in names {
            if let Some(entry) = self.entries.get_mut(name)
                && entry.see_job_end()
            {
                entry.rest_until = Some(Instant::now() + RETRY);
            }
        }
    }

    fn announce(&mut self, name: &UnitName) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        if let Wish::Unit(wanted) = &entry.case.wish
            && let Source::Store { revision, .. } = wanted.source
        {
            let announcement = Announcement {
                hash: wanted.hash.clone(),
                target_revision: revision,
            };
            entry.case.presence.change();
            self.outputs.outbox.announce(name.clone(), announcement);
        }
    }

    fn withdraw(&mut self, name: &UnitName) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        if let Presence::Announced(announced) = &entry.case.presence {
            let revision = announced.revision;
            entry.case.presence.change();
            self.outputs.outbox.withdraw(name.clone(), revision);
        }
    }

    /// Puts files in place and has systemd look at them.
    async fn load(&mut self, names: &[UnitName]) {
        if names.is_empty() {
            return;
        }
        if !self.learn_search_path().await {
            for name in names {
                self.fail(name, "systemd does not answer".to_owned(), RETRY);
            }
            return;
        }
        let mut loaded = Vec::new();
        let mut enabled = Vec::new();
        for name in names {
            match self.put_in_place(name) {
                Ok(is_installable) => {
                    loaded.push(name.clone());
                    if is_installable {
                        enabled.push(name.clone());
                    }
                }
                Err(error) => self.fail(name, full_text(&error), LONG_RETRY),
            }
        }
        if loaded.is_empty() {
            return;
        }
        self.systemd.watch(&loaded);
        if !enabled.is_empty() {
            each(&self.systemd, Call::Enable, &enabled).await;
            self.is_stale = true;
        }
        if self.is_stale {
            self.reload().await;
        }
        if self.look_at(&loaded).await && self.is_any_unseen(&loaded) {
            self.reload().await;
            self.look_at(&loaded).await;
        }
    }

    /// Whether systemd says that there is no file: it looks at folders only if their times have changed,
    /// which they do every few milliseconds at most.
    fn is_any_unseen(&self, names: &[UnitName]) -> bool {
        let mut entries = names.iter().filter_map(|name| self.entries.get(name));
        entries.any(|entry| entry.status.load == "not-found")
    }

    /// Writes a unit's file; whether it is to be enabled.
    fn put_in_place(&mut self, name: &UnitName) -> Result<bool, DirectoryError> {
        let Some(entry) = self.entries.get_mut(name) else {
            return Ok(false);
        };
        let Wish::Unit(wanted) = &entry.case.wish else {
            return Ok(false);
        };
        let Some(contents) = &entry.contents else {
            return Err(DirectoryError::NoContents);
        };
        let held = check(name, contents, &wanted.hash)?;
        self.directory.check_name(name, &self.search_path)?;
        self.is_stale |= entry.case.held.is_some();
        self.directory.write(name, contents)?;
        let is_installable = held.is_installable;
        entry.case.held = Some(held);
        entry.contents = None;
        entry.problem.clear();
        Ok(is_installable)
    }

    async fn learn_search_path(&mut self) -> bool {
        if self.search_path.is_empty() {
            match self.systemd.search_path().await {
                Ok(path) => self.search_path = path,
                Err(error) => tracing::warn!("{}", full_text(&error)),
            }
        }
        !self.search_path.is_empty()
    }

    /// Has systemd read files again, if it can be asked; else later.
    pub(super) async fn reload(&mut self) {
        match self.systemd.reload().await {
            Ok(()) => {
                self.is_stale = false;
                self.reload_at = None;
            }
            Err(error) => {
                tracing::warn!("{}", full_text(&error));
                self.is_stale = true;
                self.reload_at = Some(Instant::now() + RETRY);
            }
        }
    }

    async fn start(&mut self, names: &[UnitName]) {
        let failed: Vec<UnitName> = names
            .iter()
            .filter(|name| self.has_failed(name))
            .cloned()
            .collect();
        each(&self.systemd, Call::ResetFailed, &failed).await;
        for name in names {
            // Before it can run: a fence that falls now has to know of it.
            let entry = self.entries.get(name);
            let stops = entry.is_some_and(|entry| entry.case.stops_on_partition());
            self.outputs.condemned.set(name, stops);
        }
        let results = all(&self.systemd, Call::Start, names).await;
        for (name, result) in names.iter().zip(results) {
            let problem = match result {
                Ok(()) => String::new(),
                // It was called and will not be: whoever wants it has to change it.
                Err(SystemdError::Refused { message, .. }) => message,
                Err(error) => {
                    self.fail(name, full_text(&error), RETRY);
                    continue;
                }
            };
            self.set_launched(name, true);
            if let Some(entry) = self.entries.get_mut(name) {
                if problem.is_empty() {
                    // Until systemd says otherwise.
                    entry.case.activity = Activity::Running;
                }
                entry.problem = problem;
            }
        }
    }

    fn has_failed(&self, name: &UnitName) -> bool {
        let entry = self.entries.get(name);
        entry.is_some_and(|entry| entry.status.active == "failed")
    }

    /// Remembers whether a unit's start was called, for an agent after this one too.
    fn set_launched(&mut self, name: &UnitName, is_launched: bool) {
        let Some(held) = self
            .entries
            .get_mut(name)
            .and_then(|entry| entry.case.held.as_mut())
        else {
            return;
        };
        held.is_launched = is_launched;
        let hash = is_launched.then_some(held.hash.as_str());
        if let Err(error) = self.directory.set_launched(name, hash) {
            tracing::warn!("{name}: {}", full_text(&error));
        }
    }

    async fn unload(&mut self, names: &[UnitName]) {
        let installed = |name: &&UnitName| {
            let held = self
                .entries
                .get(*name)
                .and_then(|entry| entry.case.held.as_ref());
            held.is_some_and(|held| held.is_installable)
        };
        let enabled: Vec<UnitName> = names.iter().filter(installed).cloned().collect();
        each(&self.systemd, Call::Disable, &enabled).await;
        let failed: Vec<UnitName> = names
            .iter()
            .filter(|name| self.has_failed(name))
            .cloned()
            .collect();
        each(&self.systemd, Call::ResetFailed, &failed).await;
        for name in names {
            if let Err(error) = self.directory.remove(name) {
                self.fail(name, full_text(&error), LONG_RETRY);
                continue;
            }
            self.systemd.forget(name);
            self.is_stale = true;
            self.reload_at
                .get_or_insert_with(|| Instant::now() + RELOAD_DELAY);
            if let Some(entry) = self.entries.get_mut(name) {
                entry.case.held = None;
                entry.problem.clear();
                entry.status = crate::systemd::UnitStatus::default();
            }
        }
    }

    fn fail(&mut self, name: &UnitName, problem: String, wait: std::time::Duration) {
        tracing::warn!("{name}: {problem}");
        if let Some(entry) = self.entries.get_mut(name) {
            entry.problem = problem;
            entry.rest_until = Some(Instant::now() + wait);
        }
    }
}
