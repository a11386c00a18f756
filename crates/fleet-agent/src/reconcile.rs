//! What is to be done next with a unit: a function of what is wanted, held and seen.
//!
//! It knows no store, no systemd and no clock; whoever carries a step out asks again afterwards.

use fleet_model::{OnPartition, State};
use systemd_unit::UnitName;

use crate::unit_directory::HeldUnit;

/// What is known of a unit on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Case {
    /// What the machine was told.
    pub(crate) wish: Wish,
    /// What the machine has.
    pub(crate) held: Option<HeldUnit>,
    /// What the store knows.
    pub(crate) presence: Presence,
    /// What systemd does with it.
    pub(crate) activity: Activity,
}

/// What a machine was told about a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nobody could be asked yet.
    #[default]
    Unknown,
    /// It shall not be here.
    Nothing,
    /// It shall be here.
    Unit(Wanted),
}

/// A unit that shall be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of its contents.
    pub(crate) hash: String,
    /// Loaded or launched.
    pub(crate) desired: State,
    /// Units that have to be gone before it starts.
    pub(crate) replacing: Vec<UnitName>,
    /// `OnPartition=`
    pub(crate) on_partition: OnPartition,
    /// Who says so.
    pub(crate) source: Source,
}

/// Who said what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// This machine remembers it from before a boot.
    Cache,
    /// The store.
    Store {
        /// When the target was last put.
        revision: u64,
        /// Whether the unit was announced for that target and the store refused: then another word about
        /// the target is under way.
        is_refused: bool,
    },
}

/// Whether the store knows that the unit is here. Without that it may be started elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does not, as far as we know.
    #[default]
    Absent,
    /// It is being told, or told that the unit is gone; what it knew before.
    Changing(Option<Announced>),
    /// It does.
    Announced(Announced),
}

/// What the store knows of a unit that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Of its contents.
    pub(crate) hash: String,
    /// When it was told.
    pub(crate) revision: u64,
}

impl Presence {
    /// While something is written about it.
    pub(crate) fn change(&mut self) {
        *self = Self::Changing(match std::mem::take(self) {
            Self::Absent => None,
            Self::Changing(before) => before,
            Self::Announced(announced) => Some(announced),
        });
    }

    /// Nothing was written about it.
    pub(crate) fn restore(&mut self) {
        if let Self::Changing(before) = self {
            *self = before.take().map_or(Self::Absent, Self::Announced);
        }
    }
}

/// What systemd does with a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It was not asked yet about a unit that was here before.
    Unknown,
    /// Nothing of it runs.
    #[default]
    Stopped,
    /// It runs, or is about to, or is about to stop by itself.
    Running,
    /// It was told to stop.
    Stopping,
}

/// Whether the store still believes in this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not said what is wanted, and there is time left to hear it.
    Waiting,
    /// The machine's lease certainly lives, and what is wanted is known.
    Registered,
    /// The lease may have ended, or is about to.
    Cut,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, until something changes.
    Rest,
    /// Tell the store that the unit is here.
    Announce,
    /// Put its file in place.
    Load,
    /// Ask systemd for its start.
    Start,
    /// Ask systemd for its stop.
    Stop,
    /// Take its file away.
    Unload,
    /// Tell the store that the unit is gone.
    Withdraw,
    /// There is nothing left to know of it.
    Forget,
}

/// The next step with a unit. `is_blocked`: a unit that it replaces is not gone yet.
pub(crate) fn next_step(case: &Case, standing: Standing, is_blocked: bool) -> Step {
    if standing == Standing::Cut && case.stops_on_partition() {
        return stop_if_running(case);
    }
    match (&case.wish, standing) {
        (Wish::Unknown, _) | (_, Standing::Waiting) => Step::Rest,
        _ if case.activity == Activity::Unknown => Step::Rest,
        (Wish::Nothing, _) => leave(case, standing),
        (Wish::Unit(wanted), _) => approach(case, wanted, standing, is_blocked),
    }
}

impl Case {
    /// Whether it has to be dead when the machine's lease ends.
    pub(crate) fn stops_on_partition(&self) -> bool {
        let held = self.held.as_ref().map(|held| held.on_partition);
        let wanted = match &self.wish {
            Wish::Unit(wanted) => Some(wanted.on_partition),
            _ => None,
        };
        held.or(wanted) == Some(OnPartition::Stop)
    }

    /// Whether a unit that replaces this one has to wait.
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.activity != Activity::Stopped || self.presence != Presence::Absent
    }

    /// How far the unit is, in fleet's words.
    pub(crate) fn reached(&self) -> State {
        match &self.held {
            None => State::Inactive,
            Some(held) if held.is_launched => State::Launched,
            Some(_) => State::Loaded,
        }
    }
}

/// Towards its being gone.
fn leave(case: &Case, standing: Standing) -> Step {
    match (&case.held, case.activity, &case.presence) {
        (Some(_), Activity::Running, _) => Step::Stop,
        (_, Activity::Stopping | Activity::Unknown, _) | (_, _, Presence::Changing(_)) => {
            Step::Rest
        }
        (Some(_), Activity::Stopped, _) => Step::Unload,
        (None, _, Presence::Announced(_)) if standing == Standing::Registered => Step::Withdraw,
        (None, _, Presence::Announced(_)) => Step::Rest,
        (None, _, Presence::Absent) => Step::Forget,
    }
}

/// Towards what is wanted.
fn approach(case: &Case, wanted: &Wanted, standing: Standing, is_blocked: bool) -> Step {
    let held = match &case.held {
        Some(held) if held.hash == wanted.hash => held,
        Some(_) if case.activity == Activity::Running => return Step::Stop,
        Some(_) if case.activity != Activity::Stopped => return Step::Rest,
        _ => return if_allowed(Step::Load, case, wanted, standing),
    };
    match (wanted.desired, held.is_launched) {
        (State::Launched, false) if is_blocked => announce_if_missing(case, wanted, standing),
        (State::Launched, false) => if_allowed(Step::Start, case, wanted, standing),
        (State::Loaded | State::Inactive, true) => stop_launched(case),
        _ => announce_if_missing(case, wanted, standing),
    }
}

/// Something that may only be done if the store knows that the unit is here, or, where it cannot be asked, if
/// the unit may run twice.
fn if_allowed(step: Step, case: &Case, wanted: &Wanted, standing: Standing) -> Step {
    let is_announced = is_announced(case, wanted);
    let is_remembered = standing == Standing::Cut && wanted.source == Source::Cache;
    if is_announced || is_remembered {
        return step;
    }
    announce_if_missing(case, wanted, standing)
}

/// A unit that is here has to be announced even if it was started in other times.
fn announce_if_missing(case: &Case, wanted: &Wanted, standing: Standing) -> Step {
    let can_be = standing == Standing::Registered
        && matches!(
            wanted.source,
            Source::Store {
                is_refused: false,
                ..
            }
        );
    let is_changing = matches!(case.presence, Presence::Changing(_));
    if can_be && !is_changing && !is_announced(case, wanted) {
        return Step::Announce;
    }
    Step::Rest
}

fn is_announced(case: &Case, wanted: &Wanted) -> bool {
    matches!(&case.presence, Presence::Announced(announced) if announced.hash == wanted.hash)
}

/// Also one that has ended by itself: it counts as launched until it was told to stop.
fn stop_launched(case: &Case) -> Step {
    match case.activity {
        Activity::Stopping | Activity::Unknown => Step::Rest,
        Activity::Running | Activity::Stopped => Step::Stop,
    }
}

fn stop_if_running(case: &Case) -> Step {
    let is_launched = case.held.as_ref().is_some_and(|held| held.is_launched);
    match case.activity {
        Activity::Running | Activity::Unknown => Step::Stop,
        Activity::Stopped if is_launched => Step::Stop,
        Activity::Stopped | Activity::Stopping => Step::Rest,
    }
}

#[cfg(test)]
mod tests;
