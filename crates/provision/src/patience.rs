//! Trying again what may pass, with pauses that grow and are told.
//!
//! Knows no network. Nothing waits without an end.

use std::time::{Duration, Instant};

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Longest time with all attempts.
    pub total: Duration,
    /// The pause before the second attempt; it doubles from there.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

/// How one attempt ended that brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) reason: String,
    /// Whether another may end better.
    pub(crate) may_pass: bool,
}

impl Attempt {
    /// Another may end better.
    pub(crate) fn lost(reason: impl std::fmt::Display) -> Self {
        Self {
            reason: format!("{reason}"),
            may_pass: true,
        }
    }

    /// No other will.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            may_pass: false,
        }
    }
}

impl Patience {
    /// Tries until it is over; each attempt is told how much time is left. The last reason, if none succeeds.
    pub(crate) fn persist<T>(
        &self,
        what: &str,
        tell: &dyn Fn(&str),
        mut attempt: impl FnMut(Duration) -> Result<T, Attempt>,
    ) -> Result<T, String> {
        let end = Instant::now() + self.total;
        let left = || end.saturating_duration_since(Instant::now());
        let mut pause = self.first_pause;
        loop {
            let failed = match attempt(left()) {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            if !failed.may_pass || left() < pause {
                return Err(failed.reason);
            }
            tell(&format!(
                "{what}: {}; trying again in {:.1} s, for {} s at most",
                failed.reason,
                pause.as_secs_f64(),
                left().as_secs()
            ));
            std::thread::sleep(pause);
            pause = (pause * 2).min(self.longest_pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const SHORT: Patience = Patience {
        total: Duration::from_millis(60),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(10),
    };

    #[test]
    fn every_pause_is_told_and_there_is_an_end() {
        let told = RefCell::new(Vec::new());
        let tell = |text: &str| told.borrow_mut().push(text.to_owned());
        let ended: Result<(), _> = SHORT.persist("x", &tell, |_| Err(Attempt::lost("no answer")));
        assert_eq!(ended, Err("no answer".to_owned()));
        let told = told.into_inner();
        assert!((2..=10).contains(&told.len()), "{told:?}");
        assert!(told[0].starts_with("x: no answer; trying again in 0.0 s"));
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        let mut attempts = 0;
        let ended: Result<(), _> = SHORT.persist("x", &|_| {}, |_| {
            attempts += 1;
            Err(Attempt::refused("never"))
        });
        assert_eq!((ended, attempts), (Err("never".to_owned()), 1));
    }
}
