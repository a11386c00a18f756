//! Millions of operations while leaders are killed: one order by revision, over all of them.
//!
//! The general checker of linearizability, which takes small histories only, runs elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::client::{Pace, Workload};
use super::cluster::{Cluster, client_address};
use super::round::others;
use super::{history, order};
use crate::isolation::isolated;

const OPERATIONS: u64 = 2_000_000;
const CLIENTS: u64 = 32;
const BETWEEN_KILLS: Duration = Duration::from_secs(20);
/// After this, the machine is too slow for the number.
const DURATION: Duration = Duration::from_mins(20);
/// Reading the history of three members and checking it comes on top.
const LIMIT: Duration = Duration::from_mins(30);

#[test]
fn soak_millions_of_operations_have_one_order() {
    isolated(
        "faults::millions::soak_millions_of_operations_have_one_order",
        LIMIT,
        || {
            let flags = ["--history-events=0", "--history-bytes=4294967296"];
            let mut cluster = Cluster::prepare(3, &flags)?;
            cluster.spawn_all(3)?;
            let from = history::mark(client_address(1))? + 1;
            let workload = Workload::start(CLIENTS, &[1, 2, 3], 1, Pace::Hurried);
            kill_leaders(&mut cluster, &workload).with_context(|| cluster.report())?;
            let operations = workload.finish()?;
            let changes = history::changes(client_address(1), from)?;
            eprintln!("{} operations, {} changes", operations.len(), changes.len());
            order::check(&operations, &changes).map_err(|violation| anyhow!(violation))?;
            for member in [2, 3] {
                let its_own = history::changes(client_address(member), from)?;
                ensure!(its_own == changes, "m{member} tells another history");
            }
            cluster.none_has_ended()
        },
    );
}

/// One leader after the other, until enough was done.
fn kill_leaders(cluster: &mut Cluster, workload: &Workload) -> Result<()> {
    let began = Instant::now();
    while workload.done() < OPERATIONS {
        let done = workload.done();
        ensure!(
            began.elapsed() < DURATION,
            "only {done} operations in {DURATION:?}"
        );
        std::thread::sleep(BETWEEN_KILLS);
        let leader = cluster.wait_for_leader(&[1, 2, 3])?;
        cluster.kill(leader)?;
        cluster.wait_for_leader(&others(leader))?;
        cluster.spawn(leader)?;
        cluster.wait_until_all_serve()?;
        eprintln!("{:?}: {} operations", began.elapsed(), workload.done());
    }
    Ok(())
}
