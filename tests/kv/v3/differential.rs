//! The same random requests to etcd and to kvd, of the present and of the past: the answers must be
//! equal.

use anyhow::{Result, ensure};
use fastrand::Rng;

use super::client::Peer;
use super::operation::Operation;
use crate::server::Server;

/// Random requests of one seed.
const REQUESTS: i64 = 1500;
/// So many requests before a difference are reported.
const CONTEXT: usize = 8;

async fn compare(peers: &mut [Peer; 2], seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let mut recent = Vec::new();
    for number in 1..=REQUESTS {
        let [etcd, kvd] = peers;
        let operation = Operation::random_or_compaction(&mut rng, etcd.now());
        let wanted = etcd.carry_out(&operation).await?;
        let got = kvd.carry_out(&operation).await?;
        recent.push(format!("{operation:?}\n    {wanted}"));
        let context = recent[recent.len().saturating_sub(CONTEXT)..].join("\n");
        ensure!(
            wanted == got,
            "seed {seed}, request {number}:\n{context}\nkvd: {got}"
        );
    }
    Ok(())
}

async fn compare_seeds(seeds: [u64; 3]) -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let mut peers = [
        Peer::connect(&servers[0]).await?,
        Peer::connect(&servers[1]).await?,
    ];
    for seed in seeds {
        compare(&mut peers, seed).await?;
    }
    Ok(())
}

#[tokio::test]
async fn random_requests_are_answered_as_etcd_answers_them() -> Result<()> {
    Box::pin(compare_seeds([1, 2, 3])).await
}
