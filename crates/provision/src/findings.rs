//! What is wrong with a plan on this machine, as it is found.
//!
//! Positions are put to it at the end, by whoever has the text.

use provision_model::{KeyPath, Problem};

/// All of it so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Problem>);

impl Findings {
    pub(crate) fn add(&mut self, key: &KeyPath, text: impl Into<String>) {
        self.0.push(Problem::new(key.clone(), text));
    }

    /// The value, or `None` and a problem.
    pub(crate) fn take<T, E: ToString>(
        &mut self,
        key: &KeyPath,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|error| self.add(key, error.to_string()))
            .ok()
    }

    /// Whether nothing was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok` if nothing was found.
    pub(crate) fn finish(self) -> Result<(), Vec<Problem>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}
