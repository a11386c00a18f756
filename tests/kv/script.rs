//! Requests that random ones would not find: other endpoints, members, users and roles, and what is
//! no HTTP.
//!
//! Nothing here adds or removes a member: one member cannot agree on a second that never starts.

use crate::request::{Request, own_peer_url};

/// `root:p`, `a:q`, `a:wrong`, `nobody:x` and something that is no name and password.
const ROOT: &str = "cm9vdDpw";
const A: &str = "YTpx";
const WRONG: &str = "YTp3cm9uZw==";
const NOBODY: &str = "bm9ib2R5Ong=";
const MALFORMED: &str = "!!!";

/// Endpoints, methods and paths.
pub(crate) fn endpoints() -> Vec<Request> {
    let mut requests = Vec::new();
    for path in [
        "/",
        "/x",
        "/v2",
        "/v2/",
        "/v2/keysx",
        "/v2/stats",
        "/v2/stats/self",
        "/v2/stats/store",
        "/v2/stats/leader",
        "/v2/stats/leader/",
        "/v2/auth",
        "/v2/auth/enable",
        "/v2/auth/enable/",
        "/version",
        "/version/",
        "/health",
        "/v2/machines/",
        "/v2/members",
        "/v2/members/",
        "/v2/members/leader",
        "/v2/members/x",
        "/v2/keys/p/%2e%2e/machines",
        "/v2/keys//p?recursive=true",
        "/v2//keys",
        "/v2/keys/p/a%2Fb",
        "/v2/keys/p/%3F!*'()[]@$,:=",
    ] {
        requests.push(Request::new("GET", path));
    }
    for (method, path) in [
        ("PATCH", "/v2/keys/p"),
        ("get", "/v2/keys/p"),
        ("OPTIONS", "/v2/keys/p"),
        ("PUT", "/v2/keys/p//a"),
        ("POST", "/v2/machines"),
        ("POST", "/v2/stats/self"),
        ("PUT", "/v2/stats/store"),
        ("DELETE", "/v2/stats/leader"),
        ("POST", "/version"),
        ("POST", "/health"),
        ("HEAD", "/v2/members"),
        ("PATCH", "/v2/members"),
        ("POST", "/v2/auth/enable"),
        ("PUT", "/v2/auth/users"),
        ("PUT", "/v2/auth/roles/"),
        ("POST", "/v2/auth/roles/x"),
        ("PATCH", "/v2/auth/users/x"),
    ] {
        requests.push(Request::new(method, path));
    }
    requests
}

/// What is no HTTP, or hardly.
pub(crate) fn malformed() -> Vec<Request> {
    let mut requests = vec![
        Request::new("GET", "/v2/keys/%zz"),
        Request::new("GET", "/v2/keys/%"),
        Request::new("PUT", "/v2/keys/p/a").header("Content-Length", "x"),
        Request::new("FOO", ""),
        Request::new("", ""),
    ];
    let mut bad_header = Request::new("GET", "/v2/keys/p/a");
    bad_header.headers.push_str("bad header\r\n");
    requests.push(bad_header);
    requests.into_iter().map(Request::malformed).collect()
}

/// Requests about members that are all refused.
pub(crate) fn members() -> Vec<Request> {
    let mut requests = Vec::new();
    let own = format!("{{\"peerURLs\":[\"{}\"]}}", own_peer_url());
    for body in [
        "",
        "{",
        "[1]",
        "null x",
        "{\"peerURLs\":[]}",
        "{\"peerURLs\":null}",
        "{\"peerURLs\":\"x\"}",
        "{\"peerURLs\":{}}",
        "{\"peerURLs\":[true]}",
        "{\"peerURLs\":[\"http://a:80\", 5]}",
        "{\"peerURLs\":[\"x\"]}",
        "{\"peerURLs\":[\"\"]}",
        "{\"peerURLs\":[\"ftp://a:1\"]}",
        "{\"peerURLs\":[\"http://a\"]}",
        "{\"peerURLs\":[\"http://a:1/b\"]}",
        "{\"peerURLs\":[\"http://a:1\",\"http://a:x\"]}",
        "{\"peerURLs\":[\"http://%zz:1\"]}",
        "{\"peerURLs\":[\":1\"]}",
        "{\"peerURLs\":[\"a:1:2/b\"]}",
        "{\"peerURLs\":[\"1:2\"]}",
        "{\"peerURLs\":[\"http://::1:2\"]}",
        "{\"peerURLs\":[\"unix:///a\"]}",
        "{\"peerURLs\" 1}",
        "{\"peerURLs\":[1 2]}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
        own.as_str(),
    ] {
        requests.push(Request::new("POST", "/v2/members").json(body));
    }
    for (method, path) in [
        ("DELETE", "/v2/members"),
        ("DELETE", "/v2/members/"),
        ("DELETE", "/v2/members/zz"),
        ("DELETE", "/v2/members/12"),
        ("DELETE", "/v2/members/leader"),
        ("DELETE", "/v2/members/0000012"),
        ("DELETE", "/v2/members/12345678901234567"),
        ("PUT", "/v2/members"),
        ("PUT", "/v2/members/zz"),
    ] {
        requests.push(Request::new(method, path));
    }
    let update = || Request::new("PUT", "/v2/members/12");
    requests.push(update().json("{\"peerURLs\":[\"http://127.0.0.1:5\"]}"));
    requests.push(update().json("{"));
    requests.push(update().form("x"));
    requests.push(update().header("Content-Type", "Text/JSON; x").body("x"));
    requests
}

fn user(name: &str, body: &str) -> Request {
    Request::new("PUT", &format!("/v2/auth/users/{name}")).body(body)
}

fn role(name: &str, body: &str) -> Request {
    Request::new("PUT", &format!("/v2/auth/roles/{name}")).body(body)
}

fn get(path: &str) -> Request {
    Request::new("GET", path)
}

fn delete(path: &str) -> Request {
    Request::new("DELETE", path)
}

fn enable(method: &str) -> Request {
    Request::new(method, "/v2/auth/enable")
}

/// Users and roles while they do not matter. At the end there are the user `a` (password `q`) with
/// the role `r`, and the role `s`.
pub(crate) fn users_and_roles() -> Vec<Request> {
    let read_x = "{\"kv\":{\"read\":[\"/x\"]}}";
    let read_p =
        "{\"role\":\"r\",\"grant\":{\"kv\":{\"read\":[\"/p/open/*\"],\"write\":[\"/p/open/w\"]}}}";
    vec![
        enable("PUT"),
        enable("DELETE"),
        get("/v2/auth/users"),
        get("/v2/auth/users/"),
        get("/v2/auth/roles"),
        get("/v2/auth/users/a"),
        get("/v2/auth/users/a/b"),
        user("a", ""),
        user("a", "{}"),
        user("a", "[]"),
        user("a", "{\"user\":5}"),
        user("a", "{\"user\":\"a\"}"),
        user("a", "{\"user\":\"a\",\"grant\":[\"r\"]}"),
        role("r", "{\"role\":\"r\"}"),
        role("r", "{\"role\":\"r\"}"),
        get("/v2/auth/roles/r"),
        role(
            "s",
            "{\"role\":\"s\",\"permissions\":{\"kv\":{\"read\":[\"/a/*\"],\"write\":[\"/b\"]}}}",
        ),
        role("q", &format!("{{\"role\":\"q\",\"grant\":{read_x}}}")),
        role("r", &format!("{{\"role\":\"r\",\"grant\":{read_x}}}")),
        role("r", &format!("{{\"role\":\"r\",\"grant\":{read_x}}}")),
        role("r", &format!("{{\"role\":\"r\",\"revoke\":{read_x}}}")),
        role("r", &format!("{{\"role\":\"r\",\"revoke\":{read_x}}}")),
        role(
            "r",
            &format!("{{\"role\":\"r\",\"grant\":{read_x},\"permissions\":{read_x}}}"),
        ),
        role("r", read_p),
        role("root", "{\"role\":\"root\"}"),
        role("r", "{\"role\":\"s\"}"),
        get("/v2/auth/roles/zzz"),
        delete("/v2/auth/roles/zzz"),
        delete("/v2/auth/roles/root"),
        delete("/v2/auth/users/zzz"),
        user("a", "{\"user\":\"a\",\"password\":\"p\"} xx"),
        user("a", "{\"user\":\"a\",\"password\":\"p\",\"roles\":[\"r\"]}"),
        user("a", "{\"user\":\"a\",\"password\":\"q\"}"),
        user("a", "{\"user\":\"a\",\"grant\":[\"r\"]}"),
        user("a", "{\"user\":\"a\",\"grant\":[\"r\"]}"),
        user("a", "{\"user\":\"a\",\"revoke\":[\"s\"]}"),
        user("a", "{\"user\":\"a\",\"revoke\":[\"r\"],\"roles\":[\"x\"]}"),
        get("/v2/auth/users/a"),
        user(
            "b",
            "{\"USER\":\"b\",\"password\":\"p\",\"roles\":[\"r\",\"s\"]}",
        ),
        get("/v2/auth/users"),
        get("/v2/auth/roles"),
        delete("/v2/auth/users/b"),
    ]
}

/// A write after users or roles changed: how many indexes that took may differ.
fn written_by_root() -> Request {
    Request::new("PUT", "/v2/keys/p/between").user(ROOT)
}

/// The same with users that matter, and off again at the end.
pub(crate) fn with_authentication() -> Vec<Request> {
    let mut requests = vec![
        Request::new("PUT", "/v2/keys/p/open/w").form("value=x"),
        Request::new("PUT", "/v2/keys/p/closed").form("value=x"),
        user("root", "{\"user\":\"root\",\"password\":\"p\"}"),
        enable("PUT"),
        enable("PUT"),
        enable("PUT").user(ROOT),
        written_by_root(),
        enable("DELETE").user(A),
        enable("GET"),
        delete("/v2/auth/users/root").user(ROOT),
        get("/v2/auth/roles").user(ROOT),
        get("/v2/auth/roles"),
        get("/v2/auth/users/a").user(A),
        role("x", "{").user(WRONG),
        get("/v2/members"),
        Request::new("POST", "/v2/members").json("{"),
        Request::new("POST", "/v2/members").json("{").user(ROOT),
        get("/v2/keys/p/closed"),
        role(
            "guest",
            "{\"role\":\"guest\",\"revoke\":{\"kv\":{\"read\":[\"/*\"],\"write\":[\"/*\"]}}}",
        )
        .user(ROOT),
        written_by_root(),
        Request::new("PUT", "/v2/keys/p/closed?prevIndex=x"),
    ];
    for credentials in [
        None,
        Some(A),
        Some(ROOT),
        Some(WRONG),
        Some(NOBODY),
        Some(MALFORMED),
    ] {
        for request in [
            get("/v2/keys/p/closed"),
            get("/v2/keys/p/open/w"),
            Request::new("PUT", "/v2/keys/p/open/w?value=y"),
        ] {
            requests.push(match credentials {
                Some(credentials) => request.user(credentials),
                None => request,
            });
        }
    }
    requests.extend([
        get("/v2/keys/p/open").user(A),
        get("/v2/keys/p/open/w?recursive=true").user(A),
        get("/v2/keys/p?recursive=true").user(A),
        Request::new("PUT", "/v2/keys/p/open/v?value=y").user(A),
        delete("/v2/keys/p/open/w?recursive=true").user(A),
        delete("/v2/keys/p/open/w").user(A),
        enable("DELETE").user(ROOT),
        delete("/v2/auth/users/root"),
        delete("/v2/auth/users/a"),
        delete("/v2/auth/roles/r"),
        delete("/v2/auth/roles/s"),
        delete("/v2/auth/roles/guest"),
        get("/v2/auth/users"),
        get("/v2/auth/roles"),
    ]);
    requests
}
