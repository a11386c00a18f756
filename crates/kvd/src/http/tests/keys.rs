//! Reads and writes of keys.
use std::sync::atomic::Ordering;

use kv_cluster::ProposeError;

use super::double::Mood;
use super::{Fixture, HttpOptions};

#[tokio::test]
async fn a_key_is_written_read_and_removed() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let put = client.form("PUT", "/v2/keys/foo", "value=bar").await;
    assert_eq!(put.status, 201);
    let json = r#"{"action":"set","node":{"key":"/foo","value":"bar","modifiedIndex":2,"createdIndex":2}}"#;
    assert_eq!(put.text().trim_end(), json);
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("X-Etcd-Cluster-Id", "c1"),
        ("X-Etcd-Index", "2"),
        ("X-Raft-Index", "11"),
        ("X-Raft-Term", "2"),
        ("Access-Control-Allow-Origin", "*"),
    ] {
        assert_eq!(put.header(name), Some(value), "{name}: {}", put.head);
    }
    let get = client.get("/v2/keys/foo").await;
    assert_eq!(get.status, 200);
    assert_eq!(get.text(), put.text().replace("set", "get"));
    assert_eq!(get.header("X-Raft-Index"), Some("11"));
    let head = client.with_headers("HEAD", "/v2/keys/foo", "", "").await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("Content-Length"), get.header("Content-Length"));
    let delete = client.form("DELETE", "/v2/keys/foo", "").await;
    assert_eq!(
        (delete.status, delete.header("X-Etcd-Index")),
        (200, Some("3"))
    );
    let gone = client.get("/v2/keys/foo").await;
    assert_eq!(gone.status, 404);
    let json = r#"{"errorCode":100,"message":"Key not found","cause":"/foo","index":3}"#;
    assert_eq!(gone.text().trim_end(), json);
    assert_eq!(gone.header("X-Etcd-Index"), Some("3"));
    assert_eq!(gone.header("X-Raft-Index"), None);
}

#[tokio::test]
async fn requests_may_be_pipelined() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let mut requests = String::new();
    for n in 0..50 {
        let request = format!(
            "PUT /v2/keys/k{n} HTTP/1.1\r\nHost: a\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue={n}",
            n = n % 10
        );
        requests.push_str(&request);
    }
    client.send(requests).await;
    for n in 0..50 {
        let reply = client.reply(true).await;
        let wanted = format!("\"key\":\"/k{}\"", n % 10);
        assert!(reply.text().contains(&wanted), "{n}: {}", reply.text());
        assert_eq!(reply.header("X-Etcd-Index"), Some(&*(n + 2).to_string()));
    }
}

#[tokio::test]
async fn what_is_refused_has_etcds_code_and_status() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let refused = client.get("/v2/keys/foo?recursive=xx").await;
    assert_eq!(refused.status, 400);
    let json = r#"{"errorCode":209,"message":"Invalid field","cause":"invalid value for \"recursive\"","index":0}"#;
    assert_eq!(refused.text().trim_end(), json);
    assert_eq!(refused.header("X-Etcd-Index"), Some("0"));
    let root = client.form("PUT", "/v2/keys/", "value=1").await;
    assert_eq!(root.status, 403.min(root.status), "{}", root.text());
    assert!(root.text().contains("\"errorCode\":10"), "{}", root.text());
    let exists = "value=1&prevExist=true";
    let absent = client.form("PUT", "/v2/keys/none", exists).await;
    assert_eq!(absent.status, 404);
}

#[tokio::test]
async fn a_body_that_was_not_understood_is_warned_about() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let json = "application/json";
    let put = client.request("PUT", "/v2/keys/a", json, "{}").await;
    assert_eq!(put.status, 201);
    assert!(put.text().contains("\"value\":\"\""));
    let warning = put.header("Warning").unwrap();
    assert!(warning.contains("application/json"), "{warning}");
}

#[tokio::test]
async fn values_may_be_any_bytes() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let octets = "application/octet-stream";
    let value = [0, 0xff, b'"', 0xc3, 0x28, b'\n'];
    let put = client.request("PUT", "/v2/keys/b", octets, value).await;
    assert_eq!(put.status, 201);
    let accept = "Accept: application/octet-stream\r\n";
    let get = client.with_headers("GET", "/v2/keys/b", accept, "").await;
    assert_eq!(get.header("Content-Type"), Some(octets));
    assert_eq!(get.body, value);
    let text = client.get("/v2/keys/b").await;
    assert!(text.text().contains("\\ufffd"), "as Go writes it");
    let listing = client.with_headers("GET", "/v2/keys/", accept, "").await;
    assert_eq!(listing.status, 403, "a directory has no bytes");
}

#[tokio::test]
async fn listings_of_any_length_are_whole_and_pages_lead_on() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    for n in 0..600 {
        let path = format!("/v2/keys/d/{n:04}");
        assert_eq!(client.form("PUT", &path, "value=x").await.status, 201);
    }
    let keys = |text: &str| text.matches("\"key\":\"/d/").count();
    let whole = client.get("/v2/keys/d").await;
    assert_eq!(keys(whole.text()), 600);
    assert_eq!(whole.header("Link"), None);
    let mut path = "/v2/keys/d?limit=250".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = client.get(&path).await;
        sizes.push(keys(page.text()));
        let Some(link) = page.header("Link") else {
            break;
        };
        let link = link.strip_prefix('<').unwrap();
        path = link.split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(sizes, [250, 250, 100]);
}

#[tokio::test]
async fn a_body_is_bounded_however_it_comes() {
    let fixture = Fixture::with_options(HttpOptions {
        request_bytes_max: 1000,
        ..HttpOptions::default()
    });
    let fits = format!("value={}", "x".repeat(994));
    let put = fixture.client().form("PUT", "/v2/keys/a", &fits).await;
    assert_eq!(put.status, 201);
    let mut client = fixture.client();
    let large = format!("value={}", "x".repeat(995));
    let refused = client.form("PUT", "/v2/keys/a", &large).await;
    assert_eq!(refused.status, 400);
    let cause =
        "\"errorCode\":210,\"message\":\"Invalid POST form\",\"cause\":\"http: POST too large\"";
    assert!(refused.text().contains(cause), "{}", refused.text());
    assert_eq!(refused.header("Connection"), Some("close"));
    assert!(client.is_closed().await);
    let mut client = fixture.client();
    client
        .send("PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..3 {
        client.send(format!("190\r\n{}\r\n", "x".repeat(400))).await;
    }
    assert_eq!(client.reply(true).await.status, 400);
}

#[tokio::test]
async fn a_write_without_an_outcome_says_why() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    for (error, cause) in [
        (ProposeError::NoLeader, "etcdserver: no leader"),
        (ProposeError::TimedOut, "etcdserver: request timed out\""),
        (ProposeError::OutcomeUnknown, "possibly due to"),
        (
            ProposeError::TooManyRequests,
            "etcdserver: too many requests",
        ),
        (ProposeError::NoSpace, "etcdserver: no space"),
    ] {
        *fixture.double.mood.lock() = Mood::Fails(error);
        let reply = client.form("PUT", "/v2/keys/a", "value=1").await;
        assert_eq!(reply.status, 500);
        assert!(reply.text().contains("\"errorCode\":300"));
        assert!(reply.text().contains(cause), "{}", reply.text());
    }
}

#[tokio::test]
async fn only_so_many_writes_are_under_way() {
    let fixture = Fixture::with_options(HttpOptions {
        in_flight_max: 2,
        ..HttpOptions::default()
    });
    *fixture.double.mood.lock() = Mood::Hangs;
    let request = "DELETE /v2/keys/a HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut waiting = [fixture.client(), fixture.client()];
    for client in &mut waiting {
        client.send(request).await;
    }
    while fixture.state.in_flight() < 2 {
        tokio::task::yield_now().await;
    }
    let refused = fixture.client().form("DELETE", "/v2/keys/a", "").await;
    assert!(refused.text().contains("too many requests"));
    drop(waiting);
    while fixture.state.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    *fixture.double.mood.lock() = Mood::Works;
    let served = fixture.client().form("DELETE", "/v2/keys/a", "").await;
    assert_eq!(served.status, 404);
}

#[tokio::test]
async fn reads_are_linearizable_if_asked_or_told() {
    for (linearizable_reads, path, method, wanted) in [
        (false, "/v2/keys/", "GET", 0),
        (false, "/v2/keys/?quorum=true", "GET", 1),
        (true, "/v2/keys/", "GET", 1),
        (true, "/v2/keys/?quorum=true", "HEAD", 0),
    ] {
        let fixture = Fixture::with_options(HttpOptions {
            linearizable_reads,
            ..HttpOptions::default()
        });
        let mut client = fixture.client();
        let reply = client.with_headers(method, path, "", "").await;
        assert_eq!(reply.status, 200);
        let linearized = fixture.double.linearized.load(Ordering::Relaxed);
        assert_eq!(linearized, wanted, "{method} {path}");
    }
    let fixture = Fixture::new();
    fixture.double.depose();
    let mut client = fixture.client();
    let refused = client.get("/v2/keys/?quorum=true").await;
    assert_eq!(refused.status, 500);
    assert_eq!(client.get("/v2/keys/").await.status, 200);
}
