//! A machine's updates as metrics, in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
//!
//! Nothing of the updater is resident, so nobody can be scraped: the text goes to a file, from which
//! `node_exporter`'s textfile collector takes it. Names and meanings are stable, and each stands in its
//! `# HELP` line; metrics may be added. A time that never was has no sample. Does not write the file.

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use crate::method::Method;
use crate::progress::{Cause, State};
use crate::record::{Attempts, Hold, LastCheck, Record};

/// What the record does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which image the machine runs.
    pub product: String,
    /// The version it runs.
    pub running: String,
}

/// The text, which ends in a line break.
pub fn render(record: &Record, identity: &Identity) -> String {
    let mut page = Page(String::new());
    state(&mut page, record, identity);
    times(&mut page, record);
    counters(&mut page, record);
    page.0
}

fn state(page: &mut Page, record: &Record, identity: &Identity) {
    let release = record.state.release();
    let target = release.map_or(String::new(), |release| release.version.to_string());
    page.family(
        "info",
        "gauge",
        "What runs, and the version that the state is about. Always 1.",
    );
    let labels = [
        ("product", identity.product.as_str()),
        ("running", &identity.running),
        ("version", &target),
    ];
    page.sample("info", &labels, 1);
    page.family(
        "state",
        "gauge",
        "1 for the state that updates are in, 0 for the others.",
    );
    for name in State::NAMES {
        let is_now = u8::from(name == record.state.name());
        page.sample("state", &[("state", name)], is_now);
    }
    page.family(
        "held_back",
        "gauge",
        "1 if the cluster holds the release back: its rollout is halted, or the store cannot be asked.",
    );
    for (name, is_now) in [
        ("halted", matches!(record.hold, Hold::Halted { .. })),
        (
            "store-unreachable",
            matches!(record.hold, Hold::StoreUnreachable { .. }),
        ),
    ] {
        page.sample("held_back", &[("reason", name)], u8::from(is_now));
    }
}

fn times(page: &mut Page, record: &Record) {
    let last_check = match &record.last_check {
        LastCheck::Never => None,
        LastCheck::Decided(at, _) => Some(*at),
    };
    let totals = &record.totals;
    for (name, help, time) in [
        (
            "last_check",
            "When it was last seen which releases there are.",
            last_check,
        ),
        (
            "last_success",
            "When an attempt last did what it should.",
            totals.last_success,
        ),
        (
            "last_failure",
            "When an attempt last failed.",
            totals.last_failure,
        ),
    ] {
        let name = format!("{name}_timestamp_seconds");
        page.family(&name, "gauge", help);
        if let Some(time) = time {
            page.sample(&name, &[], Timestamp::as_second(time));
        }
    }
    let failing = match record.attempts {
        Attempts::Fine => 0,
        Attempts::Failing { failures, .. } => failures,
    };
    page.family(
        "failing_attempts",
        "gauge",
        "Attempts that failed in a row, up to now.",
    );
    page.sample("failing_attempts", &[], failing);
}

fn counters(page: &mut Page, record: &Record) {
    let totals = &record.totals;
    let help = "Bytes fetched for releases, by the way their root came.";
    page.family("fetched_bytes_total", "counter", help);
    for (method, name) in [
        (Method::BlockDelta, "block-delta"),
        (Method::StaticDelta, "static-delta"),
        (Method::Full, "full"),
    ] {
        let bytes = totals.fetched_bytes.get(&method).copied();
        page.sample(
            "fetched_bytes_total",
            &[("method", name)],
            bytes.unwrap_or(0),
        );
    }
    let help = "Releases that were given up, by what ended them.";
    page.family("rollbacks_total", "counter", help);
    for cause in Cause::ALL {
        let count = totals.rollbacks.get(&cause).copied().unwrap_or(0);
        page.sample("rollbacks_total", &[("cause", cause.name())], count);
    }
    page.family("installed_total", "counter", "Releases installed.");
    page.sample("installed_total", &[], totals.installed);
    page.family("failures_total", "counter", "Attempts that failed.");
    page.sample("failures_total", &[], totals.failures);
}

/// The text as it grows. Writing to a String cannot fail.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP keelson_update_{name} {help}");
        let _ = writeln!(self.0, "# TYPE keelson_update_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match &labels[..] {
            [] => String::new(),
            _ => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.0, "keelson_update_{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use disk_format::verity::RootHash;

    use super::*;
    use crate::progress::Release;
    use crate::record::Happened;

    fn identity() -> Identity {
        Identity {
            product: "vm".to_owned(),
            running: "1".to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Samples of lines that are of the format, or a panic.
    fn samples(text: &str) -> Vec<&str> {
        let mut families = BTreeSet::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(matches!(kind, "gauge" | "counter"), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(families.insert(name), "{name} is there twice");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let name = name.split('{').next().unwrap();
                assert!(families.contains(name), "{line} comes before its type");
                value.parse::<f64>().unwrap();
                samples.push(line);
            }
        }
        let unique: BTreeSet<_> = samples.iter().map(|line| line.rsplit_once(' ')).collect();
        assert_eq!(unique.len(), samples.len(), "a series is there twice");
        samples
    }

    #[test]
    fn a_new_machine_has_zeros_and_no_times() {
        let text = render(&Record::default(), &identity());
        let samples = samples(&text);
        let info = "keelson_update_info{product=\"vm\",running=\"1\",version=\"\"} 1";
        for sample in [
            info,
            "keelson_update_state{state=\"idle\"} 1",
            "keelson_update_failures_total 0",
        ] {
            assert!(samples.contains(&sample), "{sample}: {text}");
        }
        assert!(
            !samples.iter().any(|line| line.contains("timestamp")),
            "{text}"
        );
    }

    #[test]
    fn what_happened_is_counted() {
        let release = |text: &str| Release {
            version: text.parse().unwrap(),
            root_hash: RootHash([2; 32]),
        };
        let mut record = Record::default();
        let installed = Happened::Installed {
            version: "2".parse().unwrap(),
            method: Method::StaticDelta,
            fetched_bytes: 700,
        };
        record.note(installed.clone(), at(10));
        record.note(installed, at(20));
        record.attempt_succeeded(at(20));
        record.enter(
            State::AwaitingHealth(release("2")).unhealthy("x").unwrap(),
            at(30),
        );
        record.enter(record.state.clone().check().unwrap(), at(40));
        record.failed("no network", at(40)).unwrap();
        let text = render(&record, &identity());
        let samples = samples(&text);
        for sample in [
            "fetched_bytes_total{method=\"static-delta\"} 1400",
            "fetched_bytes_total{method=\"full\"} 0",
            "installed_total 2",
            "rollbacks_total{cause=\"unhealthy\"} 1",
            "last_success_timestamp_seconds 20",
            "last_failure_timestamp_seconds 40",
            "failing_attempts 1",
            "failures_total 1",
            "state{state=\"failed\"} 1",
            "state{state=\"idle\"} 0",
        ] {
            let sample = format!("keelson_update_{sample}");
            assert!(samples.contains(&sample.as_str()), "{sample}: {text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let identity = Identity {
            product: "a\"b\\c\nd".to_owned(),
            ..identity()
        };
        let text = render(&Record::default(), &identity);
        assert!(text.contains("product=\"a\\\"b\\\\c\\nd\""), "{text}");
    }
}
