//! What the reconciler hears, taken into what it knows.
//!
//! Nothing is done about it here.

use std::collections::BTreeMap;

use fleet_model::OnPartition;
use fleet_store::Contents;
use systemd_unit::UnitName;
use tokio::time::Instant;

use super::{Entry, Question, RETRY, Reconciler};
use crate::cache_writer::CacheOrder;
use crate::calls::full_text;
use crate::membership::Registration;
use crate::reconcile::{Activity, Announced, Presence, Source, Wanted, Wish};
use crate::systemd::{Systemd, SystemdEvent};
use crate::target_cache::CachedTarget;
use crate::targets::{Fetched, TargetNews, Told};
use crate::unit_directory::{HeldUnit, inspect};
use crate::writer::{Report, WriteResult};

impl<S: Systemd> Reconciler<S> {
    /// What is on disk when the agent starts: units of this boot, and what was wanted last.
    pub(super) fn begin(
        &mut self,
        held: BTreeMap<UnitName, HeldUnit>,
        cached: BTreeMap<UnitName, CachedTarget>,
    ) {
        let names: Vec<UnitName> = held.keys().cloned().collect();
        self.systemd.watch(&names);
        for (name, held) in held {
            self.entries.insert(name, Entry::held(held));
        }
        for (name, cached) in cached {
            let CachedTarget { target, contents } = cached;
            self.wish(&name, target, Source::Cache, Some(contents));
        }
        self.open.extend(self.entries.keys().cloned());
    }

    pub(super) async fn hear_systemd(&mut self, event: SystemdEvent) {
        match event {
            SystemdEvent::Changed {
                unit,
                active,
                sub,
                invocation,
            } => {
                if let Some(entry) = self.entries.get_mut(&unit) {
                    entry.see(None, active, sub, invocation);
                    self.open.insert(unit);
                }
            }
            SystemdEvent::JobEnded { unit, result } => {
                if let Some(entry) = self.entries.get_mut(&unit) {
                    if result == "dependency" && entry.status.is_stopped() {
                        // systemd accepted the start and will not do it: the unit's own state tells nothing.
                        "a unit that it requires did not start".clone_into(&mut entry.problem);
                    }
                    if entry.see_job_end() {
                        // Somebody else keeps it running: he is not argued with in a hurry.
                        entry.rest_until = Some(Instant::now() + RETRY);
                    }
                    self.open.insert(unit);
                }
            }
            SystemdEvent::Renewed => self.look_at_all().await,
        }
    }

    /// Asks systemd for every unit that has a file.
    async fn look_at_all(&mut self) {
        let entries = self.entries.iter();
        let held = entries.filter(|(_, entry)| entry.case.held.is_some());
        let names: Vec<UnitName> = held.map(|(name, _)| name.clone()).collect();
        self.look_at(&names).await;
    }

    /// Asks systemd for units; whether it answered. If not, it says [`SystemdEvent::Renewed`] some time.
    pub(super) async fn look_at(&mut self, names: &[UnitName]) -> bool {
        match self.systemd.statuses(names).await {
            Ok(statuses) => {
                for (name, status) in names.iter().zip(statuses) {
                    if let Some(entry) = self.entries.get_mut(name) {
                        let load = Some(status.load);
                        entry.see(load, status.active, status.sub, status.invocation);
                        self.open.insert(name.clone());
                    }
                }
                true
            }
            Err(error) => {
                tracing::warn!("{}", full_text(&error));
                false
            }
        }
    }

    pub(super) fn hear_news(&mut self, news: TargetNews) {
        match news {
            TargetNews::All(mut all) => {
                let names: Vec<UnitName> = self.entries.keys().cloned().collect();
                for name in names {
                    let told = all.remove(&name);
                    self.hear_target(name, told);
                }
                for (name, told) in all {
                    self.hear_target(name, Some(told));
                }
                self.is_told = true;
            }
            TargetNews::Changed(changed) => {
                for (name, told) in changed {
                    self.hear_target(name, told);
                }
            }
        }
    }

    fn hear_target(&mut self, name: UnitName, told: Option<Told>) {
        match told {
            None => {
                let entry = self.entries.entry(name.clone()).or_default();
                entry.case.wish = Wish::Nothing;
                entry.contents = None;
                entry.problem.clear();
                entry.rest_until = None;
                self.remember(CacheOrder::Drop(name.clone()));
            }
            Some(Told::Unreadable(problem)) => {
                tracing::warn!("{problem}");
                let entry = self.entries.entry(name.clone()).or_default();
                entry.case.wish = Wish::Unknown;
                entry.problem = problem;
            }
            Some(Told::Target {
                target,
                revision,
                contents,
            }) => {
                let (contents, problem) = match contents {
                    Fetched::Known => (None, String::new()),
                    Fetched::Contents(contents) => (Some(contents), String::new()),
                    Fetched::Missing(problem) => (None, problem),
                };
                if problem.is_empty() {
                    let order = CacheOrder::Keep(name.clone(), target.clone(), contents.clone());
                    self.remember(order);
                }
                let source = Source::Store {
                    revision,
                    is_refused: false,
                };
                self.wish(&name, target, source, contents);
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.problem = problem;
                    entry.rest_until = None;
                }
            }
        }
        self.open.insert(name);
    }

    fn wish(
        &mut self,
        name: &UnitName,
        target: fleet_store::Target,
        source: Source,
        contents: Option<Contents>,
    ) {
        let entry = self.entries.entry(name.clone()).or_default();
        if contents.is_some() {
            entry.contents = contents;
        }
        let held = entry
            .case
            .held
            .as_ref()
            .filter(|held| held.hash == target.hash);
        let on_partition = match (held, &entry.contents) {
            (Some(held), _) => held.on_partition,
            (None, Some(contents)) => policy(name, contents),
            (None, None) => OnPartition::Keep, // it cannot be loaded
        };
        if held.is_some() {
            entry.contents = None;
        }
        entry.case.wish = Wish::Unit(Wanted {
            hash: target.hash,
            desired: target.desired,
            replacing: target.replacing,
            on_partition,
            source,
        });
    }

    fn remember(&self, order: CacheOrder) {
        // Nobody writes any more at the end of the program.
        let _told = self.outputs.cache.send(order);
    }

    pub(super) fn hear_report(&mut self, report: Report) {
        if self.session.as_ref() != Some(&report.session) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&report.name) else {
            return;
        };
        match report.result {
            WriteResult::Announced { hash, revision } => {
                entry.case.presence = Presence::Announced(Announced { hash, revision });
            }
            WriteResult::Withdrawn => entry.case.presence = Presence::Absent,
            WriteResult::Refused { target_revision } => {
                entry.case.presence.restore();
                if let Wish::Unit(wanted) = &mut entry.case.wish
                    && let Source::Store {
                        revision,
                        is_refused,
                    } = &mut wanted.source
                {
                    *is_refused |= *revision == target_revision;
                }
            }
        }
        self.open.insert(report.name);
    }

    pub(super) fn hear_membership(&mut self) {
        let membership = self.inputs.membership.borrow_and_update().clone();
        let session = match membership.registration {
            Registration::Registered => membership.session,
            _ => None,
        };
        if session == self.session {
            return;
        }
        self.outputs.outbox.set_session(session.clone());
        for entry in self.entries.values_mut() {
            entry.case.presence.restore();
            entry.published = None;
        }
        if let Some(session) = &session {
            for entry in self.entries.values_mut() {
                entry.case.presence = Presence::Absent;
            }
            for (name, (hash, revision)) in session.present.iter() {
                self.was_present(name, hash, *revision);
            }
        }
        self.session = session;
        self.open.extend(self.entries.keys().cloned());
    }

    /// The store has a unit as present here, whether or not it is.
    fn was_present(&mut self, name: &UnitName, hash: &str, revision: u64) {
        let is_told = self.is_told;
        let entry = self.entries.entry(name.clone()).or_insert_with(|| {
            let mut entry = Entry::default();
            if is_told {
                entry.case.wish = Wish::Nothing;
            }
            entry
        });
        entry.case.presence = Presence::Announced(Announced {
            hash: hash.to_owned(),
            revision,
        });
    }

    pub(super) fn answer(&self, question: Question) {
        match question {
            Question::Running(answer) => {
                let entries = self.entries.iter();
                let running = entries.filter(|(_, entry)| entry.case.activity != Activity::Stopped);
                let names = running.map(|(name, _)| name.clone());
                // Whoever asked may have gone.
                let _told = answer.send(names.collect());
            }
        }
    }
}

/// What a unit does on partitions; one that cannot be read is never loaded.
fn policy(name: &UnitName, contents: &Contents) -> OnPartition {
    inspect(name, contents).map_or(OnPartition::Keep, |held| held.on_partition)
}
