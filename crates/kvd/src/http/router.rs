//! Finds what serves a path, as etcd's tables of handlers do.
//!
//! Methods are the handlers' affair.
use std::borrow::Cow;

use etcd_v2::path;

use super::v3::Wish;

/// What is served at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// Keys, with the path after `/v2/keys`, still escaped.
    Keys(Cow<'a, str>),
    /// The members, with what follows `/v2/members/`, unescaped.
    Members(Cow<'a, str>),
    /// A member to be replaced, by its id, unescaped. Ours alone.
    Replacement(Cow<'a, str>),
    /// A copy of everything. Ours alone.
    Snapshot,
    /// The clients' URLs as text.
    Machines,
    /// This member's figures.
    SelfStatistics,
    /// The leader's figures.
    LeaderStatistics,
    /// The store's figures.
    StoreStatistics,
    /// Whether users matter.
    AuthEnable,
    /// The users, with what follows `/v2/auth/users`, unescaped.
    Users(Cow<'a, str>),
    /// The roles, with what follows `/v2/auth/roles`, unescaped.
    Roles(Cow<'a, str>),
    /// The version.
    Version,
    /// Whether clients can be served.
    Health,
    /// Whether this process is alive.
    Live,
    /// Whether clients can be served, as text.
    Ready,
    /// Figures for Prometheus.
    Metrics,
    /// How much is logged.
    LogLevel,
    /// A slot of the reboot lock, taken or given back.
    FleetLock(Wish),
    /// It should have been written so.
    Moved(String),
    /// The path cannot be read.
    Malformed,
    /// Nothing.
    Nothing,
}

/// Finds what serves a path.
pub(super) fn route<'a>(escaped_path: &'a str, query: Option<&str>) -> Route<'a> {
    if let Some(rest) = after(escaped_path, "/v2/keys")
        && is_plain(escaped_path)
    {
        return Route::Keys(Cow::Borrowed(rest));
    }
    match path::redirect(escaped_path, query) {
        Ok(Some(location)) => return Route::Moved(location),
        // The parser of keys tells the client what is wrong with its path.
        Err(_) if after(escaped_path, "/v2/keys").is_some() => {}
        Err(_) => return Route::Malformed,
        Ok(None) => {}
    }
    if let Some(rest) = after(escaped_path, "/v2/keys") {
        return Route::Keys(Cow::Borrowed(rest));
    }
    if escaped_path.contains('%') {
        return match path::unescape(escaped_path) {
            Ok(path) => owned(find(&path)),
            Err(_) => Route::Malformed,
        };
    }
    find(escaped_path)
}

/// Nothing in it is escaped or to be cleaned.
fn is_plain(path: &str) -> bool {
    let mut before = b' ';
    path.bytes().all(|byte| {
        let is_odd = byte == b'%' || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        !is_odd
    })
}

/// What follows a path that is served with all below it.
fn after<'a>(path: &'a str, served: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(served)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn find(path: &str) -> Route<'_> {
    match path {
        "/v2/machines" => return Route::Machines,
        "/v2/stats/self" => return Route::SelfStatistics,
        "/v2/stats/leader" => return Route::LeaderStatistics,
        "/v2/stats/store" => return Route::StoreStatistics,
        "/v2/auth/enable" => return Route::AuthEnable,
        "/version" => return Route::Version,
        "/health" => return Route::Health,
        "/livez" => return Route::Live,
        "/readyz" => return Route::Ready,
        "/metrics" => return Route::Metrics,
        "/config/local/log" => return Route::LogLevel,
        "/kvd/snapshot" => return Route::Snapshot,
        "/v1/pre-reboot" => return Route::FleetLock(Wish::PreReboot),
        "/v1/steady-state" => return Route::FleetLock(Wish::SteadyState),
        _ => {}
    }
    let rest = |served| after(path, served);
    if let Some(rest) = rest("/v2/keys") {
        return Route::Keys(Cow::Owned(path::escape(rest)));
    }
    if let Some(rest) = rest("/v2/members") {
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        return Route::Members(Cow::Borrowed(rest));
    }
    if let Some(rest) = rest("/v2/auth/users") {
        return Route::Users(Cow::Borrowed(rest));
    }
    if let Some(rest) = rest("/v2/auth/roles") {
        return Route::Roles(Cow::Borrowed(rest));
    }
    if let Some(id) = replaced_member(path) {
        return Route::Replacement(Cow::Borrowed(id));
    }
    Route::Nothing
}

/// The id in `/kvd/members/ID/replace`.
fn replaced_member(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/kvd/members/")?;
    let id = rest.strip_suffix("/replace")?;
    (!id.contains('/')).then_some(id)
}

fn owned(route: Route<'_>) -> Route<'static> {
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    match route {
        Route::Keys(rest) => Route::Keys(own(rest)),
        Route::Members(rest) => Route::Members(own(rest)),
        Route::Replacement(id) => Route::Replacement(own(id)),
        Route::Snapshot => Route::Snapshot,
        Route::Users(rest) => Route::Users(own(rest)),
        Route::Roles(rest) => Route::Roles(own(rest)),
        Route::Moved(location) => Route::Moved(location),
        Route::Machines => Route::Machines,
        Route::SelfStatistics => Route::SelfStatistics,
        Route::LeaderStatistics => Route::LeaderStatistics,
        Route::StoreStatistics => Route::StoreStatistics,
        Route::AuthEnable => Route::AuthEnable,
        Route::Version => Route::Version,
        Route::Health => Route::Health,
        Route::Live => Route::Live,
        Route::Ready => Route::Ready,
        Route::Metrics => Route::Metrics,
        Route::LogLevel => Route::LogLevel,
        Route::FleetLock(wish) => Route::FleetLock(wish),
        Route::Malformed => Route::Malformed,
        Route::Nothing => Route::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::{Route, Wish, route};

    #[test]
    fn paths_are_found_as_etcd_finds_them() {
        let keys = |rest: &'static str| Route::Keys(rest.into());
        let moved = |to: &str| Route::Moved(to.to_owned());
        let cases = [
            ("/v2/keys", keys("")),
            ("/v2/keys/", keys("/")),
            ("/v2/keys/a/b/", keys("/a/b/")),
            ("/v2/keys/a.b/c%20d", keys("/a.b/c%20d")),
            ("/v2/keys/a%2Fb", keys("/a%2Fb")),
            ("/v2%2Fkeys/a%20b", keys("/a%20b")),
            ("/v2/keysx", Route::Nothing),
            ("/v2/keys//a", moved("/v2/keys/a")),
            ("/v2/keys/a%2F%2Fb", moved("/v2/keys/a/b")),
            ("/v2/keys/../members", moved("/v2/members")),
            ("/v2/keys/.hidden", keys("/.hidden")),
            ("/v2/members", Route::Members("".into())),
            ("/v2/members/", Route::Members("".into())),
            ("/v2/members/leader", Route::Members("leader".into())),
            ("/v2/members/a/b", Route::Members("a/b".into())),
            ("/kvd/members/1f/replace", Route::Replacement("1f".into())),
            ("/kvd/members/1/f/replace", Route::Nothing),
            ("/kvd/members/1f", Route::Nothing),
            ("/kvd/snapshot", Route::Snapshot),
            ("/v2/machines", Route::Machines),
            ("/v2/machines/", Route::Nothing),
            ("/v2/auth/users/a%20b", Route::Users("/a b".into())),
            ("/v2/auth/roles/", Route::Roles("/".into())),
            ("/v2/auth/enable/", Route::Nothing),
            ("/v2/stats", Route::Nothing),
            ("/v1/pre-reboot", Route::FleetLock(Wish::PreReboot)),
            ("/v1/steady-state", Route::FleetLock(Wish::SteadyState)),
            ("/v1/steady-state/", Route::Nothing),
            ("/version", Route::Version),
            ("/version/", Route::Nothing),
            ("/", Route::Nothing),
            ("/a%zz", Route::Malformed),
            ("/v2/keys/a%zz", keys("/a%zz")),
        ];
        for (path, wanted) in cases {
            assert_eq!(route(path, None), wanted, "{path}");
        }
        assert_eq!(route("//version", Some("a=b&c")), moved("/version?a=b&c"));
    }
}
