//! The same call for many units, several of them under way at a time.
//!
//! The bus lets a client wait for 128 answers at once; this stays well below.

use std::sync::Arc;

use futures::StreamExt as _;
use systemd_unit::UnitName;

use crate::systemd::{Systemd, SystemdError};

/// How many calls are under way.
const PARALLEL: usize = 32;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Start,
    Stop,
    Kill,
    ResetFailed,
    Enable,
    Disable,
}

/// Calls for every unit; the results in the same order.
pub(crate) async fn all<S: Systemd>(
    systemd: &Arc<S>,
    call: Call,
    names: &[UnitName],
) -> Vec<Result<(), SystemdError>> {
    let mut calls = Vec::with_capacity(names.len());
    for name in names {
        calls.push(one(Arc::clone(systemd), call, name.clone()));
    }
    let calls = futures::stream::iter(calls);
    calls.buffered(PARALLEL).collect().await
}

/// Calls for every unit; failures are only logged.
pub(crate) async fn each<S: Systemd>(systemd: &Arc<S>, call: Call, names: &[UnitName]) {
    for error in all(systemd, call, names)
        .await
        .into_iter()
        .filter_map(Result::err)
    {
        tracing::warn!("{}", full_text(&error));
    }
}

async fn one<S: Systemd>(systemd: Arc<S>, call: Call, name: UnitName) -> Result<(), SystemdError> {
    match call {
        Call::Start => systemd.start(&name).await,
        Call::Stop => systemd.stop(&name).await,
        Call::Kill => systemd.kill(&name).await,
        Call::ResetFailed => systemd.reset_failed(&name).await,
        Call::Enable => systemd.enable(&name).await,
        Call::Disable => systemd.disable(&name).await,
    }
}

/// An error with its causes.
pub(crate) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
