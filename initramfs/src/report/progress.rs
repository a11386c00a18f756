//! The steps of the boot as they happen: their names, their durations, their failures.
//!
//! It does not know the steps' contents.
use std::error::Error;
use std::time::{Duration, Instant};

use crate::failure::StepFailed;

/// The durations of the steps done so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    finished: Vec<(&'static str, Duration)>,
}

impl Progress {
    /// Does one step; an error comes back with the step's name.
    pub(crate) fn step<T, E: Error + 'static>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, StepFailed> {
        self.infallible(name, work)
            .map_err(|error| StepFailed::new(name, error))
    }

    /// Does one step that deals with its failures itself.
    pub(crate) fn infallible<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.finished.push((name, start.elapsed()));
        result
    }

    /// The steps begun and ended, in order.
    pub(crate) fn finished(&self) -> &[(&'static str, Duration)] {
        &self.finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::error::chain;
    use std::io;

    #[test]
    fn steps_are_listed_in_order_and_failures_are_named() {
        let mut progress = Progress::default();
        assert_eq!(progress.step("one", || Ok::<_, io::Error>(1)).unwrap(), 1);
        let failed = progress.step("two", || Err::<(), _>(io::Error::other("no")));
        assert_eq!(chain(&failed.unwrap_err()), "two: no");
        let names: Vec<_> = progress.finished().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["one", "two"]);
    }
}
