//! `/v2/stats`: figures of this member, of its followers, and of its store.
//!
//! The figures are counted elsewhere: requests in [`super::metrics`], traffic by the replica.
use etcd_v2::MessageError;
use etcd_v2::statistics::{
    FollowerStatistics, Leader, Outcomes, SelfStatistics, StoreStatistics, Traffic, write_leader,
    write_self, write_store,
};
use hyper::{Method, StatusCode};
use kv_cluster::{MemberId, PeerTraffic, Role};

use super::answer::{Answer, json, message, method_not_allowed};
use super::metrics::{Operation, Tally};
use super::state::ServerState;
use crate::clock::moment;

/// Answers `/v2/stats/self`.
pub(super) fn of_self(state: &ServerState, method: &Method) -> Answer {
    if method != Method::GET {
        return method_not_allowed("GET");
    }
    let id = state.backend.id();
    let members = state.backend.members().into_iter();
    let mut named = members.filter(|member| member.id == id);
    let status = state.backend.status().borrow().clone();
    let traffic = state.backend.peer_statistics();
    let uptime = status.since.elapsed().unwrap_or_default();
    let leader = status.leader.map(|leader| Leader {
        id: leader.0,
        since: moment(status.since),
        uptime_nanoseconds: u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX),
    });
    let messages = |requests| Traffic {
        requests,
        ..Traffic::default()
    };
    let statistics = SelfStatistics {
        name: named.next().map(|member| member.name).unwrap_or_default(),
        id: id.0,
        leads: status.role == Role::Leader,
        started: moment(state.started),
        leader,
        received: messages(traffic.received_appends),
        sent: messages(traffic.sent_appends),
    };
    json(StatusCode::OK, write_self(&statistics))
}

/// Answers `/v2/stats/leader`.
pub(super) fn of_leader(state: &ServerState, method: &Method) -> Answer {
    if method != Method::GET {
        return method_not_allowed("GET");
    }
    if state.backend.status().borrow().role != Role::Leader {
        return message(&MessageError::not_current_leader());
    }
    let traffic = state.backend.peer_statistics().peers;
    let followers: Vec<_> = traffic.iter().map(of_follower).collect();
    let body = write_leader(state.backend.id().0, &followers);
    json(StatusCode::OK, body)
}

fn of_follower((id, traffic): (&MemberId, &PeerTraffic)) -> FollowerStatistics {
    let latency = &traffic.latency;
    FollowerStatistics {
        id: id.0,
        current_milliseconds: latency.current_milliseconds,
        average_milliseconds: latency.average_milliseconds,
        standard_deviation_milliseconds: latency.standard_deviation_milliseconds,
        minimum_milliseconds: latency.minimum_milliseconds,
        maximum_milliseconds: latency.maximum_milliseconds,
        failures: traffic.fail,
        successes: traffic.success,
    }
}

/// Answers `/v2/stats/store`. What went well was counted on all members, what was refused and what
/// was read on this one.
pub(super) fn of_store(state: &ServerState, method: &Method) -> Answer {
    if method != Method::GET {
        return method_not_allowed("GET");
    }
    let metrics = &state.metrics;
    let write = |operation| outcomes(&[metrics.write(operation)]);
    let statistics = StoreStatistics {
        gets: outcomes(&[metrics.read(false), metrics.read(true)]),
        sets: write(Operation::Set),
        deletes: write(Operation::Delete),
        updates: write(Operation::Update),
        creates: write(Operation::Create),
        compares_and_swaps: write(Operation::CompareAndSwap),
        compares_and_deletes: write(Operation::CompareAndDelete),
        expirations: metrics.expired(),
        watchers: state.watchers() as u64,
    };
    json(StatusCode::OK, write_store(&statistics))
}

fn outcomes(tallies: &[&Tally]) -> Outcomes {
    Outcomes {
        successes: tallies.iter().map(|tally| tally.success.get()).sum(),
        failures: tallies.iter().map(|tally| tally.fail.get()).sum(),
    }
}
