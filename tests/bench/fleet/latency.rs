//! Samples of durations, and what is told of them.
//!
//! Pure: it measures nothing.

use std::time::Duration;

/// How long something took, many times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    milliseconds: Vec<f64>,
}

impl Latencies {
    /// One more.
    pub(crate) fn push(&mut self, took: Duration) {
        self.milliseconds.push(took.as_secs_f64() * 1e3);
        self.milliseconds.sort_by(f64::total_cmp);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.milliseconds.len()
    }

    /// The smallest that so many of a hundred do not exceed; nothing if there are none.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.count() * percent).div_ceil(100);
        self.milliseconds.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        for milliseconds in (1..=200).rev() {
            latencies.push(Duration::from_millis(milliseconds));
        }
        assert_eq!(latencies.percentile(50), Some(100.0));
        assert_eq!(latencies.percentile(99), Some(198.0));
        assert_eq!(latencies.percentile(100), Some(200.0));
    }
}
