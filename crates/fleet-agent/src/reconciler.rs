//! Brings the machine's units to what is wanted: hears everybody, asks for the next steps, has them done.
//!
//! It is one task, so that steps never overlap. What it waits for is systemd's acceptance only: the store is
//! written by the [`crate::writer`], and what must happen in time is the [`crate::fence`]'s.

mod entry;
mod hearing;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use systemd_unit::UnitName;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::cache_writer::CacheOrder;
use crate::fence::Condemned;
use crate::lease_memory::Deadline;
use crate::membership::{Membership, Registration, Session};
use crate::outbox::Outbox;
use crate::reconcile::{self, Standing, Step};
use crate::systemd::{Systemd, SystemdEvent};
use crate::target_cache::CachedTarget;
use crate::targets::TargetNews;
use crate::unit_directory::{HeldUnit, UnitDirectory};
use crate::writer::Report;
use entry::Entry;

/// After systemd could not be asked, or a stop did not stop a unit.
const RETRY: Duration = Duration::from_secs(1);
/// After what is likely to fail again: a full disk, contents that are no unit.
const LONG_RETRY: Duration = Duration::from_secs(15);
/// After a unit's file was removed, so that one reload does for many.
const RELOAD_DELAY: Duration = Duration::from_secs(2);

/// Whom a reconciler hears.
pub(crate) struct Inputs {
    pub(crate) membership: watch::Receiver<Membership>,
    pub(crate) news: mpsc::UnboundedReceiver<TargetNews>,
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
    pub(crate) questions: mpsc::UnboundedReceiver<Question>,
}

/// Whom a reconciler tells.
pub(crate) struct Outputs {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) cache: mpsc::UnboundedSender<CacheOrder>,
    pub(crate) condemned: Condemned,
}

/// What others want to know.
#[derive(Debug)]
pub(crate) enum Question {
    /// The units that are not stopped.
    Running(oneshot::Sender<BTreeSet<UnitName>>),
}

/// The agent's heart.
pub(crate) struct Reconciler<S> {
    systemd: Arc<S>,
    directory: UnitDirectory,
    inputs: Inputs,
    outputs: Outputs,
    /// When the machine counts as cut off if nothing is known of a lease.
    otherwise: Instant,
    entries: BTreeMap<UnitName, Entry>,
    /// Those to be looked at.
    open: BTreeSet<UnitName>,
    /// Those that wait for others to go.
    blocked: BTreeSet<UnitName>,
    standing: Standing,
    session: Option<Session>,
    /// Whether the store has said what is wanted.
    is_told: bool,
    /// systemd may have files in memory that are not on disk any more.
    is_stale: bool,
    reload_at: Option<Instant>,
    search_path: Vec<PathBuf>,
}

/// Anything that may change what is to be done.
enum Input {
    Systemd(SystemdEvent),
    News(TargetNews),
    Report(Report),
    Question(Question),
    Membership,
    Time,
    /// The agent is going away.
    End,
}

impl<S: Systemd> Reconciler<S> {
    pub(crate) fn new(
        systemd: Arc<S>,
        directory: UnitDirectory,
        inputs: Inputs,
        outputs: Outputs,
        otherwise: Instant,
    ) -> Self {
        Self {
            systemd,
            directory,
            inputs,
            outputs,
            otherwise,
            entries: BTreeMap::new(),
            open: BTreeSet::new(),
            blocked: BTreeSet::new(),
            standing: Standing::Waiting,
            session: None,
            is_told: false,
            is_stale: true,
            reload_at: None,
            search_path: Vec::new(),
        }
    }

    /// Begins with what is on disk; for ever.
    pub(crate) async fn run(
        mut self,
        held: BTreeMap<UnitName, HeldUnit>,
        cached: BTreeMap<UnitName, CachedTarget>,
    ) {
        self.begin(held, cached);
        loop {
            self.settle().await;
            let input = self.next_input().await;
            if self.take(input).await {
                return;
            }
            // Whatever else is there already is heard first: one reload does for all of it.
            while let Some(input) = self.next_input().now_or_never() {
                if matches!(input, Input::Time) {
                    break;
                }
                if self.take(input).await {
                    return;
                }
            }
        }
    }

    async fn next_input(&mut self) -> Input {
        let wake = self.next_wake();
        let inputs = &mut self.inputs;
        tokio::select! {
            biased;
            changed = inputs.membership.changed() => {
                if changed.is_ok() { Input::Membership } else { Input::End }
            }
            event = self.systemd.next_event() => Input::Systemd(event),
            Some(report) = inputs.reports.recv() => Input::Report(report),
            Some(news) = inputs.news.recv() => Input::News(news),
            Some(question) = inputs.questions.recv() => Input::Question(question),
            () = sleep_until(wake) => Input::Time,
        }
    }

    /// Takes an input in; true at the end.
    async fn take(&mut self, input: Input) -> bool {
        match input {
            Input::Systemd(event) => self.hear_systemd(event).await,
            Input::News(news) => self.hear_news(news),
            Input::Report(report) => self.hear_report(report),
            Input::Question(question) => self.answer(question),
            Input::Membership => self.hear_membership(),
            Input::Time => {}
            Input::End => return true,
        }
        false
    }

    /// When something is to be done even if nobody says anything.
    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let rests = self.entries.values().filter_map(|entry| entry.rest_until);
        let cut_at = Some(self.cut_at()).filter(|at| *at > now);
        let far = now + Duration::from_hours(1);
        rests
            .chain(cut_at)
            .chain(self.reload_at)
            .fold(far, Instant::min)
    }

    fn cut_at(&self) -> Instant {
        let deadline = self.inputs.membership.borrow().deadline;
        deadline.map_or(self.otherwise, Deadline::stop_at)
    }

    fn current_standing(&self) -> Standing {
        let is_cut = Instant::now() >= self.cut_at();
        let membership = self.inputs.membership.borrow();
        match &membership.registration {
            // Whatever the store says is said to the other one.
            Registration::Double { .. } => Standing::Waiting,
            Registration::Registered if !is_cut && self.is_told => Standing::Registered,
            _ if is_cut => Standing::Cut,
            _ => Standing::Waiting,
        }
    }

    /// Has steps done until none is left.
    async fn settle(&mut self) {
        self.wake_rested();
        let standing = self.current_standing();
        if standing != self.standing {
            tracing::debug!("from {:?} to {standing:?}", self.standing);
            self.standing = standing;
            self.open.extend(self.entries.keys().cloned());
        }
        loop {
            let steps = self.next_steps();
            if steps.is_empty() {
                break;
            }
            self.carry_out(steps).await;
        }
        if self.reload_at.is_some_and(|at| at <= Instant::now()) {
            self.reload().await;
        }
    }

    fn wake_rested(&mut self) {
        let now = Instant::now();
        for (name, entry) in &mut self.entries {
            if entry.rest_until.is_some_and(|until| until <= now) {
                entry.rest_until = None;
                self.open.insert(name.clone());
            }
        }
    }

    /// What is to be done with the open units; they are open no more.
    fn next_steps(&mut self) -> Vec<(UnitName, Step)> {
        self.open.append(&mut self.blocked);
        let mut steps = Vec::new();
        for name in std::mem::take(&mut self.open) {
            self.publish(&name);
            let Some(entry) = self.entries.get(&name) else {
                continue;
            };
            if entry.rest_until.is_some() {
                continue;
            }
            let is_blocked = self.is_blocked(entry);
            if is_blocked {
                self.blocked.insert(name.clone());
            }
            match reconcile::next_step(&entry.case, self.standing, is_blocked) {
                Step::Rest => {}
                step => steps.push((name, step)),
            }
        }
        steps
    }

    /// Whether a unit that has to be gone before this one starts is still here.
    fn is_blocked(&self, entry: &Entry) -> bool {
        let reconcile::Wish::Unit(wanted) = &entry.case.wish else {
            return false;
        };
        let mut others = wanted.replacing.iter();
        others.any(|other| {
            let other = self.entries.get(other);
            other.is_some_and(|other| other.case.is_in_the_way())
        })
    }

    /// Tells the store how a unit is, and the fence whether it has to die with the lease.
    fn publish(&mut self, name: &UnitName) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let is_condemned =
            entry.case.stops_on_partition() && entry.case.activity != reconcile::Activity::Stopped;
        self.outputs.condemned.set(name, is_condemned);
        if entry.case.activity == reconcile::Activity::Unknown {
            return; // what the agent before this one told stands
        }
        let state = entry.state();
        if self.session.is_some() && state != entry.published {
            entry.published.clone_from(&state);
            self.outputs.outbox.publish(name.clone(), state);
        }
    }
}
