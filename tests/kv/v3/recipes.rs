//! Locks and elections: as services, of kvd and of etcd, and as etcdctl makes them of keys.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{
    Client, Error, GetOptions, LeaderKey, LockOptions, ProclaimOptions, ResignOptions,
};

use super::etcdctl::{Ended, Etcdctl};
use crate::server::Server;

/// What is awaited comes in this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// What must not come has this time to.
const GRACE: Duration = Duration::from_millis(300);

async fn client(server: &Server) -> Result<Client> {
    Ok(Client::connect([server.address.to_string()], None).await?)
}

async fn lease(client: &mut Client) -> Result<i64> {
    Ok(client.lease_grant(60, None).await?.id())
}

/// How many keys there are under a prefix.
async fn waiting(client: &mut Client, prefix: &str) -> Result<usize> {
    let all = GetOptions::new().with_prefix();
    Ok(client.get(prefix, Some(all)).await?.kvs().len())
}

async fn wait_until_waiting(client: &mut Client, prefix: &str, count: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = waiting(client, prefix).await?;
        if found == count {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{found}, not {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn lock(
    client: &Client,
    lease: i64,
) -> tokio::task::JoinHandle<Result<etcd_client::LockResponse, Error>> {
    let mut client = client.clone();
    let options = LockOptions::new().with_lease(lease);
    tokio::spawn(async move { client.lock("l", Some(options)).await })
}

async fn locks(server: &Server) -> Result<()> {
    let mut client = client(server).await?;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(lease(&mut client).await?);
    }
    let first = tokio::time::timeout(PATIENCE, lock(&client, leases[0])).await???;
    ensure!(first.key() == format!("l/{:x}", leases[0]).as_bytes());
    // Who has it gets it again.
    let again = tokio::time::timeout(PATIENCE, lock(&client, leases[0])).await???;
    ensure!(again.key() == first.key());
    let mut second = lock(&client, leases[1]);
    wait_until_waiting(&mut client, "l/", 2).await?;
    let third = lock(&client, leases[2]);
    wait_until_waiting(&mut client, "l/", 3).await?;
    let fourth = lock(&client, leases[3]);
    wait_until_waiting(&mut client, "l/", 4).await?;
    ensure!(tokio::time::timeout(GRACE, &mut second).await.is_err());
    client.unlock(first.key()).await?;
    let second = tokio::time::timeout(PATIENCE, second).await???;
    // Who goes away while waiting is not waited for.
    third.abort();
    wait_until_waiting(&mut client, "l/", 2).await?;
    // A lease that ends gives the lock on.
    client.lease_revoke(leases[1]).await?;
    let fourth = tokio::time::timeout(PATIENCE, fourth).await???;
    ensure!(fourth.key() != second.key());
    client.unlock(fourth.key()).await?;
    // Without a lease, one is granted.
    let own = client.lock("m", None).await?;
    ensure!(own.key().starts_with(b"m/"));
    let kv = client.get(own.key(), None).await?;
    let lease = kv.kvs().first().context("no key")?.lease();
    let granted = client.lease_time_to_live(lease, None).await?.granted_ttl();
    ensure!(granted == 60, "{granted}");
    let unknown = LockOptions::new().with_lease(99);
    fails(client.lock("l", Some(unknown)).await, "lease not found")
}

fn fails<T>(result: Result<T, Error>, text: &str) -> Result<()> {
    let error = result.err().context("it succeeds")?.to_string();
    ensure!(error.contains(text), "{error}");
    Ok(())
}

#[tokio::test]
async fn locks_are_given_one_after_the_other() -> Result<()> {
    locks(&Server::etcd()?).await.context("etcd")?;
    locks(&Server::kvd()?).await.context("kvd")
}

async fn told(stream: &mut etcd_client::ObserveStream) -> Result<String> {
    let told = tokio::time::timeout(PATIENCE, stream.message()).await??;
    let told = told.context("the stream ended")?;
    let kv = told.kv().context("no key")?;
    Ok(kv.value_str()?.to_owned())
}

fn campaign(
    client: &Client,
    value: &'static str,
    lease: i64,
) -> tokio::task::JoinHandle<Result<etcd_client::CampaignResponse, Error>> {
    let mut client = client.clone();
    tokio::spawn(async move { client.campaign("e", value, lease).await })
}

async fn elections(server: &Server) -> Result<()> {
    let mut client = client(server).await?;
    let leases = [lease(&mut client).await?, lease(&mut client).await?];
    fails(client.leader("e").await, "election: no leader")?;
    fails(client.proclaim("x", None).await, "field must be provided")?;
    let mut won = campaign(&client, "one", leases[0]).await??;
    // etcd begins to answer when it has something to tell.
    let mut observer = tokio::time::timeout(PATIENCE, client.observe("e")).await??;
    let first: LeaderKey = won.take_leader().context("no leader's key")?;
    ensure!(first.name() == b"e" && first.lease() == leases[0] && first.rev() > 0);
    ensure!(told(&mut observer).await? == "one");
    let leads = client.leader("e").await?;
    let leads = leads.kv().context("no key")?;
    ensure!(leads.value() == b"one" && leads.key() == first.key());
    let as_first = || ProclaimOptions::new().with_leader(first.clone());
    client.proclaim("two", Some(as_first())).await?;
    ensure!(told(&mut observer).await? == "two");
    // Who campaigns again proclaims.
    campaign(&client, "three", leases[0]).await??;
    ensure!(told(&mut observer).await? == "three");
    let second = campaign(&client, "four", leases[1]);
    wait_until_waiting(&mut client, "e/", 2).await?;
    let resign = || ResignOptions::new().with_leader(first.clone());
    client.resign(Some(resign())).await?;
    let mut won = tokio::time::timeout(PATIENCE, second).await???;
    ensure!(told(&mut observer).await? == "four");
    fails(
        client.proclaim("x", Some(as_first())).await,
        "election: not leader",
    )?;
    // Once more is no mistake, and harms nobody.
    client.resign(Some(resign())).await?;
    let second = won.take_leader().context("no leader's key")?;
    ensure!(client.leader("e").await?.kv().context("no key")?.key() == second.key());
    client.lease_revoke(leases[1]).await?;
    fails(client.leader("e").await, "election: no leader")
}

#[tokio::test]
async fn elections_are_won_one_after_the_other() -> Result<()> {
    elections(&Server::etcd()?).await.context("etcd")?;
    elections(&Server::kvd()?).await.context("kvd")
}

/// Waits until a running etcdctl has printed this.
fn printed(etcdctl: &Etcdctl, words: &[&str], wanted: &str) -> Result<Ended> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("output");
    let output = std::fs::File::create(&path)?;
    let mut command = etcdctl.command(words);
    let command = command.stdin(Stdio::null()).stdout(output.try_clone()?);
    let process = Ended(command.stderr(output).spawn()?);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if std::fs::read_to_string(&path)?.contains(wanted) {
            return Ok(process);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("etcdctl {words:?}: {}", std::fs::read_to_string(&path)?)
}

#[test]
fn etcdctl_locks_and_elects() -> Result<()> {
    let server = Server::kvd()?;
    let etcdctl = Etcdctl::new(&server)?;
    let held = printed(&etcdctl, &["lock", "l"], "l/")?;
    let words = ["lock", "l", "--", "sh", "-c", "echo have $ETCD_LOCK_KEY"];
    drop(held);
    // Killed, it left its key to the end of its lease, a minute: another lock is free.
    let other = words.map(|word| if word == "l" { "other" } else { word });
    let said = etcdctl.say(&other, "")?;
    ensure!(said.contains("have other/"), "{said}");
    let leads = printed(&etcdctl, &["elect", "e", "me"], "me")?;
    let observes = printed(&etcdctl, &["elect", "-l", "e"], "me")?;
    drop((leads, observes));
    Ok(())
}
