//! All that the agent knows of one unit.
//!
//! What follows from it is [`crate::reconcile`]'s affair.

use fleet_store::{Contents, UnitStatus as Published};
use tokio::time::Instant;

use crate::reconcile::{Activity, Case, Wish};
use crate::systemd::UnitStatus;
use crate::unit_directory::HeldUnit;

/// A unit.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What decisions are made from.
    pub(super) case: Case,
    /// Contents that were fetched and are not in place yet.
    pub(super) contents: Option<Contents>,
    /// systemd's words.
    pub(super) status: UnitStatus,
    /// What hinders us, for people.
    pub(super) problem: String,
    /// What the store was told last in this session.
    pub(super) published: Option<Published>,
    /// After a failure: nothing is tried before.
    pub(super) rest_until: Option<Instant>,
}

impl Entry {
    /// A unit that was here when the agent started.
    pub(super) fn held(held: HeldUnit) -> Self {
        let case = Case {
            held: Some(held),
            activity: Activity::Unknown,
            ..Case::default()
        };
        Self {
            case,
            ..Self::default()
        }
    }

    /// Takes in what systemd says; a load state is not always told.
    pub(super) fn see(
        &mut self,
        load: Option<String>,
        active: String,
        sub: String,
        invocation: String,
    ) {
        if let Some(load) = load {
            self.status.load = load;
        }
        self.status.active = active;
        self.status.sub = sub;
        self.status.invocation = invocation;
        if self.status.active == "active" && self.is_current() {
            // Whatever it was, it is over.
            self.problem.clear();
        }
        self.case.activity = match self.case.activity {
            _ if self.status.is_stopped() => Activity::Stopped,
            Activity::Stopping => Activity::Stopping,
            _ => Activity::Running,
        };
    }

    /// systemd is done with what it was asked, whether or not it could do it. Its word on the unit came
    /// before. True if a stop did not stop the unit.
    pub(super) fn see_job_end(&mut self) -> bool {
        let was_stopping = self.case.activity == Activity::Stopping;
        self.case.activity = if self.status.is_stopped() {
            Activity::Stopped
        } else {
            Activity::Running
        };
        was_stopping && self.case.activity == Activity::Running
    }

    /// Whether what is here is what is wanted.
    fn is_current(&self) -> bool {
        let held = self.case.held.as_ref().map(|held| &held.hash);
        matches!(&self.case.wish, Wish::Unit(wanted) if held == Some(&wanted.hash))
    }

    /// The run that the unit is in, or failed in. systemd forgets others, sooner or later.
    fn invocation(&self) -> String {
        match self.status.active.as_str() {
            "" | "inactive" => String::new(),
            _ => self.status.invocation.clone(),
        }
    }

    /// What the store is to be told; nothing of a unit that is not here and not wanted.
    pub(super) fn state(&self) -> Option<Published> {
        let wanted = match &self.case.wish {
            Wish::Unit(wanted) => Some(wanted.hash.clone()),
            _ => None,
        };
        let held = self.case.held.as_ref().map(|held| held.hash.clone());
        if held.is_none() && (wanted.is_none() || self.problem.is_empty()) {
            return None;
        }
        // A problem is one with what is wanted, unless something else still runs.
        let is_in_vain = !self.problem.is_empty() && self.case.activity == Activity::Stopped;
        let hash = if is_in_vain {
            wanted.or(held)
        } else {
            held.or(wanted)
        };
        Some(Published {
            hash: hash.unwrap_or_default(),
            reached: self.case.reached(),
            load: self.status.load.clone(),
            active: self.status.active.clone(),
            sub: self.status.sub.clone(),
            invocation: self.invocation(),
            problem: self.problem.clone(),
        })
    }
}
