//! The face for clients on a real replica: through a log and back.
use std::sync::Arc;

use kv_cluster::{Replica, Settings, listen};
use tempfile::TempDir;

use super::Client;
use crate::http::{HttpOptions, PeerIdentity, ServerState, serve_connection};

async fn start(folder: &TempDir) -> (Replica, Arc<ServerState>) {
    let settings = Settings {
        peer_listeners: listen(&["http://127.0.0.1:0".to_owned()]).unwrap(),
        ..Settings::new("one", folder.path())
    };
    let replica = Replica::start(settings).await.unwrap();
    let mut status = replica.status();
    let elected = status.wait_for(|status| status.leader.is_some()).await;
    drop(elected.unwrap());
    let state = ServerState::new(replica.clone(), HttpOptions::default());
    (replica, state)
}

fn client(state: &Arc<ServerState>) -> Client {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let peer = PeerIdentity {
        common_name: None,
        address: None,
        is_tls: false,
    };
    tokio::spawn(serve_connection(far, peer, Arc::clone(state)));
    Client::new(near)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_after_a_restart_and_watches_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (replica, state) = start(&folder).await;
    let mut writer = client(&state);
    let mut watcher = client(&state);
    watcher.start("/v2/keys/a?wait=true&stream=true").await;
    watcher.head().await;
    for n in 1..=20 {
        let put = writer
            .form("PUT", "/v2/keys/a", &format!("value={n}"))
            .await;
        assert_eq!(put.status, if n == 1 { 201 } else { 200 }, "{}", put.text());
        let line = String::from_utf8(watcher.chunk().await.unwrap()).unwrap();
        assert_eq!(line, put.text());
    }
    let mut ttl = writer.form("PUT", "/v2/keys/t", "value=x&ttl=100").await;
    assert_eq!(ttl.status, 201);
    assert_eq!(writer.get("/health").await.text(), r#"{"health":"true"}"#);
    let metrics = writer.get("/metrics").await;
    for name in [
        "etcd_disk_wal_fsync_duration_seconds_count",
        "etcd_disk_backend_commit_duration_seconds_count",
    ] {
        assert!(metrics.text().contains(name), "{name}");
    }
    let before = writer.get("/v2/keys/a?quorum=true").await;
    state.stop();
    assert_eq!(watcher.chunk().await, None);
    replica.shutdown().await;
    drop((writer, watcher, state, replica));

    let (replica, state) = start(&folder).await;
    let mut reader = client(&state);
    let after = reader.get("/v2/keys/a?quorum=true").await;
    assert_eq!(after.body, before.body);
    let past = reader.get("/v2/keys/a?wait=true&waitIndex=3").await;
    assert!(
        past.text().contains("\"modifiedIndex\":3,"),
        "{}",
        past.text()
    );
    ttl = reader.get("/v2/keys/t").await;
    assert!(ttl.text().contains("\"ttl\":"), "{}", ttl.text());
    state.stop();
    replica.shutdown().await;
}
