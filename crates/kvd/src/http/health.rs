//! Whether clients can be served: `/health`, `/livez` and `/readyz`; and `/version`.
//!
//! etcd may say it is healthy while every read hangs. Here a check does what clients do, with a
//! deadline: a linearizable read of the store, and a command that changes nothing through the log, the
//! disk and back.
use std::time::Duration;

use etcd_v2::server::{write_health, write_version};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use kv_cluster::ProposeError;
use kv_model::{Command, UnixNanoseconds, query};
use tokio::time::timeout;

use super::answer::{Answer, json, method_not_allowed, text};
use super::state::ServerState;

/// Whose protocol is spoken: the last etcd whose servers had this API in all of their manuals.
pub(super) const SPOKEN_VERSION: &str = "3.4.23";
/// The version that all members of such a cluster have in common.
pub(super) const SPOKEN_CLUSTER_VERSION: &str = "3.4.0";

/// Why clients cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Sickness {
    #[error("no leader")]
    NoLeader,
    #[error("a linearizable read: {0}")]
    Read(String),
    #[error("a write: {0}")]
    Write(String),
    #[error("no space left: writes are refused")]
    NoSpace,
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// Answers `/version`.
pub(super) fn version(method: &Method) -> Answer {
    match *method {
        Method::GET => {
            let body = write_version(SPOKEN_VERSION, SPOKEN_CLUSTER_VERSION);
            json(StatusCode::OK, body)
        }
        _ => method_not_allowed("GET"),
    }
}

/// Answers `/health`, as etcd does. `?serializable=true` looks at this member alone,
/// `?exclude=NOSPACE` puts up with a full disk.
pub(super) async fn health(state: &ServerState, head: &Parts) -> Answer {
    if head.method != Method::GET {
        return method_not_allowed("GET");
    }
    let asked = Asked::of(head);
    match check(state, &asked).await {
        Ok(()) => text(StatusCode::OK, write_health(true).1),
        Err(sickness) => {
            tracing::warn!(%sickness, "the health check failed");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            text(status, write_health(false).1)
        }
    }
}

/// Answers `/livez`: whether this member can read its store.
pub(super) async fn live(state: &ServerState, head: &Parts) -> Answer {
    let asked = Asked {
        is_local: true,
        ..Asked::of(head)
    };
    in_words(state, head, "serializable_read", asked).await
}

/// Answers `/readyz`: whether clients can be served.
pub(super) async fn ready(state: &ServerState, head: &Parts) -> Answer {
    in_words(state, head, "linearizable_read_and_write", Asked::of(head)).await
}

async fn in_words(state: &ServerState, head: &Parts, name: &str, asked: Asked) -> Answer {
    if head.method != Method::GET {
        return method_not_allowed("GET");
    }
    match check(state, &asked).await {
        Ok(()) if asked.is_verbose => text(StatusCode::OK, format!("[+]{name} ok\nok\n")),
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(sickness) => {
            let body = format!("[-]{name} failed: {sickness}\n");
            text(StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    is_local: bool,
    may_be_full: bool,
    is_verbose: bool,
}

impl Asked {
    fn of(head: &Parts) -> Self {
        let query = head.uri.query().unwrap_or_default();
        let parameters = || query.split('&');
        Self {
            is_local: parameters().any(|one| one == "serializable=true"),
            may_be_full: parameters().any(|one| one.eq_ignore_ascii_case("exclude=NOSPACE")),
            is_verbose: parameters().any(|one| one == "verbose" || one.starts_with("verbose=")),
        }
    }
}

async fn check(state: &ServerState, asked: &Asked) -> Result<(), Sickness> {
    let time_max = state.options.health_timeout;
    let checked = timeout(time_max, examine(state, asked)).await;
    let checked = checked.unwrap_or(Err(Sickness::TimedOut(time_max)));
    match &checked {
        Ok(()) => state.metrics.health().success(),
        Err(_) => state.metrics.health().fail(),
    }
    checked
}

async fn examine(state: &ServerState, asked: &Asked) -> Result<(), Sickness> {
    let read = || query::revision(&*state.backend.view());
    let sick_read = |error: &dyn std::error::Error| Sickness::Read(error.to_string());
    if !asked.is_local {
        if state.backend.status().borrow().leader.is_none() {
            return Err(Sickness::NoLeader);
        }
        let linearized = state.backend.linearize().await;
        linearized.map_err(|error| sick_read(&error))?;
    }
    read().map_err(|error| sick_read(&error))?;
    if asked.is_local {
        return Ok(());
    }
    // Nothing expires at the beginning of time.
    let nothing = Command::Expire {
        now: UnixNanoseconds(0),
        leases: Vec::new(),
    };
    match state.backend.propose(nothing).await {
        Ok(_) => Ok(()),
        Err(ProposeError::NoSpace) if asked.may_be_full => Ok(()),
        Err(ProposeError::NoSpace) => Err(Sickness::NoSpace),
        Err(error) => Err(Sickness::Write(error.to_string())),
    }
}
