//! Counts what is sent to and received from other members.
//!
//! Sums only; nothing is kept of single requests.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::member::MemberId;
use crate::statistics::{Latency, PeerStatistics, PeerTraffic};

#[derive(Debug, Default)]
struct Sums {
    success: u64,
    fail: u64,
    bytes: u64,
    current: f64,
    sum: f64,
    sum_of_squares: f64,
    minimum: f64,
    maximum: f64,
}

/// The counters of one member.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    received: AtomicU64,
    received_bytes: AtomicU64,
    peers: Mutex<BTreeMap<MemberId, Sums>>,
}

impl Traffic {
    /// An append came in.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// An append went out.
    pub(crate) fn sent(&self, to: MemberId, bytes: usize) {
        self.peers.lock().entry(to).or_default().bytes += bytes as u64;
    }

    /// An append was answered.
    pub(crate) fn answered(&self, to: MemberId, after: Duration) {
        let milliseconds = after.as_secs_f64() * 1e3;
        let mut peers = self.peers.lock();
        let sums = peers.entry(to).or_default();
        sums.minimum = if sums.success == 0 {
            milliseconds
        } else {
            sums.minimum.min(milliseconds)
        };
        sums.success += 1;
        sums.current = milliseconds;
        sums.sum += milliseconds;
        sums.sum_of_squares += milliseconds * milliseconds;
        sums.maximum = sums.maximum.max(milliseconds);
    }

    /// An append had no answer.
    pub(crate) fn failed(&self, to: MemberId) {
        self.peers.lock().entry(to).or_default().fail += 1;
    }

    /// Everything so far.
    pub(crate) fn statistics(&self) -> PeerStatistics {
        let peers: BTreeMap<_, _> = (self.peers.lock().iter())
            .map(|(id, sums)| (*id, sums.traffic()))
            .collect();
        PeerStatistics {
            received_appends: self.received.load(Ordering::Relaxed),
            received_append_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent_appends: peers.values().map(|peer| peer.success + peer.fail).sum(),
            sent_append_bytes: peers.values().map(|peer| peer.bytes).sum(),
            peers,
        }
    }
}

impl Sums {
    #[allow(clippy::cast_precision_loss)] // a count of requests, for a mean
    fn traffic(&self) -> PeerTraffic {
        let count = self.success.max(1) as f64;
        let average = self.sum / count;
        let variance = (self.sum_of_squares / count - average * average).max(0.0);
        PeerTraffic {
            latency: Latency {
                current_milliseconds: self.current,
                average_milliseconds: average,
                standard_deviation_milliseconds: variance.sqrt(),
                minimum_milliseconds: self.minimum,
                maximum_milliseconds: self.maximum,
            },
            success: self.success,
            fail: self.fail,
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_deviations_are_those_of_the_durations() {
        let traffic = Traffic::default();
        for milliseconds in [2, 4, 4, 4, 5, 5, 7, 9] {
            traffic.answered(MemberId(1), Duration::from_millis(milliseconds));
        }
        traffic.failed(MemberId(1));
        let statistics = traffic.statistics();
        assert_eq!(statistics.sent_appends, 9);
        let peer = &statistics.peers[&MemberId(1)];
        assert!((peer.latency.average_milliseconds - 5.0).abs() < 1e-9);
        assert!((peer.latency.standard_deviation_milliseconds - 2.0).abs() < 1e-9);
        assert!((peer.latency.minimum_milliseconds - 2.0).abs() < 1e-9);
        assert!((peer.latency.maximum_milliseconds - 9.0).abs() < 1e-9);
        assert_eq!((peer.success, peer.fail), (8, 1));
    }
}
