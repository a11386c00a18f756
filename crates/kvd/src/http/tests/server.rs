//! Everything that is about no key: members, figures, health, and the manners of the connection.
use std::sync::Arc;
use std::time::Duration;

use kv_cluster::{MemberId, MembershipError, ProposeError};

use super::double::{MEMBER, Mood};
use super::{Fixture, HttpOptions};
use crate::http::AllowList;

const JSON: &str = "application/json";

#[tokio::test]
async fn what_is_not_served_is_refused_as_by_etcd() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let nothing = client.get("/nothing").await;
    assert_eq!(
        (nothing.status, nothing.text()),
        (404, "404 page not found\n")
    );
    assert_eq!(nothing.header("X-Content-Type-Options"), Some("nosniff"));
    let moved = client.get("/v2/keys//foo?x=1&y").await;
    assert_eq!(moved.status, 301);
    assert_eq!(moved.header("Location"), Some("/v2/keys/foo?x=1&y"));
    let body = "<a href=\"/v2/keys/foo?x=1&amp;y\">Moved Permanently</a>.\n\n";
    assert_eq!(moved.text(), body);
    let moved = client.form("PUT", "/v2/keys//foo", "value=1").await;
    assert_eq!((moved.status, moved.text()), (301, ""));
    for (method, path, allow) in [
        ("PATCH", "/v2/keys/a", Some("HEAD,GET,PUT,POST,DELETE")),
        ("PUT", "/v2/machines", Some("GET,HEAD")),
        ("PATCH", "/v2/members", Some("GET,POST,DELETE,PUT")),
        ("PUT", "/v2/members", None),
        ("POST", "/v2/stats/self", Some("GET")),
        ("POST", "/version", Some("GET")),
        ("POST", "/health", Some("GET")),
        ("GET", "/config/local/log", Some("PUT")),
    ] {
        let refused = client.request(method, path, JSON, "{}").await;
        assert_eq!(refused.status, 405, "{method} {path}");
        assert_eq!(refused.text(), "Method Not Allowed\n");
        assert_eq!(refused.header("Allow"), allow, "{method} {path}");
    }
    let options = client.form("OPTIONS", "/v2/keys/a", "").await;
    assert_eq!((options.status, options.text()), (200, ""));
    let methods = options.header("Access-Control-Allow-Methods");
    assert_eq!(methods, Some("POST, GET, OPTIONS, PUT, DELETE"));
}

#[tokio::test]
async fn members_are_listed_and_changed() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let one = r#"{"id":"a1","name":"one","peerURLs":["http://127.0.0.1:2380"],"clientURLs":["http://127.0.0.1:2379"]}"#;
    let list = client.get("/v2/members").await;
    assert_eq!(list.text(), format!("{{\"members\":[{one}]}}\n"));
    assert_eq!(list.header("X-Etcd-Cluster-Id"), Some("c1"));
    let leader = client.get("/v2/members/leader").await;
    assert_eq!(leader.text(), format!("{one}\n"));
    let machines = client.get("/v2/machines").await;
    assert_eq!(machines.text(), "http://127.0.0.1:2379");
    let urls = r#"{"peerURLs":["http://10.0.0.2:2380"]}"#;
    let added = client.request("POST", "/v2/members", JSON, urls).await;
    let json = r#"{"id":"b2","name":"","peerURLs":["http://10.0.0.2:2380"],"clientURLs":[]}"#;
    assert_eq!((added.status, added.text().trim_end()), (201, json));
    for (method, path) in [("PUT", "/v2/members/b2"), ("DELETE", "/v2/members/b2")] {
        let changed = client.request(method, path, JSON, urls).await;
        assert_eq!((changed.status, changed.text()), (204, ""));
    }
    fixture.double.depose();
    let leader = client.get("/v2/members/leader").await;
    assert_eq!(
        (leader.status, leader.text()),
        (503, r#"{"message":"During election"}"#)
    );
}

#[tokio::test]
async fn a_change_of_members_that_is_refused_says_why() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let id = MemberId(0xb2);
    let lost = MembershipError::WouldLoseQuorum {
        healthy: 1,
        voters: 2,
        needed: 2,
    };
    let in_use = MembershipError::UrlInUse {
        url: String::new(),
        id: MEMBER,
    };
    for (error, status, text) in [
        (MembershipError::NotFound(id), 404, "No such member: b2"),
        (
            MembershipError::Removed(id),
            410,
            "Member permanently removed: b2",
        ),
        (in_use, 409, "peerURL exists"),
        (lost, 412, "start the others first"),
        (MembershipError::LastMember(id), 412, "last voting member"),
        (MembershipError::InProgress, 412, "try again"),
        (MembershipError::NoLeader, 503, "no leader"),
        (MembershipError::TimedOut, 504, "timed out"),
    ] {
        *fixture.double.membership.lock() = Some(error);
        let refused = client.form("DELETE", "/v2/members/b2", "").await;
        assert_eq!(refused.status, status, "{}", refused.text());
        assert!(refused.text().contains(text), "{}", refused.text());
    }
}

#[tokio::test]
async fn health_does_what_clients_do() {
    let fixture = Fixture::with_options(HttpOptions {
        health_timeout: Duration::from_millis(50),
        ..HttpOptions::default()
    });
    let mut client = fixture.client();
    let expect = |reply: super::client::Reply, status, text: &str| {
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.text().contains(text), "{}", reply.text());
    };
    let revision = client.get("/v2/keys/").await;
    expect(client.get("/health").await, 200, r#"{"health":"true"}"#);
    expect(client.get("/readyz?verbose").await, 200, "[+]");
    expect(client.get("/livez").await, 200, "ok\n");
    let after = client.get("/v2/keys/").await;
    assert_eq!(
        revision.header("X-Etcd-Index"),
        after.header("X-Etcd-Index")
    );
    *fixture.double.mood.lock() = Mood::Fails(ProposeError::NoSpace);
    expect(client.get("/health").await, 503, r#"{"health":"false"}"#);
    expect(client.get("/health?exclude=NOSPACE").await, 200, "true");
    *fixture.double.mood.lock() = Mood::Hangs;
    expect(client.get("/health").await, 503, "false");
    expect(client.get("/readyz").await, 503, "no answer within");
    expect(client.get("/livez").await, 200, "ok");
    *fixture.double.mood.lock() = Mood::Works;
    fixture.double.depose();
    expect(client.get("/readyz").await, 503, "no leader");
    expect(client.get("/health?serializable=true").await, 200, "true");
}

#[tokio::test]
async fn what_happens_is_counted() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    client.form("PUT", "/v2/keys/a", "value=1").await;
    client
        .form("PUT", "/v2/keys/a", "value=1&prevValue=2")
        .await;
    client.form("POST", "/v2/keys/q", "value=1").await;
    client.get("/v2/keys/a").await;
    client.get("/v2/keys/?recursive=true").await;
    client.get("/v2/keys/none").await;
    let store = client.get("/v2/stats/store").await;
    let json = r#"{"getsSuccess":2,"getsFail":1,"setsSuccess":1,"setsFail":0,"deleteSuccess":0,"deleteFail":0,"updateSuccess":0,"updateFail":0,"createSuccess":1,"createFail":0,"compareAndSwapSuccess":0,"compareAndSwapFail":1,"compareAndDeleteSuccess":0,"compareAndDeleteFail":0,"expireCount":0,"watchers":0}"#;
    assert_eq!(store.text(), json);
    let metrics = client.get("/metrics").await;
    for line in [
        "etcd_server_has_leader 1",
        "etcd_server_is_leader 1",
        "etcd_server_leader_changes_seen_total 1",
        "etcd_server_proposals_committed_total 13",
        "etcd_debugging_lease_renewed_total 0",
        "etcd_debugging_store_writes_total{action=\"set\"} 1",
        "etcd_debugging_store_writes_failed_total{action=\"compareAndSwap\"} 1",
        "etcd_debugging_store_reads_total{action=\"getRecursive\"} 1",
        "etcd_http_received_total{method=\"PUT\"} 2",
        "etcd_http_failed_total{code=\"412\",method=\"PUT\"} 1",
        "etcd_http_successful_duration_seconds_count{method=\"POST\"} 1",
        "kvd_client_connections 1",
        "etcd_server_id{server_id=\"a1\"} 1",
        "etcd_disk_wal_fsync_duration_seconds_count 0",
    ] {
        let text = metrics.text();
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn figures_of_members_are_told() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    let own = client.get("/v2/stats/self").await;
    let begin = r#"{"name":"one","id":"a1","state":"StateLeader","startTime":"2"#;
    assert!(own.text().starts_with(begin), "{}", own.text());
    let leader = client.get("/v2/stats/leader").await;
    assert_eq!(leader.text(), r#"{"leader":"a1","followers":{}}"#);
    fixture.double.depose();
    let refused = client.get("/v2/stats/leader").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.text(), r#"{"message":"not current leader"}"#);
    let version = client.get("/version").await;
    let json = r#"{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}"#;
    assert_eq!(version.text(), json);
}

#[tokio::test]
async fn the_log_level_is_changed() {
    let fixture = Fixture::with_options(HttpOptions {
        set_log_level: Arc::new(|level| match level {
            "DEBUG" => Ok(()),
            _ => Err("no".to_owned()),
        }),
        ..HttpOptions::default()
    });
    let mut client = fixture.client();
    for (body, status, text) in [
        (r#"{"Level":"DEBUG"}"#, 204, ""),
        (
            r#"{"Level":"x"}"#,
            400,
            r#"{"message":"Invalid log level x"}"#,
        ),
        ("{", 400, r#"{"message":"Invalid json body"}"#),
    ] {
        let reply = client.form("PUT", "/config/local/log", body).await;
        assert_eq!((reply.status, reply.text()), (status, text));
    }
}

#[tokio::test]
async fn only_so_many_connections_are_served() {
    let fixture = Fixture::with_options(HttpOptions {
        connections_max: 1,
        ..HttpOptions::default()
    });
    let mut first = fixture.client();
    assert_eq!(first.get("/version").await.status, 200);
    let mut second = fixture.client();
    let refused = second.reply(true).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.text(), r#"{"message":"too many connections"}"#);
    assert!(second.is_closed().await);
    drop(first);
    loop {
        let mut third = fixture.client();
        third.start("/version").await;
        if third.reply(true).await.status == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_that_does_not_arrive_is_not_waited_for() {
    let fixture = Fixture::with_options(HttpOptions {
        receive_timeout: Duration::from_millis(50),
        ..HttpOptions::default()
    });
    let mut head = fixture.client();
    head.send("GET /version HTTP/1.1\r\nHost: ").await;
    assert!(head.is_closed().await);
    let mut body = fixture.client();
    body.send("PUT /v2/keys/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nval")
        .await;
    let refused = body.reply(true).await;
    assert_eq!(refused.status, 400);
    assert!(body.is_closed().await);
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_finishes_requests() {
    let fixture = Fixture::new();
    let mut idle = fixture.client();
    assert_eq!(idle.get("/version").await.status, 200);
    fixture.state.stop();
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn hosts_that_are_not_ours_are_refused_without_tls() {
    let fixture = Fixture::with_options(HttpOptions {
        hosts: AllowList::new(["example.org"]),
        ..HttpOptions::default()
    });
    assert_eq!(fixture.client().get("/version").await.status, 421);
    let mut encrypted = fixture.client_with_certificate(Some("u"));
    assert_eq!(encrypted.get("/version").await.status, 200);
}
