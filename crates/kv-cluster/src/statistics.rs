//! Traffic between members, counted.
//!
//! Plain numbers for `/v2/stats` and metrics; rendering them is elsewhere.
use std::collections::BTreeMap;

use crate::member::MemberId;

/// What this member sent to and received from the others since it started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PeerStatistics {
    /// Append requests received, heartbeats included.
    pub received_appends: u64,
    /// Bytes of them.
    pub received_append_bytes: u64,
    /// Append requests sent, heartbeats included.
    pub sent_appends: u64,
    /// Bytes of them.
    pub sent_append_bytes: u64,
    /// What was sent, by member.
    pub peers: BTreeMap<MemberId, PeerTraffic>,
}

/// Append requests to one member.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PeerTraffic {
    /// How long the answers took.
    pub latency: Latency,
    /// Requests that were answered.
    pub success: u64,
    /// Requests that failed.
    pub fail: u64,
    /// Bytes sent.
    pub bytes: u64,
}

/// Durations in milliseconds, as etcd's `/v2/stats/leader` has them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Latency {
    /// The last one.
    pub current_milliseconds: f64,
    /// The mean.
    pub average_milliseconds: f64,
    /// The standard deviation.
    pub standard_deviation_milliseconds: f64,
    /// The shortest; 0 if there was none.
    pub minimum_milliseconds: f64,
    /// The longest.
    pub maximum_milliseconds: f64,
}
