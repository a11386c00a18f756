//! How long is waited, and how often tried again, when a registry does not answer as it should.

use std::time::Duration;

/// How a registry is dealt with that fails for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often something is tried before it fails; a transfer begins anew after each MiB that came.
    pub attempts: u32,
    /// The same for a name that nobody resolves: without a network, or with a name that is wrong, it stays so.
    pub lookups: u32,
    /// The pause before the second attempt; it doubles from there.
    pub first_pause: Duration,
    /// The longest pause, if the registry asks for no longer one.
    pub longest_pause: Duration,
    /// The longest pause that a registry can ask for; one that asks for more has refused.
    pub longest_asked: Duration,
    /// For a connection, with its TLS handshake.
    pub connect: Duration,
    /// A registry that sends nothing for so long has stalled.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            lookups: 3,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            longest_asked: Duration::from_mins(5),
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
        }
    }
}

/// Counts attempts at one thing.
#[derive(Debug)]
pub(crate) struct Attempts {
    patience: Patience,
    made: u32,
}

impl Attempts {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, made: 0 }
    }

    /// After progress, they count from the beginning.
    pub(crate) fn begin_anew(&mut self) {
        self.made = 0;
    }

    /// The pause before the next attempt; none if it was the last one. `asked` is what the registry wants.
    pub(crate) fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.pause_of(self.patience.attempts, asked)
    }

    /// The same after a name was not resolved.
    pub(crate) fn pause_after_lookup(&mut self) -> Option<Duration> {
        self.pause_of(self.patience.lookups.min(self.patience.attempts), None)
    }

    fn pause_of(&mut self, attempts: u32, asked: Option<Duration>) -> Option<Duration> {
        self.made += 1;
        if self.made >= attempts {
            return None;
        }
        let doubled = 2_u32.saturating_pow(self.made - 1);
        let longest = self.patience.first_pause.saturating_mul(doubled);
        let longest = longest.min(self.patience.longest_pause);
        // Between half and all of it: machines that failed together do not come back together.
        let own = longest.mul_f64(0.5 + fastrand::f64() / 2.0);
        match asked {
            Some(asked) if asked > self.patience.longest_asked => None,
            Some(asked) => Some(own.max(asked)),
            None => Some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut attempts = Attempts::new(Patience {
            attempts: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(3),
            ..Patience::default()
        });
        for longest in [1.0, 2.0, 3.0, 3.0] {
            let pause = attempts.pause(None).unwrap().as_secs_f64();
            assert!((longest / 2.0..=longest).contains(&pause), "{pause}");
        }
        assert_eq!(attempts.pause(None), None);
        attempts.begin_anew();
        assert!(attempts.pause(None).is_some());
    }

    #[test]
    fn names_are_looked_up_a_few_times() {
        let mut attempts = Attempts::new(Patience::default());
        assert!(attempts.pause_after_lookup().is_some());
        assert!(attempts.pause_after_lookup().is_some());
        assert_eq!(attempts.pause_after_lookup(), None);
        let mut once = Attempts::new(Patience {
            attempts: 1,
            ..Patience::default()
        });
        assert_eq!(once.pause_after_lookup(), None);
    }

    #[test]
    fn what_the_registry_asks_for_is_the_least() {
        let mut attempts = Attempts::new(Patience::default());
        let asked = Duration::from_secs(200);
        assert_eq!(attempts.pause(Some(asked)), Some(asked));
        let hours = Duration::from_hours(2);
        assert_eq!(attempts.pause(Some(hours)), None, "nobody waits for hours");
    }
}
