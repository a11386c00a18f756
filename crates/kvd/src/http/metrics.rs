//! Counters, and `/metrics` in Prometheus' text format, under etcd's names where they mean the same.
//!
//! Requests only add to atomic numbers found in advance; what can be asked of others is asked when
//! somebody looks.
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use etcd_v2::Method;
use hyper::StatusCode;
use kv_cluster::Role;
use kv_model::command::KeyAction;
use kv_model::{Action, Event};
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::answer::{Answer, method_not_allowed, plain_error, whole};
use super::durations::Durations;
use super::health::{SPOKEN_CLUSTER_VERSION, SPOKEN_VERSION};
use super::process::ProcessFigures;
use super::state::ServerState;

/// What the store does, by etcd's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Set,
    Create,
    Update,
    CompareAndSwap,
    Delete,
    CompareAndDelete,
}

impl Operation {
    const ALL: [Self; 6] = [
        Self::Set,
        Self::Create,
        Self::Update,
        Self::CompareAndSwap,
        Self::Delete,
        Self::CompareAndDelete,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Create => "create",
            Self::Update => "update",
            Self::CompareAndSwap => "compareAndSwap",
            Self::Delete => "delete",
            Self::CompareAndDelete => "compareAndDelete",
        }
    }

    fn of(action: &KeyAction) -> Self {
        match action {
            KeyAction::Set { .. } | KeyAction::SetRefresh { .. } => Self::Set,
            KeyAction::Create { .. } | KeyAction::CreateInOrder { .. } => Self::Create,
            KeyAction::Update { .. } => Self::Update,
            KeyAction::CompareAndSwap { .. } => Self::CompareAndSwap,
            KeyAction::Delete { .. } => Self::Delete,
            KeyAction::CompareAndDelete { .. } => Self::CompareAndDelete,
        }
    }

    const fn of_event(action: Action) -> Option<Self> {
        Some(match action {
            Action::Set => Self::Set,
            Action::Create => Self::Create,
            Action::Update => Self::Update,
            Action::CompareAndSwap => Self::CompareAndSwap,
            Action::Delete => Self::Delete,
            Action::CompareAndDelete => Self::CompareAndDelete,
            Action::Expire => return None,
        })
    }
}

/// How often something went well and how often it did not.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) success: IntCounter,
    pub(super) fail: IntCounter,
}

impl Tally {
    pub(super) fn success(&self) {
        self.success.inc();
    }

    pub(super) fn fail(&self) {
        self.fail.inc();
    }
}

/// Everything that is counted while requests are served.
pub(super) struct Metrics {
    registry: Registry,
    reads: [Tally; 2],
    writes: [Tally; Operation::ALL.len()],
    expires: IntCounter,
    lease_renewals: IntCounter,
    watch_requests: IntCounter,
    received: [IntCounter; METHODS.len()],
    failed: IntCounterVec,
    durations: [Histogram; METHODS.len()],
    proposals_failed: IntCounter,
    leader_changes: IntCounter,
    health: Tally,
    gauges: Gauges,
}

const METHODS: [Method; 5] = [
    Method::Head,
    Method::Get,
    Method::Put,
    Method::Post,
    Method::Delete,
];

/// etcd's bounds: half a millisecond, doubled twelve times.
const DURATION_BOUND_FIRST_SECONDS: f64 = 0.0005;
const DURATION_BOUNDS: usize = 13;

/// What is asked for when somebody looks.
struct Gauges {
    server_id: IntGaugeVec,
    server_version: IntGaugeVec,
    cluster_version: IntGaugeVec,
    has_leader: IntGauge,
    is_leader: IntGauge,
    is_learner: IntGauge,
    committed: IntGauge,
    applied: IntGauge,
    pending: IntGauge,
    watchers: IntGauge,
    connections: IntGauge,
    database_bytes: IntGauge,
    history_bytes: IntGauge,
    resident_bytes: IntGauge,
    processor_seconds: Gauge,
    open_files: IntGauge,
    start_seconds: Gauge,
}

impl Gauges {
    fn new(maker: &Maker) -> Self {
        let whole = |name: &str, help: &str| maker.whole(name, help);
        let float = |name: &str, help: &str| maker.float(name, help);
        let fact = |name: &str, label: &str| maker.fact(name, "Always 1.", label);
        Self {
            server_id: fact("etcd_server_id", "server_id"),
            server_version: fact("etcd_server_version", "server_version"),
            cluster_version: fact("etcd_cluster_version", "cluster_version"),
            has_leader: whole("etcd_server_has_leader", "Whether a leader is known."),
            is_leader: whole("etcd_server_is_leader", "Whether this member leads."),
            is_learner: whole(
                "etcd_server_is_learner",
                "Whether this member has no vote yet.",
            ),
            committed: whole(
                "etcd_server_proposals_committed_total",
                "The index of the last committed entry.",
            ),
            applied: whole(
                "etcd_server_proposals_applied_total",
                "The index of the last applied entry.",
            ),
            pending: whole("etcd_server_proposals_pending", "Writes under way."),
            watchers: whole("etcd_debugging_store_watchers", "Watchers of v2."),
            connections: whole("kvd_client_connections", "Connections of clients."),
            database_bytes: whole(
                "etcd_mvcc_db_total_size_in_bytes",
                "The length of the database's file.",
            ),
            history_bytes: whole("kvd_history_bytes", "The history's files."),
            resident_bytes: whole("process_resident_memory_bytes", "Resident memory."),
            processor_seconds: float(
                "process_cpu_seconds_total",
                "Processor time, user and system.",
            ),
            open_files: whole("process_open_fds", "Open file descriptors."),
            start_seconds: float("process_start_time_seconds", "Start, since 1970."),
        }
    }
}

/// Makes metrics and registers them.
struct Maker(Registry);

impl Maker {
    /// The names are constants, and no two are equal.
    fn register<T>(&self, metric: prometheus::Result<T>) -> T
    where
        T: prometheus::core::Collector + Clone + 'static,
    {
        let metric = metric.expect("a metric's name is well-formed");
        let registered = self.0.register(Box::new(metric.clone()));
        registered.expect("no two metrics have one name");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn whole(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn float(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    /// A gauge that is always 1 and tells something by its label.
    fn fact(&self, name: &str, help: &str, label: &str) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), &[label]))
    }

    fn durations(&self, name: &str, help: &str) -> [Histogram; METHODS.len()] {
        let first = DURATION_BOUND_FIRST_SECONDS;
        let bounds = prometheus::exponential_buckets(first, 2.0, DURATION_BOUNDS);
        let options = HistogramOpts::new(name, help);
        let options = options.buckets(bounds.expect("the bounds ascend"));
        let histograms = self.register(HistogramVec::new(options, &["method"]));
        METHODS.map(|method| histograms.with_label_values(&[method.name()]))
    }

    fn tallies<const N: usize>(
        &self,
        (good, good_help): (&str, &str),
        (bad, bad_help): (&str, &str),
        actions: [&str; N],
    ) -> [Tally; N] {
        let good = self.counters(good, good_help, &["action"]);
        let bad = self.counters(bad, bad_help, &["action"]);
        actions.map(|action| Tally {
            success: good.with_label_values(&[action]),
            fail: bad.with_label_values(&[action]),
        })
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let maker = Maker(Registry::new());
        let received = "etcd_http_received_total";
        let received = maker.counters(received, "Requests for keys.", &["method"]);
        let counter = |name: &str, help: &str| maker.counter(name, help);
        Self {
            reads: maker.tallies(
                ("etcd_debugging_store_reads_total", "Reads."),
                (
                    "etcd_debugging_store_reads_failed_total",
                    "Reads that failed.",
                ),
                ["get", "getRecursive"],
            ),
            writes: maker.tallies(
                (
                    "etcd_debugging_store_writes_total",
                    "Writes, of all members.",
                ),
                (
                    "etcd_debugging_store_writes_failed_total",
                    "Writes of this member that were refused.",
                ),
                Operation::ALL.map(Operation::name),
            ),
            expires: counter("etcd_debugging_store_expires_total", "Keys that expired."),
            lease_renewals: counter(
                "etcd_debugging_lease_renewed_total",
                "Keep-alives of leases that this member was asked for.",
            ),
            watch_requests: counter(
                "etcd_debugging_store_watch_requests_total",
                "Watches that were asked for.",
            ),
            received: METHODS.map(|method| received.with_label_values(&[method.name()])),
            failed: maker.counters(
                "etcd_http_failed_total",
                "Requests for keys that failed.",
                &["method", "code"],
            ),
            durations: maker.durations(
                "etcd_http_successful_duration_seconds",
                "How long requests for keys took that succeeded.",
            ),
            proposals_failed: counter(
                "etcd_server_proposals_failed_total",
                "Writes without an outcome.",
            ),
            leader_changes: counter(
                "etcd_server_leader_changes_seen_total",
                "Changes of the leader that this member saw.",
            ),
            health: Tally {
                success: counter(
                    "etcd_server_health_success",
                    "Health checks that succeeded.",
                ),
                fail: counter("etcd_server_health_failures", "Health checks that failed."),
            },
            gauges: Gauges::new(&maker),
            registry: maker.0,
        }
    }
}

impl Metrics {
    /// Counts what became visible, here or anywhere.
    pub(super) fn count_events(&self, events: &[Arc<Event>]) {
        for event in events {
            match Operation::of_event(event.action) {
                Some(operation) => self.write(operation).success(),
                None => self.expires.inc(),
            }
        }
    }

    /// The tally of a write that was asked for.
    pub(super) fn action_of(&self, action: &KeyAction) -> &Tally {
        self.write(Operation::of(action))
    }

    /// The tally of a kind of write.
    pub(super) fn write(&self, operation: Operation) -> &Tally {
        &self.writes[operation as usize]
    }

    /// The tally of reads.
    pub(super) fn read(&self, recursive: bool) -> &Tally {
        &self.reads[usize::from(recursive)]
    }

    /// Keys that expired.
    pub(super) fn expired(&self) -> u64 {
        self.expires.get()
    }

    pub(super) fn lease_renewed(&self) {
        self.lease_renewals.inc();
    }

    pub(super) fn watch_requested(&self) {
        self.watch_requests.inc();
    }

    pub(super) fn received(&self, method: Method) {
        self.received[method as usize].inc();
    }

    pub(super) fn answered(&self, method: Method, status: StatusCode, began: Instant) {
        if status.is_success() {
            let seconds = began.elapsed().as_secs_f64();
            self.durations[method as usize].observe(seconds);
        } else {
            let labels = [method.name(), status.as_str()];
            self.failed.with_label_values(&labels).inc();
        }
    }

    pub(super) fn proposal_failed(&self) {
        self.proposals_failed.inc();
    }

    pub(super) fn leader_changed(&self) {
        self.leader_changes.inc();
    }

    pub(super) fn health(&self) -> &Tally {
        &self.health
    }
}

/// Answers `/metrics`.
pub(super) fn handle(state: &ServerState, method: &hyper::Method) -> Answer {
    if !matches!(*method, hyper::Method::GET | hyper::Method::HEAD) {
        return method_not_allowed("GET");
    }
    look(state);
    let families = state.metrics.registry.gather();
    let mut text = match TextEncoder::new().encode_to_string(&families) {
        Ok(text) => text,
        Err(error) => {
            return plain_error(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
    };
    state.backend.fsyncs().append_to(
        &mut text,
        "etcd_disk_wal_fsync_duration_seconds",
        "How long the log took to make entries durable.",
    );
    Durations::of_flushes(&state.backend.storage().flushes).append_to(
        &mut text,
        "etcd_disk_backend_commit_duration_seconds",
        "How long flushes of the store took.",
    );
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    whole(StatusCode::OK, content_type, text.into())
}

/// Asks for everything that is not counted.
fn look(state: &ServerState) {
    let gauges = &state.metrics.gauges;
    let fact = |gauge: &IntGaugeVec, label: &str| gauge.with_label_values(&[label]).set(1);
    fact(&gauges.server_id, &state.backend.id().to_string());
    fact(&gauges.server_version, SPOKEN_VERSION);
    fact(&gauges.cluster_version, SPOKEN_CLUSTER_VERSION);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let status = state.backend.status().borrow().clone();
    gauges.has_leader.set(status.leader.is_some().into());
    gauges.is_leader.set((status.role == Role::Leader).into());
    gauges.is_learner.set((status.role == Role::Learner).into());
    gauges
        .committed
        .set(number(state.backend.committed_index()));
    gauges
        .applied
        .set(number(state.backend.position().raft_index));
    gauges.pending.set(number(state.in_flight() as u64));
    gauges.watchers.set(number(state.watchers() as u64));
    let connections = state.options.connections_max - state.connections.available_permits();
    gauges.connections.set(number(connections as u64));
    let storage = state.backend.storage();
    gauges.database_bytes.set(number(storage.database_bytes));
    gauges.history_bytes.set(number(storage.history_bytes));
    let process = ProcessFigures::now();
    gauges.resident_bytes.set(number(process.resident_bytes));
    gauges.processor_seconds.set(process.processor_seconds);
    gauges.open_files.set(number(process.open_files));
    let started = state.started.duration_since(SystemTime::UNIX_EPOCH);
    gauges
        .start_seconds
        .set(started.map_or(0.0, |since| since.as_secs_f64()));
}
