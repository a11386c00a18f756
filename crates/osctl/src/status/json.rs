//! The status for programs. Field names and meanings are stable, and are listed in the help of
//! `osctl status`; fields may be added.
//!
//! Sizes are in bytes, times in seconds. A part that could not be found out is `null`, and
//! stands in `errors` with the reason.
use std::time::Duration;

use disk_format::boot_entry::{BootEntry, Counter};
use disk_format::meta::{Identity, KeptPath, ResetOrder};
use serde::Serialize;

use super::{Entry, Status, elapsed};
use crate::reset_state::ResetState;
use crate::state_space::MOUNT_POINT;
use crate::update_view::UpdateView;
use crate::verification::Verification;
use machine_facts::boot_facts::{BootFacts, BootPath};
use machine_facts::error::Fact;
use machine_facts::health_report::{HealthReport, seconds};
use machine_facts::provision_record::{Outcome, Record};

#[derive(Serialize)]
struct Document<'a> {
    release: Option<Release<'a>>,
    boot: Option<BootState<'a>>,
    verification: Option<VerificationState<'a>>,
    boot_entry: Option<EntryState>,
    other_versions: Option<Vec<OtherVersion<'a>>>,
    failed_boots: Option<u32>,
    state: Option<State<'a>>,
    reset: Option<Reset<'a>>,
    health: Option<Health<'a>>,
    provision: Option<Provision<'a>>,
    update: Option<&'a UpdateView>,
    errors: Vec<PartError>,
}

#[derive(Serialize)]
struct Release<'a> {
    name: &'a str,
    version: &'a str,
    build_id: &'a str,
    product: &'a str,
}

#[derive(Serialize)]
struct BootState<'a> {
    path: &'static str,
    slot: Option<&'a str>,
    disk: &'a str,
    root_device: &'a str,
    root_hash: String,
    first_boot: bool,
    init_seconds: f64,
}

#[derive(Serialize)]
struct VerificationState<'a> {
    state: &'static str,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct EntryState {
    state: &'static str,
    tries_left: Option<u32>,
    tries_done: Option<u32>,
}

#[derive(Serialize)]
struct OtherVersion<'a> {
    version: &'a str,
    #[serde(flatten)]
    entry: EntryState,
}

#[derive(Serialize)]
struct State<'a> {
    path: &'static str,
    device: &'a str,
    size_bytes: u64,
    free_bytes: u64,
}

#[derive(Serialize)]
struct Reset<'a> {
    state: &'static str,
    erases: bool,
    keeps_identity: bool,
    keeps: Vec<&'a str>,
}

#[derive(Serialize)]
struct Health<'a> {
    state: &'static str,
    reasons: &'a [String],
    notes: &'a [String],
    healthy_after_seconds: Option<f64>,
    healthy_for_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Provision<'a> {
    state: &'static str,
    reasons: Vec<&'a str>,
    source: Option<&'a str>,
    digest: Option<&'a str>,
}

#[derive(Serialize)]
struct PartError {
    part: &'static str,
    reason: String,
}

/// One line break at the end; `now` is the time since the kernel's start.
pub(crate) fn render(status: &Status, now: Duration) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&document(status, now))?;
    text.push('\n');
    Ok(text)
}

fn document(status: &Status, now: Duration) -> Document<'_> {
    let mut errors = Errors(Vec::new());
    Document {
        release: errors.keep("release", &status.release).map(release),
        boot: errors.keep("boot", &status.boot).map(boot),
        verification: errors
            .keep("verification", &status.verification)
            .map(verification),
        boot_entry: errors.keep("boot_entry", &status.entry).map(entry),
        other_versions: errors
            .keep("other_versions", &status.other_versions)
            .map(|others| others.iter().map(other_version).collect()),
        failed_boots: errors.keep("failed_boots", &status.failed_boots).copied(),
        state: errors.keep("state", &status.state).map(state),
        reset: errors.keep("reset", &status.reset).map(reset),
        health: errors
            .keep("health", &status.health)
            .map(|report| health(report.as_ref(), now)),
        provision: errors
            .keep("provision", &status.provision)
            .map(|record| provision(record.as_ref())),
        update: errors.keep("update", &status.update),
        errors: errors.0,
    }
}

struct Errors(Vec<PartError>);

impl Errors {
    fn keep<'a, T>(&mut self, part: &'static str, fact: &'a Fact<T>) -> Option<&'a T> {
        if let Err(error) = fact {
            let reason = error.reason();
            self.0.push(PartError { part, reason });
        }
        fact.as_ref().ok()
    }
}

fn release(release: &machine_facts::release::Release) -> Release<'_> {
    Release {
        name: &release.name,
        version: &release.version,
        build_id: &release.build_id,
        product: &release.product,
    }
}

fn boot(boot: &BootFacts) -> BootState<'_> {
    BootState {
        path: match boot.boot_path {
            BootPath::Direct => "direct",
            BootPath::Uefi => "uefi",
        },
        slot: (!boot.slot.is_empty()).then_some(&boot.slot),
        disk: &boot.disk,
        root_device: &boot.root,
        root_hash: boot.root_hash.to_string(),
        first_boot: boot.first_boot,
        init_seconds: seconds(boot.init_duration()),
    }
}

fn verification(verification: &Verification) -> VerificationState<'_> {
    let (state, reason) = match verification {
        Verification::Verified => ("verified", None),
        Verification::Corrupted => ("corrupted", None),
        Verification::NotVerified(reason) => ("not_verified", Some(reason.as_str())),
    };
    VerificationState { state, reason }
}

fn entry(entry: &Entry) -> EntryState {
    match entry {
        Entry::Uefi(counter) => counter_state(*counter),
        Entry::Direct => EntryState {
            state: "not_counted",
            tries_left: None,
            tries_done: None,
        },
    }
}

fn counter_state(counter: Counter) -> EntryState {
    match counter {
        Counter::Uncounted => EntryState {
            state: "good",
            tries_left: None,
            tries_done: None,
        },
        Counter::Counted {
            tries_left,
            tries_done,
        } => EntryState {
            state: "counted",
            tries_left: Some(tries_left),
            tries_done: Some(tries_done),
        },
    }
}

fn other_version(entry: &BootEntry) -> OtherVersion<'_> {
    OtherVersion {
        version: &entry.version,
        entry: counter_state(entry.counter),
    }
}

fn state(state: &crate::state_space::StateSpace) -> State<'_> {
    State {
        path: MOUNT_POINT,
        device: &state.device,
        size_bytes: state.size_bytes,
        free_bytes: state.free_bytes,
    }
}

fn reset(reset: &ResetState) -> Reset<'_> {
    let without_order = |state| Reset {
        state,
        erases: false,
        keeps_identity: false,
        keeps: Vec::new(),
    };
    match reset {
        ResetState::None => without_order("none"),
        ResetState::Remains => without_order("remains"),
        ResetState::Ordered(ResetOrder::Erase) => Reset {
            erases: true,
            ..without_order("ordered")
        },
        ResetState::Ordered(ResetOrder::Clear(kept)) => Reset {
            keeps_identity: kept.identity == Identity::Kept,
            keeps: kept.paths.iter().map(KeptPath::as_str).collect(),
            ..without_order("ordered")
        },
    }
}

fn health(report: Option<&HealthReport>, now: Duration) -> Health<'_> {
    let unhealthy = |state, reasons| Health {
        state,
        reasons,
        notes: &[],
        healthy_after_seconds: None,
        healthy_for_seconds: None,
    };
    let healthy = |state, after_seconds, notes| Health {
        state,
        reasons: &[],
        notes,
        healthy_after_seconds: Some(after_seconds),
        healthy_for_seconds: Some(seconds(elapsed(after_seconds, now))),
    };
    match report {
        None => unhealthy("not_checked", &[]),
        Some(HealthReport::Checking { reasons }) => unhealthy("checking", reasons),
        Some(HealthReport::Unhealthy { reasons, .. }) => unhealthy("unhealthy", reasons),
        Some(HealthReport::Soaking {
            healthy_after_seconds,
            notes,
        }) => healthy("soaking", *healthy_after_seconds, notes),
        Some(HealthReport::Healthy {
            healthy_after_seconds,
            notes,
        }) => healthy("healthy", *healthy_after_seconds, notes),
    }
}

fn provision(record: Option<&Record>) -> Provision<'_> {
    let (state, reasons) = match record.map(|record| &record.outcome) {
        None => ("not_looked_for", Vec::new()),
        Some(Outcome::Nothing) => ("nothing", Vec::new()),
        Some(Outcome::Applied) => ("applied", Vec::new()),
        Some(Outcome::Deferred { addresses }) => ("deferred", texts(addresses)),
        Some(Outcome::Refused { problems }) => ("refused", texts(problems)),
        Some(Outcome::Failed { reason }) => ("failed", vec![reason.as_str()]),
    };
    Provision {
        state,
        reasons,
        source: record.and_then(|record| record.source.as_deref()),
        digest: record.and_then(|record| record.digest.as_deref()),
    }
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
