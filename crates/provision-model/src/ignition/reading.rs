//! What goes on while a configuration is read: problems are gathered, reading goes on.
//!
//! Knows no section of the configuration.

use crate::key_path::KeyPath;
use crate::plan::Plan;
use crate::problem::Problem;

/// The problems so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    problems: Vec<Problem>,
}

impl Reading {
    /// Something is wrong with the value at `key`.
    pub(super) fn problem(&mut self, key: &KeyPath, text: impl Into<String>) {
        self.problems.push(Problem::new(key.clone(), text));
    }

    /// A number that must fit, such as an id.
    pub(super) fn number(&mut self, number: Option<i64>, key: &KeyPath) -> Option<u32> {
        let number = number?;
        let fits = u32::try_from(number).ok();
        if fits.is_none() {
            let text = format!("{number} is not between 0 and {}", u32::MAX);
            self.problem(key, text);
        }
        fits
    }

    /// The plan, if nothing is wrong.
    pub(super) fn finish(self, plan: Plan) -> Result<Plan, Vec<Problem>> {
        if self.problems.is_empty() {
            return Ok(plan);
        }
        Err(self.problems)
    }
}
