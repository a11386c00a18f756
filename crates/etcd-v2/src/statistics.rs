//! `/v2/stats`: figures about a member, its followers and its store, as JSON.
//!
//! Nothing is counted here.

use bytes::Bytes;
use kv_model::UnixNanoseconds;

use crate::json::{append_float, append_string, append_unsigned};
use crate::time::{append_duration, append_timestamp};

/// What Go shows for a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// `/v2/stats/self`: the member that is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct SelfStatistics {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: u64,
    /// Whether it leads.
    pub leads: bool,
    /// Since when it runs.
    pub started: UnixNanoseconds,
    /// Who leads, if anybody does.
    pub leader: Option<Leader>,
    /// What came from the leader.
    pub received: Traffic,
    /// What went to followers.
    pub sent: Traffic,
}

/// Who leads since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The member's id.
    pub id: u64,
    /// When it was seen to lead first.
    pub since: UnixNanoseconds,
    /// For so many nanoseconds.
    pub uptime_nanoseconds: u64,
}

/// Messages that append to the log.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Traffic {
    /// How many there were.
    pub requests: u64,
    /// How many lately, a second; not shown if 0.
    pub requests_per_second: f64,
    /// How much lately; not shown if 0.
    pub bytes_per_second: f64,
}

/// The leader's view of one follower.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FollowerStatistics {
    /// The follower's id.
    pub id: u64,
    /// The last round trip, in milliseconds.
    pub current_milliseconds: f64,
    /// The mean round trip, in milliseconds.
    pub average_milliseconds: f64,
    /// Its standard deviation, in milliseconds.
    pub standard_deviation_milliseconds: f64,
    /// The shortest round trip, in milliseconds.
    pub minimum_milliseconds: f64,
    /// The longest round trip, in milliseconds.
    pub maximum_milliseconds: f64,
    /// Messages that failed.
    pub failures: u64,
    /// Messages that were answered.
    pub successes: u64,
}

/// How often something went well, and how often not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// Well.
    pub successes: u64,
    /// Not.
    pub failures: u64,
}

/// `/v2/stats/store`: what the member's store did since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStatistics {
    /// Reads.
    pub gets: Outcomes,
    /// `set`.
    pub sets: Outcomes,
    /// `delete`.
    pub deletes: Outcomes,
    /// `update`.
    pub updates: Outcomes,
    /// `create`.
    pub creates: Outcomes,
    /// `compareAndSwap`.
    pub compares_and_swaps: Outcomes,
    /// `compareAndDelete`.
    pub compares_and_deletes: Outcomes,
    /// `expire`.
    pub expirations: u64,
    /// Watches that wait now.
    pub watchers: u64,
}

/// The answer of `/v2/stats/self`.
pub fn write_self(statistics: &SelfStatistics) -> Bytes {
    let mut buffer = b"{\"name\":".to_vec();
    append_string(&mut buffer, statistics.name.as_bytes());
    let state = if statistics.leads {
        "Leader"
    } else {
        "Follower"
    };
    let (id, started) = (statistics.id, Some(statistics.started));
    append_text(
        &mut buffer,
        &format!(",\"id\":\"{id:x}\",\"state\":\"State{state}\""),
    );
    append_time(&mut buffer, "startTime", started);
    let leader = statistics.leader;
    let id = leader.map(|leader| format!("{:x}", leader.id));
    let id = id.unwrap_or_default();
    append_text(
        &mut buffer,
        &format!(",\"leaderInfo\":{{\"leader\":\"{id}\",\"uptime\":\""),
    );
    append_duration(
        &mut buffer,
        leader.map_or(0, |leader| leader.uptime_nanoseconds),
    );
    buffer.push(b'"');
    append_time(&mut buffer, "startTime", leader.map(|leader| leader.since));
    buffer.push(b'}');
    append_traffic(&mut buffer, "recv", &statistics.received);
    append_traffic(&mut buffer, "send", &statistics.sent);
    buffer.push(b'}');
    buffer.into()
}

/// The answer of `/v2/stats/leader` by the member of this id, with its followers in the order of
/// their ids as text. Another member answers [`crate::MessageError::not_current_leader`].
pub fn write_leader(id: u64, followers: &[FollowerStatistics]) -> Bytes {
    let mut followers: Vec<(String, &FollowerStatistics)> = followers
        .iter()
        .map(|f| (format!("{:x}", f.id), f))
        .collect();
    followers.sort_by(|one, other| one.0.cmp(&other.0));
    let mut buffer = format!("{{\"leader\":\"{id:x}\",\"followers\":{{").into_bytes();
    for (index, (id, follower)) in followers.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        append_text(&mut buffer, &format!("{comma}\"{id}\":{{\"latency\":{{"));
        append_latency(&mut buffer, follower);
        append_text(&mut buffer, "},\"counts\":{");
        append_count(&mut buffer, "fail", follower.failures);
        buffer.push(b',');
        append_count(&mut buffer, "success", follower.successes);
        append_text(&mut buffer, "}}");
    }
    append_text(&mut buffer, "}}");
    buffer.into()
}

/// The answer of `/v2/stats/store`.
pub fn write_store(statistics: &StoreStatistics) -> Bytes {
    let mut buffer = b"{".to_vec();
    for (name, outcomes) in [
        ("gets", statistics.gets),
        ("sets", statistics.sets),
        ("delete", statistics.deletes),
        ("update", statistics.updates),
        ("create", statistics.creates),
        ("compareAndSwap", statistics.compares_and_swaps),
        ("compareAndDelete", statistics.compares_and_deletes),
    ] {
        append_count(&mut buffer, &format!("{name}Success"), outcomes.successes);
        buffer.push(b',');
        append_count(&mut buffer, &format!("{name}Fail"), outcomes.failures);
        buffer.push(b',');
    }
    append_count(&mut buffer, "expireCount", statistics.expirations);
    buffer.push(b',');
    append_count(&mut buffer, "watchers", statistics.watchers);
    buffer.push(b'}');
    buffer.into()
}

fn append_text(buffer: &mut Vec<u8>, text: &str) {
    buffer.extend_from_slice(text.as_bytes());
}

fn append_count(buffer: &mut Vec<u8>, name: &str, count: u64) {
    append_text(buffer, &format!("\"{name}\":"));
    append_unsigned(buffer, count);
}

fn append_time(buffer: &mut Vec<u8>, name: &str, moment: Option<UnixNanoseconds>) {
    append_text(buffer, &format!(",\"{name}\":\""));
    match moment {
        Some(moment) => append_timestamp(buffer, moment),
        None => append_text(buffer, NEVER),
    }
    buffer.push(b'"');
}

fn append_traffic(buffer: &mut Vec<u8>, direction: &str, traffic: &Traffic) {
    buffer.push(b',');
    let name = format!("{direction}AppendRequestCnt");
    append_count(buffer, &name, traffic.requests);
    for (name, rate) in [
        ("PkgRate", traffic.requests_per_second),
        ("BandwidthRate", traffic.bytes_per_second),
    ] {
        if rate != 0.0 {
            append_text(buffer, &format!(",\"{direction}{name}\":"));
            append_float(buffer, rate);
        }
    }
}

fn append_latency(buffer: &mut Vec<u8>, follower: &FollowerStatistics) {
    let figures = [
        ("current", follower.current_milliseconds),
        ("average", follower.average_milliseconds),
        (
            "standardDeviation",
            follower.standard_deviation_milliseconds,
        ),
        ("minimum", follower.minimum_milliseconds),
        ("maximum", follower.maximum_milliseconds),
    ];
    for (index, (name, figure)) in figures.into_iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        append_text(buffer, &format!("{comma}\"{name}\":"));
        append_float(buffer, figure);
    }
}

#[cfg(test)]
mod tests {
    use kv_model::UnixNanoseconds;

    use super::{
        FollowerStatistics, Leader, Outcomes, SelfStatistics, StoreStatistics, Traffic,
        write_leader, write_self, write_store,
    };

    const ID: u64 = 0xb0a4_5238_e748_e064;

    #[test]
    fn writes_a_member_as_etcd_does() {
        let since = UnixNanoseconds(1_795_395_526_835_068_599);
        let mut statistics = SelfStatistics {
            name: "default".to_owned(),
            id: ID,
            leads: true,
            started: UnixNanoseconds(1_795_395_525_833_269_883),
            leader: Some(Leader {
                id: ID,
                since,
                uptime_nanoseconds: 56_176_745_213,
            }),
            received: Traffic::default(),
            sent: Traffic::default(),
        };
        let json = r#"{"name":"default","id":"b0a45238e748e064","state":"StateLeader","startTime":"2026-11-23T00:58:45.833269883Z","leaderInfo":{"leader":"b0a45238e748e064","uptime":"56.176745213s","startTime":"2026-11-23T00:58:46.835068599Z"},"recvAppendRequestCnt":0,"sendAppendRequestCnt":0}"#;
        assert_eq!(write_self(&statistics), json);
        statistics.leader = None;
        statistics.leads = false;
        statistics.received.requests_per_second = 1.5;
        statistics.received.bytes_per_second = 20.25;
        let json = r#"{"name":"default","id":"b0a45238e748e064","state":"StateFollower","startTime":"2026-11-23T00:58:45.833269883Z","leaderInfo":{"leader":"","uptime":"0s","startTime":"0001-01-01T00:00:00Z"},"recvAppendRequestCnt":0,"recvPkgRate":1.5,"recvBandwidthRate":20.25,"sendAppendRequestCnt":0}"#;
        assert_eq!(write_self(&statistics), json);
    }

    #[test]
    fn writes_followers_as_etcd_does() {
        let none = r#"{"leader":"b0a45238e748e064","followers":{}}"#;
        assert_eq!(write_leader(ID, &[]), none);
        let follower = |id| FollowerStatistics {
            id,
            current_milliseconds: 0.5,
            successes: 7,
            ..FollowerStatistics::default()
        };
        let one = r#"{"latency":{"current":0.5,"average":0,"standardDeviation":0,"minimum":0,"maximum":0},"counts":{"fail":0,"success":7}}"#;
        let json = format!("{{\"leader\":\"1\",\"followers\":{{\"10\":{one},\"2\":{one}}}}}");
        assert_eq!(write_leader(1, &[follower(2), follower(16)]), json);
    }

    #[test]
    fn writes_the_store_as_etcd_does() {
        let statistics = StoreStatistics {
            gets: Outcomes {
                successes: 9,
                failures: 49,
            },
            sets: Outcomes {
                successes: 14,
                failures: 2,
            },
            deletes: Outcomes {
                successes: 1,
                failures: 0,
            },
            creates: Outcomes {
                successes: 2,
                failures: 0,
            },
            expirations: 1,
            ..StoreStatistics::default()
        };
        let json = r#"{"getsSuccess":9,"getsFail":49,"setsSuccess":14,"setsFail":2,"deleteSuccess":1,"deleteFail":0,"updateSuccess":0,"updateFail":0,"createSuccess":2,"createFail":0,"compareAndSwapSuccess":0,"compareAndSwapFail":0,"compareAndDeleteSuccess":0,"compareAndDeleteFail":0,"expireCount":1,"watchers":0}"#;
        assert_eq!(write_store(&statistics), json);
    }
}
