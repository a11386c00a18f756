//! Watches of etcd and of kvd over the same random changes: live, and from the past.

use anyhow::{Context, Result, ensure};
use etcd_client::WatchFilterType;
use fastrand::Rng;

use super::client::Peer;
use super::operation::Operation;
use crate::raw_http::Connection;
use crate::server::Server;

/// Random changes.
const CHANGES: i64 = 400;

/// What a server tells of the same changes: live, of all from the past, of what filters leave.
async fn told(peer: &mut Peer) -> Result<[Vec<String>; 3]> {
    let mut live = peer.watch(0, None).await?;
    let mut rng = Rng::with_seed(11);
    for _ in 0..CHANGES {
        let operation = Operation::random(&mut rng, peer.now());
        peer.carry_out(&operation).await?;
    }
    peer.end_watches().await?;
    let live = peer.events(&mut live).await?;
    let mut past = peer.watch(1, None).await?;
    let past = peer.events(&mut past).await?;
    let mut removals = peer.watch(40, Some(WatchFilterType::NoPut)).await?;
    let removals = peer.events(&mut removals).await?;
    Ok([live, past, removals])
}

#[tokio::test]
async fn watchers_are_told_what_etcd_tells_them() -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let wanted = told(&mut Peer::connect(&servers[0]).await?).await?;
    let got = told(&mut Peer::connect(&servers[1]).await?).await?;
    ensure!(
        wanted[0].len() > 100 && wanted[2].len() > 10,
        "too few changes"
    );
    for (way, (wanted, got)) in wanted.iter().zip(&got).enumerate() {
        for (number, (wanted, got)) in wanted.iter().zip(got).enumerate() {
            ensure!(wanted == got, "{way}: event {number}\n{wanted}\n{got}");
        }
        ensure!(
            wanted.len() == got.len(),
            "{way}: {} {}",
            wanted.len(),
            got.len()
        );
    }
    Ok(())
}

/// What a server tells watchers from all revisions of a past that was forgotten in part.
async fn told_of_the_rest(peer: &mut Peer) -> Result<Vec<Vec<String>>> {
    let mut rng = Rng::with_seed(12);
    for _ in 0..CHANGES {
        let operation = Operation::random(&mut rng, peer.now());
        peer.carry_out(&operation).await?;
    }
    let (compacted, base) = (peer.now() / 2, peer.base());
    peer.client().compact(base + compacted, None).await?;
    peer.end_watches().await?;
    let mut told = Vec::new();
    for from in (1..=peer.now())
        .step_by(7)
        .filter(|from| *from != compacted)
    {
        let mut stream = peer.watch(from, None).await?;
        told.push(peer.events(&mut stream).await?);
    }
    Ok(told)
}

#[tokio::test]
async fn watchers_of_a_past_that_is_forgotten_in_part_are_told_what_etcd_tells_them() -> Result<()>
{
    let servers = [Server::etcd()?, Server::kvd()?];
    let wanted = told_of_the_rest(&mut Peer::connect(&servers[0]).await?).await?;
    let got = told_of_the_rest(&mut Peer::connect(&servers[1]).await?).await?;
    let refused = wanted.iter();
    let refused =
        refused.filter(|told| told.first().is_some_and(|one| one.starts_with("canceled")));
    ensure!(wanted.len() > 20 && refused.count() > 5, "too few watchers");
    for (number, (wanted, got)) in wanted.iter().zip(&got).enumerate() {
        ensure!(wanted == got, "watcher {number}\n{wanted:#?}\n{got:#?}");
    }
    ensure!(wanted.len() == got.len());
    Ok(())
}

#[tokio::test]
async fn a_forgotten_past_is_refused_and_progress_is_told() -> Result<()> {
    for server in [Server::etcd()?, Server::kvd()?] {
        let mut peer = Peer::connect(&server).await?;
        for _ in 0..9 {
            peer.client().put("a", "b", None).await?;
        }
        let now = peer.client().put("a", "c", None).await?;
        let now = now.header().context("no header")?.revision();
        peer.client().compact(now - 1, None).await?;
        let mut stream = peer.watch(1, None).await?;
        let refused = stream.message().await?.context("the stream ended")?;
        ensure!(
            refused.canceled() && refused.compact_revision() == now - 1,
            "{refused:?}"
        );
        // A watcher of now, on the same stream.
        stream.watch("a", None).await?;
        let created = stream.message().await?.context("the stream ended")?;
        ensure!(created.created() && created.watch_id() == 1, "{created:?}");
        stream.request_progress().await?;
        let progress = stream.message().await?.context("the stream ended")?;
        let told = progress.header().context("no header")?.revision();
        ensure!(progress.watch_id() == -1 && told == now, "{progress:?}");
        stream.cancel(1).await?;
        let canceled = stream.message().await?.context("the stream ended")?;
        ensure!(
            canceled.canceled() && canceled.watch_id() == 1,
            "{canceled:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_v2_does_is_told_to_v3() -> Result<()> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let mut stream = peer.watch(0, None).await?;
    let mut v2 = Connection::open(server.address)?;
    for request in [
        "PUT /v2/keys/d/k?value=1",
        "PUT /v2/keys/d/e?dir=true",
        "PUT /v2/keys/d/l?value=2",
        "DELETE /v2/keys/d?recursive=true",
    ] {
        v2.send(format!("{request} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())?;
        let head = v2.read_head()?;
        ensure!(head.status < 300, "{request}: {}", head.status);
        v2.read_body(&head, false)?;
    }
    peer.end_watches().await?;
    let told = peer.events(&mut stream).await?;
    let text = told.join("\n");
    ensure!(told.len() == 4, "{text}");
    // In bytes, as the client shows keys.
    for (event, key) in told.iter().zip(["/d/k", "/d/l", "/d/k", "/d/l"]) {
        ensure!(
            event.contains(&format!("{:?}", key.as_bytes())),
            "{key}: {text}"
        );
    }
    Ok(())
}
