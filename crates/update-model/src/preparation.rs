//! What a machine remembers of getting ready for a reboot: whether it holds the cluster's lock, and whether its
//! work was moved away.
//!
//! Remembered before either is done, so that whatever happens it is undone once the machine is healthy.

use serde::{Deserialize, Serialize};

use crate::progress::{Checking, Fetching, Preflight, State};
use crate::reboot::Lock;

/// Of a reboot that is to come, is on its way, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preparation {
    /// The cluster's lock, as last seen.
    pub lock: Lock,
    /// The machine's work.
    pub drain: Drain,
}

/// Whether a machine's work was moved away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drain {
    /// It was not.
    #[default]
    NotBegun,
    /// That was begun, and maybe finished.
    Begun,
    /// It failed for this reason, and was undone.
    Failed(String),
}

impl Preparation {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something is to be undone: a slot that may be held, or work that was moved away.
    pub fn is_owed(&self) -> bool {
        self.drain == Drain::Begun || matches!(self.lock, Lock::Held | Lock::Unreachable(_))
    }
}

/// Whether what the machine got ready for is over: nothing waits for a reboot, and what runs has proved itself.
pub fn is_over(state: &State) -> bool {
    match state {
        State::Staged(_) | State::Rebooting(_) | State::AwaitingHealth(_) => false,
        State::Checking(Checking { waiting })
        | State::Preflight(Preflight { waiting, .. })
        | State::Fetching(Fetching { waiting, .. }) => waiting.is_none(),
        State::Idle | State::Writing(_) | State::Good(_) | State::Bad(_) | State::Failed(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_held_is_owed() {
        let with = |lock: Lock, drain: Drain| Preparation { lock, drain };
        assert!(!Preparation::default().is_owed());
        assert!(with(Lock::Held, Drain::NotBegun).is_owed());
        assert!(with(Lock::Unreachable("x".to_owned()), Drain::NotBegun).is_owed());
        assert!(with(Lock::NotAsked, Drain::Begun).is_owed());
        let failed = Drain::Failed("x".to_owned());
        assert!(!with(Lock::HeldByOthers(Vec::new()), failed).is_owed());
    }
}
