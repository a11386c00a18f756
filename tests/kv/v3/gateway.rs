//! The JSON gateway: the same requests to etcd's and to kvd's.
//!
//! Not compared: the texts about JSON that cannot be read, which are those of its parser.

use anyhow::{Context, Result, ensure};

use super::normal::Numbers;
use crate::raw_http::Connection;
use crate::server::Server;

/// What is answered to a request of the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    content_type: String,
    body: String,
}

impl Answer {
    /// A field that holds a text without escapes.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("\"{name}\":\""))?;
        Some(rest.split_once('"')?.0)
    }
}

fn begin(
    server: &Server,
    version: &str,
    path: &str,
    body: &str,
    token: &str,
) -> Result<Connection> {
    let mut connection = Connection::open(server.address)?;
    let length = body.len();
    let token = match token {
        "" => String::new(),
        token => format!("Authorization: {token}\r\n"),
    };
    connection.send(
        format!(
            "POST {path} HTTP/{version}\r\nHost: test\r\n{token}Content-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    Ok(connection)
}

/// Asks a server, in a version of HTTP without chunks: etcd ends them as is not understood here.
pub(super) fn post(server: &Server, path: &str, body: &str, token: &str) -> Result<Answer> {
    let mut connection = begin(server, "1.0", path, body, token)?;
    let head = connection.read_head()?;
    let body = connection.read_body(&head, false)?;
    Ok(Answer {
        status: head.status,
        content_type: head.header("content-type").unwrap_or_default().to_owned(),
        body: String::from_utf8(body)?,
    })
}

/// The first lines of a stream.
fn lines(server: &Server, path: &str, body: &str, count: usize) -> Result<Vec<String>> {
    let mut connection = begin(server, "1.1", path, body, "")?;
    let head = connection.read_head()?;
    let mut text = String::new();
    while text.matches('\n').count() < count {
        let chunk = connection.read_chunk(&head)?;
        text += std::str::from_utf8(&chunk.with_context(|| format!("it ended: {text}"))?)?;
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// A message without its head.
fn headless(json: &str) -> String {
    let Some((before, rest)) = json.split_once("\"header\":{") else {
        return json.to_owned();
    };
    let rest = rest.split_once('}').map_or("", |(_, rest)| rest);
    format!("{before}{rest}")
}

/// A server and how it counts.
struct Peer {
    server: Server,
    numbers: Numbers,
}

impl Peer {
    fn new(server: Server) -> Result<Self> {
        // The lease that requests name.
        post(&server, "/v3/lease/grant", r#"{"TTL":100,"ID":"5"}"#, "")?;
        let put = post(&server, "/v3/kv/put", r#"{"key":"Zmlyc3Q="}"#, "")?;
        let revision = put.field("revision").context("no revision")?.parse()?;
        let numbers = Numbers::since(revision);
        Ok(Self { server, numbers })
    }

    fn ask(&self, path: &str, body: &str) -> Result<Answer> {
        let mut answer = post(&self.server, path, body, "")?;
        answer.body = self.numbers.normalize(&answer.body);
        Ok(answer)
    }

    /// Without their heads, which tell how far either has come.
    fn lines(&self, path: &str, body: &str, count: usize) -> Result<Vec<String>> {
        let lines = lines(&self.server, path, body, count)?.into_iter();
        let normal = |line: String| headless(&self.numbers.normalize(&line));
        Ok(lines.map(normal).collect())
    }
}

fn peers() -> Result<[Peer; 2]> {
    Ok([Peer::new(Server::etcd()?)?, Peer::new(Server::kvd()?)?])
}

/// Keys `a`, `b`, `c` are `YQ==`, `Yg==`, `Yw==`.
const REQUESTS: &[(&str, &str)] = &[
    ("/v3/kv/put", r#"{"key":"YQ==","value":"Yg=="}"#),
    (
        "/v3/kv/put",
        r#"{"key":"YQ==","value":"/+8=","prev_kv":true}"#,
    ),
    (
        "/v3/kv/put",
        r#"{"key":"YWE=","prevKv":true,"nothing":[{}]}"#,
    ),
    ("/v3/kv/put", r#"{"key":"YQ==","ignore_value":true}"#),
    ("/v3/kv/put", r#"{"key":"YQ==","lease":"77"}"#),
    ("/v3/kv/put", r#"{"key":"YQ==","lease":77}"#),
    ("/v3/kv/put", "{}"),
    ("/v3/kv/put", ""),
    ("/v3/kv/put", "null"),
    ("/v3/kv/put", r#"{"key":null}"#),
    ("/v3beta/kv/range", r#"{"key":"YQ=="}"#),
    ("/v3/kv/range", r#"{"key":"YQ==","range_end":"AA=="}"#),
    (
        "/v3/kv/range",
        r#"{"key":"YQ==","rangeEnd":"Yg==","limit":"1"}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"YQ==","range_end":"Yg==","limit":1}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","range_end":"AA==","sort_order":"DESCEND","sort_target":"MOD"}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","range_end":"AA==","sort_order":2,"sort_target":1,"keys_only":true}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","range_end":"AA==","count_only":true}"#,
    ),
    ("/v3/kv/range", r#"{"key":"YQ==","serializable":true}"#),
    ("/v3/kv/range", r#"{"key":"YQ==","revision":"1000000"}"#),
    ("/v3/kv/range", r#"{"key":"bm9uZQ=="}"#),
    ("/v3/kv/range", "{}"),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"target":"VERSION","result":"GREATER","key":"YQ==","version":"1"}],
            "success":[{"request_put":{"key":"YQ==","value":"Yw=="}},
                       {"requestRange":{"key":"YQ=="}},
                       {"request_delete_range":{"key":"YWE=","prev_kv":true}}],
            "failure":[]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"target":"CREATE","key":"YQ==","create_revision":"0"}],
            "failure":[{"request_txn":{"success":[{"request_range":{"key":"YQ=="}}]}}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"YQ=="}}]}"#,
    ),
    ("/v3/kv/txn", r#"{"success":[{}]}"#),
    ("/v3/kv/txn", "{}"),
    ("/v3/kv/deleterange", r#"{"key":"YQ==","prev_kv":true}"#),
    ("/v3/kv/deleterange", r#"{"key":"YQ=="}"#),
    ("/v3/kv/compaction", r#"{"revision":"1000000"}"#),
    ("/v3/lease/grant", r#"{"TTL":100,"ID":"5"}"#),
    ("/v3/lease/grant", r#"{"TTL":"100","ID":5}"#),
    ("/v3/kv/put", r#"{"key":"Yg==","lease":"5"}"#),
    ("/v3/lease/keepalive", r#"{"ID":"5"}"#),
    ("/v3/lease/keepalive", r#"{"ID":"5"}{"ID":6} {"ID":"5"}"#),
    ("/v3/lease/timetolive", r#"{"ID":"6","keys":true}"#),
    ("/v3/kv/lease/timetolive", r#"{"ID":"7"}"#),
    ("/v3/lease/leases", "{}"),
    ("/v3/kv/lease/leases", "{}"),
    ("/v3/lock/lock", r#"{"name":"bA==","lease":"5"}"#),
    ("/v3/lock/unlock", r#"{"key":"bC81"}"#),
    (
        "/v3/election/campaign",
        r#"{"name":"ZQ==","lease":5,"value":"dg=="}"#,
    ),
    ("/v3/election/leader", r#"{"name":"ZQ=="}"#),
    ("/v3/election/leader", r#"{"name":"bm9uZQ=="}"#),
    ("/v3/election/proclaim", r#"{"value":"YQ=="}"#),
    (
        "/v3/election/proclaim",
        r#"{"value":"YQ==","leader":{"name":"ZQ==","key":"ZS81","rev":"1","lease":5}}"#,
    ),
    ("/v3/election/resign", "{}"),
    ("/v3/lease/revoke", r#"{"ID":"9"}"#),
    ("/v3/kv/lease/revoke", r#"{"ID":"5"}"#),
    ("/v3/cluster/member/remove", r#"{"ID":"1"}"#),
    ("/v3/cluster/member/promote", r#"{"ID":1}"#),
    (
        "/v3/cluster/member/update",
        r#"{"ID":1,"peerURLs":["http://127.0.0.1:1"]}"#,
    ),
    ("/v3/maintenance/transfer-leadership", r#"{"targetID":"1"}"#),
    ("/v3/auth/enable", "{}"),
    ("/v3/auth/authenticate", r#"{"name":"x","password":"y"}"#),
    ("/v3/auth/user/get", r#"{"name":"x"}"#),
    ("/v3/nothing", "{}"),
    ("/v3/kv/range/", r#"{"key":"YQ=="}"#),
];

#[test]
fn requests_are_answered_as_etcds_gateway_answers_them() -> Result<()> {
    let [etcd, kvd] = peers()?;
    for (path, body) in REQUESTS {
        let (wanted, got) = (etcd.ask(path, body)?, kvd.ask(path, body)?);
        ensure!(
            wanted == got,
            "{path} {body}\netcd: {wanted:?}\nkvd:  {got:?}"
        );
    }
    // Other than keys, which take a revision with etcd too.
    for (path, body) in [
        ("/v3/auth/user/add", r#"{"name":"root","password":"r"}"#),
        ("/v3/auth/user/add", r#"{"name":"root","password":"r"}"#),
        ("/v3/auth/role/add", r#"{"name":"root"}"#),
        ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
        ("/v3/auth/role/add", r#"{"name":"r"}"#),
        (
            "/v3/auth/role/grant",
            r#"{"name":"r","perm":{"key":"YQ==","permType":"READWRITE","range_end":"Yg=="}}"#,
        ),
        ("/v3/auth/role/get", r#"{"role":"r"}"#),
        ("/v3/auth/user/get", r#"{"name":"root"}"#),
        ("/v3/auth/user/list", "{}"),
        ("/v3/auth/role/list", "{}"),
        ("/v3/auth/enable", "{}"),
        ("/v3/kv/put", r#"{"key":"YQ=="}"#),
        ("/v3/watch", r#"{"create_request":{"key":"YQ=="}}"#),
        ("/v3/auth/authenticate", r#"{"name":"root","password":"x"}"#),
    ] {
        let ask = |peer: &Peer| -> Result<String> {
            if path == "/v3/watch" {
                let lines = lines(&peer.server, path, body, 1)?;
                return Ok(headless(&lines.join("\n")));
            }
            let answer = post(&peer.server, path, body, "")?;
            Ok(format!("{} {}", answer.status, headless(&answer.body)))
        };
        let (wanted, got) = (ask(&etcd)?, ask(&kvd)?);
        ensure!(wanted == got, "{path} {body}\netcd: {wanted}\nkvd:  {got}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused_as_such() -> Result<()> {
    let [etcd, kvd] = peers()?;
    for body in [
        "x",
        "[]",
        r#"{"key":"YQ"#,
        r#"{"key":"%%"}"#,
        r#"{"key":1}"#,
        r#"{"key":"YQ==","lease":"x"}"#,
        r#"{"key":"YQ==","lease":1.5}"#,
        r#"{"key":"YQ==","prev_kv":1}"#,
    ] {
        for peer in [&etcd, &kvd] {
            let answer = peer.ask("/v3/kv/put", body)?;
            let is_refused = answer.status == 400 && answer.body.ends_with(r#","code":3}"#);
            ensure!(is_refused, "{body}: {answer:?}");
        }
    }
    Ok(())
}

#[test]
fn streams_are_lines() -> Result<()> {
    let [etcd, kvd] = peers()?;
    let told = |peer: &Peer| -> Result<Vec<Vec<String>>> {
        let from = peer.numbers.base() + 1;
        peer.ask("/v3/kv/put", r#"{"key":"YQ==","value":"Yg=="}"#)?;
        peer.ask("/v3/kv/deleterange", r#"{"key":"YQ=="}"#)?;
        let all = format!(
            r#"{{"create_request":{{"key":"YQ==","start_revision":"{from}","prev_kv":true,"watch_id":7}}}}"#
        );
        let puts = format!(
            r#"{{"create_request":{{"key":"YQ==","startRevision":{from},"filters":["NODELETE"]}}}}"#
        );
        let twice = r#"{"create_request":{"key":"YQ=="}}{"cancel_request":{"watch_id":0}}"#;
        let value = r#"{"name":"ZQ==","lease":5,"value":"dg=="}"#;
        peer.ask("/v3/election/campaign", value)?;
        Ok(vec![
            peer.lines("/v3/watch", &all, 2)?,
            peer.lines("/v3/watch", &puts, 2)?,
            peer.lines("/v3/watch", twice, 2)?,
            peer.lines("/v3/election/observe", r#"{"name":"ZQ=="}"#, 1)?,
        ])
    };
    let (wanted, got) = (told(&etcd)?, told(&kvd)?);
    ensure!(wanted == got, "etcd: {wanted:#?}\nkvd:  {got:#?}");
    Ok(())
}

#[test]
fn a_watch_is_told_what_happens_after_it_was_asked_for() -> Result<()> {
    let server = Server::kvd()?;
    let body = r#"{"create_request":{"key":"YQ=="}}"#;
    let mut connection = begin(&server, "1.1", "/v3/watch", body, "")?;
    let head = connection.read_head()?;
    let mut next = || -> Result<String> {
        let chunk = connection.read_chunk(&head)?.context("it ended")?;
        Ok(String::from_utf8(chunk)?)
    };
    let created = next()?;
    ensure!(created.contains("\"created\":true"), "{created}");
    for value in ["b25l", "dHdv"] {
        let put = format!(r#"{{"key":"YQ==","value":"{value}"}}"#);
        post(&server, "/v3/kv/put", &put, "")?;
        let told = next()?;
        ensure!(told.contains(value) && told.ends_with("}}\n"), "{told}");
    }
    Ok(())
}
