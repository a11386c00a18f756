//! What an address means.
//!
//! Whether the method fits is for whoever answers.

use fleet_api::path::{OLD_PREFIX, PREFIX};
use percent_encoding::percent_decode_str;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A file of the web page.
    Page(String),
    Metrics,
    Discovery,
    Units,
    Unit(String),
    UnitExplanation(String),
    UnitMove(String),
    UnitStatus(String),
    UnitJournal(String),
    /// A unit that is not stored.
    Explanation,
    States,
    State(String),
    Machines,
    Availability(String),
    Usage,
    Events,
    Nothing,
}

/// Reads a path, without the query.
pub(crate) fn route(path: &str) -> Route {
    if path == "/metrics" {
        return Route::Metrics;
    }
    let below = [PREFIX, OLD_PREFIX].into_iter().find_map(|prefix| {
        let rest = path.strip_prefix(prefix)?;
        rest.strip_prefix('/')
    });
    let Some(below) = below else {
        return page(path);
    };
    let segments: Option<Vec<String>> = below.split('/').map(decoded).collect();
    let segments = segments.unwrap_or_default();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let owned = |name: &&str| (*name).to_owned();
    match words.as_slice() {
        ["discovery"] => Route::Discovery,
        ["units"] => Route::Units,
        ["units", name] if !name.is_empty() => Route::Unit(owned(name)),
        ["units", name, "explain"] => Route::UnitExplanation(owned(name)),
        ["units", name, "move"] => Route::UnitMove(owned(name)),
        ["units", name, "status"] => Route::UnitStatus(owned(name)),
        ["units", name, "journal"] => Route::UnitJournal(owned(name)),
        ["explain"] => Route::Explanation,
        ["state"] => Route::States,
        ["state", name] if !name.is_empty() => Route::State(owned(name)),
        ["machines"] => Route::Machines,
        ["machines", id, "availability"] => Route::Availability(owned(id)),
        ["usage"] => Route::Usage,
        ["events"] => Route::Events,
        _ => Route::Nothing,
    }
}

fn page(path: &str) -> Route {
    match path.strip_prefix('/') {
        Some(file) if !file.contains('/') => Route::Page(file.to_owned()),
        _ => Route::Nothing,
    }
}

fn decoded(segment: &str) -> Option<String> {
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_prefixes_are_known() {
        let name = || "a@1.service".to_owned();
        for (path, expected) in [
            ("/", Route::Page(String::new())),
            ("/page.js", Route::Page("page.js".to_owned())),
            ("/metrics", Route::Metrics),
            ("/fleet/v1/discovery", Route::Discovery),
            ("/v1-alpha/units", Route::Units),
            ("/fleet/v1/units/a%401.service", Route::Unit(name())),
            (
                "/fleet/v1/units/a@1.service/journal",
                Route::UnitJournal(name()),
            ),
            ("/fleet/v1/units/a@1.service/other", Route::Nothing),
            ("/fleet/v1/units/", Route::Nothing),
            ("/fleet/v1/units/%ff", Route::Nothing),
            ("/fleet/v1/state/a@1.service", Route::State(name())),
            (
                "/fleet/v1/machines/m1/availability",
                Route::Availability("m1".to_owned()),
            ),
            ("/fleet/v1", Route::Nothing),
            ("/fleet/v2/units", Route::Nothing),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}
