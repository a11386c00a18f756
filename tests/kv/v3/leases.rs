//! Leases: granted, kept alive, let go, revoked; as with etcd.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcd_client::{Error, GetOptions, PutOptions};

use super::client::Peer;
use crate::server::Server;

async fn keys(peer: &mut Peer, prefix: &str) -> Result<Vec<String>> {
    let options = GetOptions::new().with_prefix();
    let answer = peer.client().get(prefix, Some(options)).await?;
    let keys = answer.kvs().iter();
    Ok(keys
        .map(|kv| String::from_utf8_lossy(kv.key()).into_owned())
        .collect())
}

async fn put(peer: &mut Peer, key: &str, lease: i64) -> Result<()> {
    let options = PutOptions::new().with_lease(lease);
    peer.client().put(key, "v", Some(options)).await?;
    Ok(())
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Result<String> {
    match result {
        Err(Error::GRpcStatus(status)) => Ok(format!("{:?} {}", status.code(), status.message())),
        other => anyhow::bail!("{other:?}"),
    }
}

/// What a user can do with leases, in the order of a day; what is answered, as text.
async fn day(peer: &mut Peer) -> Result<String> {
    let mut told = Vec::new();
    told.push(format!("{}", peer.grant(7, 100).await?));
    // Neither a grant nor the end of a lease without keys is a revision.
    let before = peer.revision().await?;
    peer.grant(6, 100).await?;
    peer.client().lease_revoke(6).await?;
    told.push(format!("{}", peer.revision().await? - before));
    told.push(format!("{}", peer.grant(8, 1).await?));
    told.push(refusal(peer.grant(7, 5).await)?);
    told.push(refusal(peer.grant(9, 10_000_000_000).await)?);
    put(peer, "l/a", 7).await?;
    put(peer, "l/b", 7).await?;
    put(peer, "l/c", 8).await?;
    // A put without it takes a key off its lease.
    put(peer, "l/d", 7).await?;
    put(peer, "l/d", 0).await?;
    // etcd lists them in no order.
    let (remaining, granted, mut attached) = peer.lease(7).await?;
    attached.sort_unstable();
    ensure!((98..=100).contains(&remaining), "{remaining}");
    told.push(format!("{granted} {attached:?}"));
    told.push(format!(
        "{:?} {:?}",
        peer.lease(99).await?,
        peer.keep_alive(99).await?
    ));
    told.push(format!("{}", peer.keep_alive(7).await?));
    // etcd lists them by their end.
    let ids = peer.client().leases().await?;
    let mut ids: Vec<i64> = ids
        .leases()
        .iter()
        .map(etcd_client::LeaseStatus::id)
        .collect();
    ids.sort_unstable();
    told.push(format!("{ids:?}"));
    told.push(refusal(peer.client().lease_revoke(99).await)?);
    peer.client().lease_revoke(7).await?;
    told.push(format!("{:?}", keys(peer, "l/").await?));
    Ok(told.join("\n"))
}

#[tokio::test]
async fn leases_are_answered_as_etcd_answers_them() -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let wanted = day(&mut Peer::connect(&servers[0]).await?).await?;
    let got = day(&mut Peer::connect(&servers[1]).await?).await?;
    ensure!(wanted == got, "etcd:\n{wanted}\nkvd:\n{got}");
    Ok(())
}

#[tokio::test]
async fn a_lease_ends_when_it_is_not_kept_alive_and_not_before() -> Result<()> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let mut watch = peer.watch(0, None).await?;
    for id in [5, 6] {
        peer.grant(id, 2).await.context("grant")?;
        put(&mut peer, &format!("e/{id}"), id).await?;
    }
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(800)).await;
        ensure!(peer.keep_alive(5).await? == 2);
    }
    // Four seconds: the other one is gone since two.
    ensure!(keys(&mut peer, "e/").await? == ["e/5"]);
    ensure!(peer.keep_alive(6).await? == 0);
    tokio::time::sleep(Duration::from_millis(3500)).await;
    ensure!(keys(&mut peer, "e/").await?.is_empty());
    peer.end_watches().await?;
    let told = peer.events(&mut watch).await?;
    ensure!(told.len() == 4, "{told:?}");
    Ok(())
}
