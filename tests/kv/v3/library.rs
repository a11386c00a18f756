//! The library that our own daemons use for v3, against etcd and kvd, killed and started again.
//!
//! Tests wait for what they need; none measures time, except for deadlines of leases.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};
use kv_client::Config;
use kv_client::v3::{
    Client, Code, Error, Keys, Leader, LeaseLost, Repeat, WatchEvent, WatchOptions, Watcher,
};
use tokio::time::{Instant, sleep, timeout};

use crate::faults::cluster::{Cluster, client_address};
use crate::isolation::isolated;
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(30);

async fn client(endpoints: &[String]) -> Result<Client> {
    let mut config = Config::new(endpoints)?;
    config.connect_timeout = Duration::from_secs(5);
    config.request_timeout = Duration::from_secs(10);
    config.total_timeout = PATIENCE;
    Ok(Client::connect(config, Leader::Required).await?)
}

async fn client_of(server: &Server) -> Result<Client> {
    client(&[server.address.to_string()]).await
}

fn servers() -> Result<[Server; 2]> {
    Ok([Server::etcd()?, Server::kvd()?])
}

/// Revisions and keys of the next changes, in order.
async fn changes(watcher: &mut Watcher, count: usize) -> Result<Vec<(i64, String)>> {
    let mut found = Vec::new();
    while found.len() < count {
        match timeout(PATIENCE, watcher.next()).await?? {
            WatchEvent::Changes { events, .. } => {
                for kv in events.iter().filter_map(etcd_client::Event::kv) {
                    found.push((kv.mod_revision(), kv.key_str()?.to_owned()));
                }
            }
            WatchEvent::Progress(_) => {}
            WatchEvent::Compacted { first_kept } => bail!("compacted up to {first_kept}"),
        }
    }
    Ok(found)
}

async fn put(client: &Client, key: &str) -> Result<i64> {
    let done = client.put(key, "v", PutOptions::new()).await?;
    Ok(done.header().context("no header")?.revision())
}

/// Writes until a server that is coming back takes it, and says at which revision.
async fn put_somehow(client: &Client, key: &str) -> Result<i64> {
    loop {
        match client.put(key, "v", PutOptions::new()).await {
            Ok(done) => return Ok(done.header().context("no header")?.revision()),
            Err(Error::OutcomeUnknown(_) | Error::Unavailable(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test]
async fn a_watch_goes_on_after_a_kill_without_gap_or_repetition() -> Result<()> {
    for mut server in servers()? {
        let client = client_of(&server).await?;
        let keys = Keys::Prefix(b"w/".to_vec());
        let mut watcher = client.watch(keys.clone(), WatchOptions::default()).await?;
        let first = watcher.next_revision();
        for number in 0..10 {
            put(&client, &format!("w/{number}")).await?;
        }
        // Some are seen before the kill, some are not.
        let mut seen = changes(&mut watcher, 4).await?;
        server.kill()?;
        server.start_again()?;
        for number in 10..20 {
            put_somehow(&client, &format!("w/{number}")).await?;
        }
        let last = put_somehow(&client, "w/last").await?;
        while seen.last().is_none_or(|(revision, _)| *revision < last) {
            seen.extend(changes(&mut watcher, 1).await?);
        }
        // What a watch from the past tells is the truth.
        let options = WatchOptions {
            start_revision: first,
            ..WatchOptions::default()
        };
        let mut past = client.watch(keys, options).await?;
        let wanted = changes(&mut past, seen.len()).await?;
        ensure!(wanted == seen, "wanted {wanted:?}\nseen   {seen:?}");
        ensure!(watcher.next_revision() == last + 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_says_that_its_past_is_gone() -> Result<()> {
    let server = Server::etcd()?;
    let client = client_of(&server).await?;
    let mut last = 0;
    for number in 0..5 {
        last = put(&client, &format!("k{number}")).await?;
    }
    client
        .once(|mut etcd| async move { etcd.compact(last, None).await })
        .await?;
    let options = WatchOptions {
        start_revision: 2,
        ..WatchOptions::default()
    };
    let mut watcher = client.watch(Keys::Prefix(Vec::new()), options).await?;
    let told = timeout(PATIENCE, watcher.next()).await??;
    ensure!(
        matches!(told, WatchEvent::Compacted { first_kept } if first_kept == last),
        "{told:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_watch_can_be_waited_for_in_pieces() -> Result<()> {
    for server in servers()? {
        let client = client_of(&server).await?;
        let keys = Keys::Prefix(b"p/".to_vec());
        let mut watcher = client.watch(keys, WatchOptions::default()).await?;
        let mut seen = Vec::new();
        let mut wanted = Vec::new();
        for number in 0..50 {
            wanted.push(put(&client, &format!("p/{number}")).await?);
            // Given up at any point.
            if let Ok(found) = timeout(Duration::from_micros(300), watcher.next()).await {
                collect(found?, &mut seen);
            }
        }
        while seen.len() < wanted.len() {
            collect(timeout(PATIENCE, watcher.next()).await??, &mut seen);
        }
        ensure!(seen == wanted, "{seen:?}");
    }
    Ok(())
}

fn collect(event: WatchEvent, seen: &mut Vec<i64>) {
    if let WatchEvent::Changes { events, .. } = event {
        let kvs = events.iter().filter_map(etcd_client::Event::kv);
        seen.extend(kvs.map(etcd_client::KeyValue::mod_revision));
    }
}

#[tokio::test]
async fn a_lease_outlives_its_server() -> Result<()> {
    for mut server in servers()? {
        let client = client_of(&server).await?;
        let mut lease = client.lease(Duration::from_secs(10)).await?;
        let options = PutOptions::new().with_lease(lease.id());
        client.put("held", "v", options).await?;
        let before = lease.deadline()?;
        ensure!(before <= Instant::now() + lease.ttl());
        server.kill()?;
        server.start_again()?;
        // It is kept alive by the server that came back.
        while lease.deadline()? <= before {
            let lost = timeout(Duration::from_millis(50), lease.lost()).await;
            ensure!(lost.is_err(), "{lost:?}");
        }
        let held = client.get("held", GetOptions::new()).await?;
        ensure!(held.kvs().len() == 1);
        lease.revoke().await?;
        let held = client.get("held", GetOptions::new()).await?;
        ensure!(held.kvs().is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_lease_is_not_believed_in_when_nobody_answers() -> Result<()> {
    for mut server in servers()? {
        let client = client_of(&server).await?;
        let mut lease = client.lease(Duration::from_secs(2)).await?;
        let granted_by = Instant::now();
        server.kill()?;
        let lost = timeout(PATIENCE, lease.lost()).await?;
        // The deadline counts from the sending of what was acknowledged last, which was before the kill.
        ensure!(Instant::now() < granted_by + lease.ttl() + Duration::from_secs(2));
        ensure!(matches!(lost, LeaseLost::NotKept(_)), "{lost:?}");
        ensure!(lease.deadline().is_err());
    }
    Ok(())
}

/// As a daemon does that is started anew: the keys stay.
#[tokio::test]
async fn a_lease_is_taken_over_by_its_number() -> Result<()> {
    for server in servers()? {
        let client = client_of(&server).await?;
        let first = client.lease(Duration::from_secs(10)).await?;
        let (id, deadline) = (first.id(), first.deadline()?);
        let options = PutOptions::new().with_lease(id);
        client.put("held", "v", options).await?;
        drop(first);
        let second = client.take_over_lease(id).await?;
        let second = second.context("it lives still")?;
        ensure!(second.id() == id && second.ttl() >= Duration::from_secs(10));
        ensure!(second.deadline()? > deadline);
        let held = client.get("held", GetOptions::new()).await?;
        ensure!(held.kvs().len() == 1);
        second.revoke().await?;
        ensure!(client.take_over_lease(id).await?.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn a_lease_that_somebody_revoked_is_lost() -> Result<()> {
    for server in servers()? {
        let client = client_of(&server).await?;
        let mut lease = client.lease(Duration::from_secs(3)).await?;
        let id = lease.id();
        client
            .once(|mut etcd| async move { etcd.lease_revoke(id).await })
            .await?;
        let lost = timeout(PATIENCE, lease.lost()).await?;
        ensure!(lost == LeaseLost::Gone, "{lost:?}");
    }
    Ok(())
}

#[tokio::test]
async fn another_endpoint_is_asked_when_one_is_gone() -> Result<()> {
    for server in servers()? {
        let endpoints = ["127.0.0.1:1".to_owned(), server.address.to_string()];
        let client = client(&endpoints).await?;
        // Connecting fails before anything is sent, so even a write is tried elsewhere.
        put(&client, "a").await?;
        let deleted = client.delete("a", DeleteOptions::new()).await?;
        ensure!(deleted.deleted() == 1);
    }
    Ok(())
}

/// Counts up by transactions, which cannot be carried out twice.
async fn count_up(client: &Client, rounds: usize) -> Result<(u64, u64)> {
    let (mut done, mut unknown) = (0, 0);
    for _ in 0..rounds {
        let found = client.get("counter", GetOptions::new()).await?;
        let (revision, value) = found.kvs().first().map_or((0, 0), |kv| {
            let value = kv.value_str().unwrap_or("0").parse::<u64>().unwrap_or(0);
            (kv.mod_revision(), value)
        });
        let next = (value + 1).to_string();
        let txn = Txn::new()
            .when([Compare::mod_revision("counter", CompareOp::Equal, revision)])
            .and_then([TxnOp::put("counter", next, None)]);
        match client.txn(txn, Repeat::Conditional).await {
            Ok(answer) => done += u64::from(answer.succeeded()),
            Err(Error::OutcomeUnknown(_)) => unknown += 1,
            Err(error) => return Err(error.into()),
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok((done, unknown))
}

#[tokio::test]
async fn transactions_are_carried_out_once_whatever_is_killed() -> Result<()> {
    for mut server in servers()? {
        let client = client_of(&server).await?;
        let counting = tokio::spawn({
            let client = client.clone();
            async move { count_up(&client, 400).await }
        });
        for _ in 0..3 {
            sleep(Duration::from_millis(200)).await;
            server.kill()?;
            server.start_again()?;
        }
        let (done, unknown) = counting.await??;
        let found = client.get("counter", GetOptions::new()).await?;
        let kv = found.kvs().first().context("nothing was counted")?;
        let value: u64 = kv.value_str()?.parse()?;
        ensure!(done > 0, "nothing was done");
        ensure!(
            (done..=done + unknown).contains(&value),
            "{done} done, {unknown} unknown, but {value} counted"
        );
        // Each success counted by one, so versions and values go together.
        ensure!(u64::try_from(kv.version())? == value);
    }
    Ok(())
}

#[tokio::test]
async fn refusals_are_the_servers_own() -> Result<()> {
    for server in servers()? {
        let client = client_of(&server).await?;
        let future = GetOptions::new().with_revision(1_000_000);
        let refused = client.get("a", future).await;
        let Err(Error::Refused { code, message }) = refused else {
            bail!("{refused:?}");
        };
        ensure!(
            code == Code::OutOfRange && message.contains("future revision"),
            "{message}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_cluster_is_told_and_changes_nothing() -> Result<()> {
    let mut config = Config::new(["127.0.0.1:1"])?;
    config.total_timeout = Duration::from_millis(300);
    let client = Client::connect(config, Leader::Required).await?;
    let failed = client.put("a", "b", PutOptions::new()).await;
    ensure!(
        matches!(&failed, Err(Error::Unavailable(text)) if text.contains("connection refused")),
        "{failed:?}"
    );
    Ok(())
}

/// Writes while members are killed one after the other; what a watch tells must be what was written.
async fn survive_kills(cluster: &mut Cluster) -> Result<()> {
    let endpoints: Vec<String> = (1..=3)
        .map(|number| client_address(number).to_string())
        .collect();
    let client = client(&endpoints).await?;
    let keys = Keys::Prefix(b"k/".to_vec());
    let mut watcher = client.watch(keys.clone(), WatchOptions::default()).await?;
    let first = watcher.next_revision();
    let mut lease = client.lease(Duration::from_secs(10)).await?;
    let options = PutOptions::new().with_lease(lease.id());
    client.put("held", "v", options).await?;
    let mut seen = Vec::new();
    let mut last = 0;
    for victim in 1..=3 {
        for number in 0..20 {
            last = put_somehow(&client, &format!("k/{victim}/{number}")).await?;
        }
        seen.extend(changes(&mut watcher, 10).await?);
        cluster.kill(victim)?;
        for number in 20..40 {
            last = put_somehow(&client, &format!("k/{victim}/{number}")).await?;
        }
        cluster.spawn(victim)?;
        cluster.wait_until_all_serve()?;
        ensure!(lease.deadline().is_ok(), "{:?}", lease.deadline());
    }
    while seen.last().is_none_or(|(revision, _)| *revision < last) {
        seen.extend(changes(&mut watcher, 1).await?);
    }
    let options = WatchOptions {
        start_revision: first,
        ..WatchOptions::default()
    };
    let mut history = client.watch(keys, options).await?;
    let wanted = changes(&mut history, seen.len()).await?;
    ensure!(wanted == seen, "wanted {wanted:?}\nseen   {seen:?}");
    let ended = timeout(Duration::from_millis(10), lease.lost()).await;
    ensure!(ended.is_err(), "{ended:?}");
    let held = client.get("held", GetOptions::new()).await?;
    ensure!(held.kvs().len() == 1, "the lease's key is gone");
    Ok(())
}

#[test]
fn a_watch_and_a_lease_survive_the_kill_of_each_member() {
    let name = "v3::library::a_watch_and_a_lease_survive_the_kill_of_each_member";
    isolated(name, Duration::from_mins(3), || {
        let mut cluster = Cluster::start(3)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let told = runtime.block_on(survive_kills(&mut cluster));
        told.with_context(|| cluster.report())
    });
}
