//! Load from `kvctl bench`, the same for every server, and what it reports.
//!
//! It measures nothing itself.
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::command;

/// What is asked of a server.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    kind: &'static str,
    connections: u32,
    quorum: bool,
    extent: Extent,
    keys: u64,
    sequential: bool,
    value_bytes: u32,
    watchers: Option<u32>,
    is_prepared: bool,
}

/// A call of the v3 API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A write.
    Put,
    /// A read that is never stale.
    LinearizableRange,
    /// A read of what one member has.
    SerializableRange,
    /// A comparison and a write.
    Txn,
    /// Notices of writes.
    Watch,
}

impl Call {
    const fn kind(self) -> &'static str {
        match self {
            Self::Put => "grpc-put",
            Self::LinearizableRange | Self::SerializableRange => "grpc-range",
            Self::Txn => "grpc-txn",
            Self::Watch => "grpc-watch",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Put => "put",
            Self::LinearizableRange => "linearizable range",
            Self::SerializableRange => "serializable range",
            Self::Txn => "txn",
            Self::Watch => "watch",
        })
    }
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
enum Extent {
    Seconds(u32),
    Requests(u64),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    /// Requests in all.
    pub(crate) requests: f64,
    /// Requests in a second.
    pub(crate) per_second: f64,
    /// The median latency.
    pub(crate) p50_milliseconds: f64,
    /// The latency that one in a hundred exceeds.
    pub(crate) p99_milliseconds: f64,
    /// The longest latency.
    pub(crate) max_milliseconds: f64,
    /// With watchers: the longest time until the last of them was served.
    pub(crate) last_max_milliseconds: f64,
}

impl Load {
    fn new(kind: &'static str, connections: u32) -> Self {
        Self {
            kind,
            connections,
            quorum: false,
            extent: Extent::Seconds(1),
            keys: super::KEYS,
            sequential: false,
            value_bytes: 256,
            watchers: None,
            is_prepared: false,
        }
    }

    /// Writes of 256 bytes to 10,000 keys.
    pub(crate) fn put(connections: u32) -> Self {
        Self::new("put", connections)
    }

    /// Reads of them.
    pub(crate) fn get(connections: u32, quorum: bool) -> Self {
        let load = Self::new("get", connections);
        Self { quorum, ..load }
    }

    /// Watchers of one key.
    pub(crate) fn watch(watchers: u32) -> Self {
        Self::new("watch", watchers)
    }

    /// Calls of the v3 API.
    pub(crate) fn grpc(call: Call, connections: u32) -> Self {
        let load = Self::new(call.kind(), connections);
        Self {
            quorum: call == Call::LinearizableRange,
            ..load
        }
    }

    /// One key after the other.
    pub(crate) fn each_key(self) -> Self {
        let sequential = true;
        Self { sequential, ..self }
    }

    /// The keys were written before.
    pub(crate) fn prepared(self) -> Self {
        let is_prepared = true;
        Self {
            is_prepared,
            ..self
        }
    }

    /// So many watchers, spread over the connections.
    pub(crate) fn watchers(self, watchers: u32) -> Self {
        let watchers = Some(watchers);
        Self { watchers, ..self }
    }

    /// For so long.
    pub(crate) fn seconds(self, seconds: u32) -> Self {
        let extent = Extent::Seconds(seconds);
        Self { extent, ..self }
    }

    /// So many.
    pub(crate) fn requests(self, requests: u64) -> Self {
        let extent = Extent::Requests(requests);
        Self { extent, ..self }
    }

    /// Each to a key of its own, with values of this size.
    pub(crate) fn distinct_keys(self, keys: u64, value_bytes: u32) -> Self {
        Self {
            keys,
            value_bytes,
            sequential: true,
            ..self
        }
    }

    fn arguments(&self, url: &str) -> Vec<String> {
        let mut arguments = vec!["bench".to_owned(), self.kind.to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--endpoints", url.to_owned());
        add("--connections", self.connections.to_string());
        add("--output", "json".to_owned());
        match self.extent {
            Extent::Seconds(seconds) => add("--duration", format!("{seconds}s")),
            Extent::Requests(requests) => add("--requests", requests.to_string()),
        }
        if let Some(watchers) = self.watchers {
            add("--watchers", watchers.to_string());
        }
        if !self.kind.ends_with("watch") {
            add("--keys", self.keys.to_string());
            add("--value-bytes", self.value_bytes.to_string());
        }
        if self.quorum {
            arguments.push("--quorum".to_owned());
        }
        if self.is_prepared {
            arguments.push("--prepared".to_owned());
        }
        if self.sequential {
            arguments.push("--sequential".to_owned());
        }
        arguments
    }
}

/// Makes the load; a single failed request fails it.
pub(crate) fn run(kvctl: &Path, url: &str, load: &Load) -> anyhow::Result<Report> {
    let (_, output) = command::run(Command::new(kvctl).args(load.arguments(url)))?;
    let report: Value = serde_json::from_str(&output).context("kvctl bench wrote no JSON")?;
    let number = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_f64);
        value.with_context(|| format!("kvctl bench did not report {pointer}:\n{output}"))
    };
    // A watch is many notices of few writes; what counts is how long each took to arrive.
    let (latency, requests) = match load.kind {
        "watch" | "grpc-watch" => ("notification_microseconds", "/rounds"),
        _ => ("latency_microseconds", "/requests"),
    };
    let milliseconds = |figure: &str| -> anyhow::Result<f64> {
        Ok(number(&format!("/{latency}/{figure}"))? / 1e3)
    };
    let errors = report.pointer("/errors").and_then(Value::as_u64);
    anyhow::ensure!(errors == Some(0), "requests failed:\n{output}");
    Ok(Report {
        requests: number(requests)?,
        per_second: number("/requests_per_second").unwrap_or_default(),
        p50_milliseconds: milliseconds("p50")?,
        p99_milliseconds: milliseconds("p99")?,
        max_milliseconds: milliseconds("max")?,
        last_max_milliseconds: number("/last_microseconds/max").unwrap_or_default() / 1e3,
    })
}
