//! The same call for many units, several of them under way at a time.
//!
//! The bus lets a client wait for 128 answers at once; this stays well below.

use futures::StreamExt as _;
use systemd_unit::UnitName;

use crate::systemd::SystemdError;

/// How many calls are under way.
const PARALLEL: usize = 32;

/// Calls for every unit; the results in the same order.
pub(crate) async fn all<'a, F, T>(
    names: &'a [UnitName],
    call: impl Fn(&'a UnitName) -> F,
) -> Vec<Result<T, SystemdError>>
where
    F: Future<Output = Result<T, SystemdError>>,
{
    let calls = futures::stream::iter(names.iter().map(call));
    calls.buffered(PARALLEL).collect().await
}

/// Calls for every unit; failures are only logged.
pub(crate) async fn each<'a, F>(names: &'a [UnitName], call: impl Fn(&'a UnitName) -> F)
where
    F: Future<Output = Result<(), SystemdError>>,
{
    for error in all(names, call).await.into_iter().filter_map(Result::err) {
        tracing::warn!("{}", full_text(&error));
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
