//! `etcdctl check perf`, and what it says.
//!
//! It judges by etcd's own limits: nine tenths of the rate asked for, no request over half a second.
use std::fmt;
use std::process::Command;

use anyhow::Context as _;

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// 1,000 writes a second of 200 clients.
    Medium,
    /// 8,000 writes a second of 500 clients.
    Large,
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Medium => "m",
            Self::Large => "l",
        })
    }
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    pub(super) per_second: f64,
    pub(super) slowest_seconds: f64,
    pub(super) deviation_seconds: f64,
    pub(super) passed: bool,
}

/// Runs it for its minute. A server that fails the check is a result, not an error.
pub(super) fn run(check: Check, url: &str) -> anyhow::Result<Told> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", url, "check", "perf"])
        .arg(format!("--load={check}"))
        .output()
        .context("cannot run etcdctl (Debian's etcd-client)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    understand(&text).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("etcdctl check perf said something else:\n{text}{errors}")
    })
}

fn understand(text: &str) -> Option<Told> {
    let number = |before: &str, after: &str| {
        let (_, rest) = text.split_once(before)?;
        rest.split_once(after)?.0.trim().parse().ok()
    };
    // "Throughput too low: 7400 writes/s" when it fails.
    let rate = number("Throughput is ", " writes/s");
    Some(Told {
        per_second: rate.or_else(|| number("Throughput too low: ", " writes/s"))?,
        slowest_seconds: number("Slowest request took ", "s").or_else(|| {
            // "Slowest request took too long: 0.6s"
            number("Slowest request took too long: ", "s")
        })?,
        deviation_seconds: number("Stddev is ", "s")
            .or_else(|| number("Stddev too high: ", "s"))?,
        passed: !text.contains("FAIL"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_verdicts_are_understood() {
        let good = "PASS: Throughput is 999 writes/s\nPASS: Slowest request took 0.087509s\n\
            PASS: Stddev is 0.011084s\nPASS\n";
        assert_eq!(
            understand(good),
            Some(Told {
                per_second: 999.0,
                slowest_seconds: 0.087_509,
                deviation_seconds: 0.011_084,
                passed: true,
            })
        );
        let bad = "FAIL: Throughput too low: 5000 writes/s\nSlowest request took too long: 0.7s\n\
            PASS: Stddev is 0.05s\nFAIL\n";
        let told = understand(bad).expect("a verdict");
        assert!(!told.passed && told.slowest_seconds > 0.6);
        assert_eq!(understand("Error: no"), None);
    }
}
