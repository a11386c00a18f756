//! Counters, and `/metrics` in Prometheus' text format, under fleet's names where they mean the same.
//!
//! What others count is added to them by whoever sees it happen.

use std::fmt::Write as _;
use std::sync::OnceLock;

use fleet_engine::{Role, Status};
use fleet_etcd::Request;
use hyper::StatusCode;
use tokio::sync::watch;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use super::answer::{Answer, Refused, bytes};

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    /// How the engine is doing, once there is one.
    engine: OnceLock<watch::Receiver<Status>>,
    answers: IntCounterVec,
    operations: IntCounterVec,
    failures: IntCounterVec,
}

/// fleet's names.
fn name(request: Request) -> &'static str {
    match request {
        Request::Read => "get",
        Request::Transaction => "transaction",
        Request::Watch => "watch",
        Request::Lease => "lease",
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            let made = IntCounterVec::new(Opts::new(name, help), &[label]);
            let counters = made.unwrap_or_else(|error| unreachable!("{name}: {error}"));
            let registered = registry.register(Box::new(counters.clone()));
            registered.unwrap_or_else(|error| unreachable!("{name}: {error}"));
            counters
        };
        let answers = counters("fleet_http_responses_total", "Answers of the API", "code");
        let operations = counters(
            "fleet_registry_operation_count_total",
            "Requests to the store",
            "type",
        );
        let failures = counters(
            "fleet_registry_operation_failed_count_total",
            "Requests to the store that failed",
            "type",
        );
        Self {
            registry,
            engine: OnceLock::new(),
            answers,
            operations,
            failures,
        }
    }

    /// A request was answered.
    pub(super) fn answered(&self, status: StatusCode) {
        self.answers.with_label_values(&[status.as_str()]).inc();
    }

    /// The store was asked.
    pub(crate) fn asked(&self, request: Request, is_success: bool) {
        let counter = |counters: &IntCounterVec| -> IntCounter {
            counters.with_label_values(&[name(request)])
        };
        counter(&self.operations).inc();
        if !is_success {
            counter(&self.failures).inc();
        }
    }

    /// Where the engine tells how it is doing.
    pub(crate) fn follow_engine(&self, status: watch::Receiver<Status>) {
        // A process has one engine.
        let _ = self.engine.set(status);
    }

    /// `GET /metrics`
    pub(super) fn answer(&self) -> Answer {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(mut text) => {
                if let Some(status) = self.engine.get() {
                    text.push_str(&engine_lines(&status.borrow()));
                }
                bytes("text/plain; version=0.0.4", text)
            }
            Err(error) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Refused::new(status, error.to_string()).answer()
            }
        }
    }
}

/// The engine's counts, which it keeps itself.
fn engine_lines(status: &Status) -> String {
    let leads_since = match status.role {
        Role::Leading { since } => since.elapsed().as_secs_f64(),
        Role::Starting | Role::Following { .. } => 0.0,
    };
    let is_leading = matches!(status.role, Role::Leading { .. });
    #[allow(clippy::cast_precision_loss)] // a count beyond 2^53 is none that happens
    let number = |count: u64| count as f64;
    let count = |length: usize| number(length as u64);
    let rows = [
        ("fleet_engine_leader", "gauge", number(is_leading.into())),
        ("fleet_engine_leading_seconds", "gauge", leads_since),
        (
            "fleet_engine_reconcile_count_total",
            "counter",
            number(status.rounds),
        ),
        (
            "fleet_engine_reconcile_duration_second",
            "gauge",
            status.last_round.as_secs_f64(),
        ),
        (
            "fleet_engine_task_count_total",
            "counter",
            number(status.decisions),
        ),
        (
            "fleet_engine_task_failure_count_total",
            "counter",
            number(status.failed),
        ),
        (
            "fleet_engine_transactions_committed_total",
            "counter",
            number(status.committed),
        ),
        (
            "fleet_engine_transactions_overtaken_total",
            "counter",
            number(status.overtaken),
        ),
        (
            "fleet_engine_unplaced_units",
            "gauge",
            count(status.unplaced.len()),
        ),
        (
            "fleet_engine_waiting_units",
            "gauge",
            count(status.waiting.len()),
        ),
        (
            "fleet_engine_unreadable_values",
            "gauge",
            count(status.unreadable.len()),
        ),
    ];
    let mut text = String::new();
    for (name, kind, value) in rows {
        // Writing to a string cannot fail.
        let _ = write!(text, "# TYPE {name} {kind}\n{name} {value}\n");
    }
    text
}
