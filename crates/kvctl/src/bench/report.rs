//! Figures, as text or JSON.
//!
//! Latencies are kept to three digits.
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::failure::Failure;

/// The longest latency that is told apart.
const LATENCY_MAX_MICROSECONDS: u64 = 600_000_000;

/// Latencies as they come, in tenths of a microsecond inside.
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Result<Self, Failure> {
        Histogram::new_with_bounds(1, LATENCY_MAX_MICROSECONDS * 10, 3)
            .map(Self)
            .map_err(Failure::plain)
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let tenths = u64::try_from(latency.as_nanos() / 100).unwrap_or(u64::MAX);
        self.0.saturating_record(tenths);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn summary(&self) -> Summary {
        let at = |quantile| microseconds(self.0.value_at_quantile(quantile));
        Summary {
            mean: self.0.mean() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: microseconds(self.0.max()),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // latencies are far below 2^52
fn microseconds(tenths: u64) -> f64 {
    tenths as f64 / 10.0
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Summary {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Summary {
    fn show(&self, title: &str) -> String {
        let Self {
            mean,
            p50,
            p90,
            p99,
            p999,
            max,
        } = self;
        format!(
            "{title:<16}mean {mean:.1} us, p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {max:.1}"
        )
    }
}

/// What reads or writes gave.
#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    pub(super) kind: &'static str,
    pub(super) endpoints: Vec<String>,
    pub(super) connections: u32,
    pub(super) value_bytes: u32,
    pub(super) keys: u32,
    pub(super) quorum: bool,
    pub(super) sequential: bool,
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    pub(super) requests_per_second: f64,
    pub(super) latency_microseconds: Summary,
    pub(super) own_cpu_seconds: Option<f64>,
}

/// What watchers gave.
#[derive(Debug, Serialize)]
pub(super) struct FanOutReport {
    pub(super) kind: &'static str,
    pub(super) endpoints: Vec<String>,
    pub(super) watchers: u32,
    pub(super) value_bytes: u32,
    pub(super) rounds: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    /// From the write's beginning to its answer.
    pub(super) put_microseconds: Summary,
    /// From the write's beginning to each notification.
    pub(super) notification_microseconds: Summary,
    /// From the write's beginning to the last notification of a round.
    pub(super) last_microseconds: Summary,
    pub(super) own_cpu_seconds: Option<f64>,
}

fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).unwrap_or_else(|_| unreachable!("figures can be written"))
}

fn errors(count: u64, first: Option<&String>) -> String {
    match first {
        Some(first) => format!("{count}, the first: {first}"),
        None => count.to_string(),
    }
}

fn cpu(seconds: Option<f64>, requests: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // requests are far below 2^52
    let each = |seconds: f64| seconds * 1e6 / requests.max(1) as f64;
    seconds.map_or_else(
        || "unknown".to_owned(),
        |seconds| format!("{seconds:.3} s, {:.2} us each", each(seconds)),
    )
}

impl LoadReport {
    pub(super) fn show(&self, as_json: bool) -> String {
        if as_json {
            return json(self);
        }
        [
            format!(
                "{:<16}{} at {} connections",
                "load", self.kind, self.connections
            ),
            format!(
                "{:<16}{} in {:.3} s",
                "requests", self.requests, self.seconds
            ),
            format!("{:<16}{:.1}/s", "rate", self.requests_per_second),
            self.latency_microseconds.show("latency"),
            format!(
                "{:<16}{}",
                "errors",
                errors(self.errors, self.first_error.as_ref())
            ),
            format!(
                "{:<16}{}",
                "own CPU",
                cpu(self.own_cpu_seconds, self.requests)
            ),
        ]
        .join("\n")
    }
}

impl FanOutReport {
    pub(super) fn show(&self, as_json: bool) -> String {
        if as_json {
            return json(self);
        }
        let notifications = self.rounds * u64::from(self.watchers);
        [
            format!(
                "{:<16}{} watchers, {} writes",
                "load", self.watchers, self.rounds
            ),
            self.put_microseconds.show("write"),
            self.notification_microseconds.show("notification"),
            self.last_microseconds.show("last of a round"),
            format!(
                "{:<16}{}",
                "errors",
                errors(self.errors, self.first_error.as_ref())
            ),
            format!(
                "{:<16}{}",
                "own CPU",
                cpu(self.own_cpu_seconds, notifications)
            ),
        ]
        .join("\n")
    }
}

/// The time that our threads have run, if the kernel tells it.
pub(super) fn own_cpu() -> Option<Duration> {
    let mut nanoseconds: u64 = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}
