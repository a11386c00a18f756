//! A proxy in front of a real etcd: requests, watches, failures, and what it remembers.

use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::*;
use crate::configuration::{ClientCertificates, Credentials, TlsOptions, TlsVersions};
use crate::listener::{self, Acceptor, Speaks};
use crate::testing::{self, Etcd, free_ports};
use crate::tls;

struct Running {
    url: String,
    port: u16,
    stop: watch::Sender<bool>,
}

fn options(peer_url: &str) -> ProxyOptions {
    let members = vec![("default".to_owned(), vec![peer_url.to_owned()])];
    ProxyOptions {
        failure_wait: Duration::from_millis(50),
        refresh_interval: Duration::from_millis(100),
        ..ProxyOptions::with_defaults(Bootstrap::Static(members))
    }
}

fn plain() -> TlsOptions {
    TlsOptions {
        credentials: Credentials::SelfSigned,
        client_certificates: ClientCertificates::NotAsked,
        names_users: false,
        authorities: None,
        versions: TlsVersions {
            version_1_2: true,
            version_1_3: true,
        },
        cipher_suites: Vec::new(),
    }
}

fn start(options: ProxyOptions, folder: &Path) -> Running {
    let stop = watch::Sender::new(false);
    let folder = DataFolder::open(folder).unwrap();
    let tls = Arc::new(tls::client("for tests", &plain(), tls::ASK_HTTP).unwrap());
    let proxy = Proxy::start(
        options,
        1 << 20,
        folder,
        testing::asker(),
        tls,
        stop.subscribe(),
    );
    let [port] = free_ports();
    let url = format!("http://127.0.0.1:{port}");
    let listeners = listener::open("listen-client-urls", &[url.parse().unwrap()]);
    let acceptor = Acceptor {
        tls: None,
        speaks: Speaks::Http1,
        names_users: false,
        connections: Arc::new(Semaphore::new(100)),
        stop: stop.subscribe(),
    };
    let handle = move |arrival| proxy.clone().serve(arrival);
    let listener = listeners.unwrap().remove(0);
    tokio::spawn(listener::serve(listener, acceptor, handle));
    Running { url, port, stop }
}

/// Asks again while no member is known yet, or none answers.
async fn get(url: &str, path: &str) -> (StatusCode, Value) {
    for _ in 0..100 {
        let answer = testing::asker()
            .ask(Method::GET, &format!("{url}{path}"), None)
            .await
            .unwrap();
        if !answer.status.is_server_error() {
            let body = serde_json::from_slice(&answer.body).unwrap_or_default();
            return (answer.status, body);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{url}{path}: no member is found");
}

/// Reads until the text is there, or the connection ends.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let found = String::from_utf8_lossy(&seen).into_owned();
        if found.contains(text) {
            return found;
        }
        let count = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer));
        match count.await.expect("something comes").unwrap() {
            0 => panic!("it ended before {text:?}: {found}"),
            count => seen.extend_from_slice(&buffer[..count]),
        }
    }
}

#[tokio::test]
async fn requests_and_streams_pass_and_a_cut_watch_ends_cleanly() {
    let mut etcd = Etcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = start(options(&etcd.peer_url()), folder.path());
    get(&proxy.url, "/version").await;

    let put = testing::put(&proxy.url, "/a", "1").await;
    assert_eq!(put.status, StatusCode::CREATED);
    let (status, answer) = get(&proxy.url, "/v2/keys/a").await;
    assert_eq!(
        (status, &answer["node"]["value"]),
        (StatusCode::OK, &"1".into())
    );
    assert_eq!(
        get(&proxy.url, "/v2/keys/none").await.0,
        StatusCode::NOT_FOUND
    );
    let (_, own) = get(&proxy.url, "/v2/config/local/proxy").await;
    assert_eq!(own["endpoints"][0], etcd.client_url());

    let mut watch = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let ask = b"GET /v2/keys/a?wait=true&stream=true HTTP/1.1\r\nHost: a\r\n\r\n";
    watch.write_all(ask).await.unwrap();
    // The head comes before the first event.
    read_until(&mut watch, "\r\n\r\n").await;
    testing::put(&proxy.url, "/a", "2").await;
    read_until(&mut watch, "\"value\":\"2\"").await;
    etcd.kill();
    // The last chunk of a body that is whole.
    read_until(&mut watch, "0\r\n\r\n").await;
}

#[tokio::test]
async fn members_are_remembered_and_found_again() {
    let mut etcd = Etcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = start(options(&etcd.peer_url()), folder.path());
    testing::put(&etcd.client_url(), "/a", "1").await;
    get(&proxy.url, "/v2/keys/a").await;
    etcd.kill();
    let unanswered = testing::put(&proxy.url, "/a", "2").await;
    assert_eq!(unanswered.status, StatusCode::BAD_GATEWAY);
    let body: Value = serde_json::from_slice(&unanswered.body).unwrap();
    assert!(body["message"].is_string(), "{body}");
    etcd.restart().await;
    assert_eq!(get(&proxy.url, "/v2/keys/a").await.0, StatusCode::OK);
    proxy.stop.send_replace(true);

    // Another proxy with this folder needs none of the first members.
    let copy = tempfile::tempdir().unwrap();
    let remembered = folder.path().join(PROXY_MEMBERS);
    std::fs::copy(remembered, copy.path().join(PROXY_MEMBERS)).unwrap();
    let second = start(options("http://127.0.0.1:1"), copy.path());
    assert_eq!(get(&second.url, "/v2/keys/a").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_readonly_proxy_forwards_no_writes() {
    let etcd = Etcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let options = ProxyOptions {
        readonly: true,
        ..options(&etcd.peer_url())
    };
    let proxy = start(options, folder.path());
    get(&proxy.url, "/version").await;
    let put = testing::put(&proxy.url, "/a", "1").await;
    assert_eq!(put.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(
        get(&etcd.client_url(), "/v2/keys/a").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn without_any_member_clients_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = start(options("http://127.0.0.1:1"), folder.path());
    let answer = testing::put(&proxy.url, "/a", "1").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}
