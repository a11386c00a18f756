//! How long things took, in buckets.
//!
//! It reads no clock.

use std::time::Duration;

/// The first bucket's upper bound in nanoseconds. Doubling it gives 1 ms, 2 ms, … among others,
/// the bounds of etcd's `etcd_disk_wal_fsync_duration_seconds`.
const FIRST_BOUND_NANOSECONDS: u64 = 31_250;
const BUCKETS: usize = 19;

/// Durations, counted by size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    count: u64,
    sum: Duration,
}

impl Histogram {
    pub(crate) fn add(&mut self, duration: Duration) {
        self.count += 1;
        self.sum += duration;
        let bucket = (0..BUCKETS).find(|bucket| duration <= bound(*bucket));
        if let Some(bucket) = bucket {
            self.counts[bucket] += 1;
        }
    }

    /// Upper bounds, ascending, each with how many durations were not above it: Prometheus' buckets
    /// without the last (`+Inf`), which is [`count`](Self::count).
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .scan(0, |total, (bucket, count)| {
                *total += count;
                Some((bound(bucket), *total))
            })
    }

    /// How many durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

fn bound(bucket: usize) -> Duration {
    Duration::from_nanos(FIRST_BOUND_NANOSECONDS << bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_hold_whole_milliseconds() {
        let mut histogram = Histogram::default();
        for microseconds in [10, 1_000, 1_001, 100_000_000] {
            histogram.add(Duration::from_micros(microseconds));
        }
        let at = |bound| {
            histogram
                .cumulative()
                .find(|(b, _)| *b == bound)
                .map(|(_, n)| n)
        };
        assert_eq!(at(Duration::from_millis(1)), Some(2));
        assert_eq!(at(Duration::from_millis(8_192 / 4)), Some(3));
        assert_eq!(at(Duration::from_millis(8)), Some(3));
        assert_eq!((histogram.count(), histogram.sum().as_secs()), (4, 100));
    }
}
