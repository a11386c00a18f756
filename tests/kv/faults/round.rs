//! One round: clients and watchers work, something happens, everything is checked.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::client::{Pace, Workload};
use super::cluster::{Cluster, client_address};
use super::watching::{Manner, Watcher};
use super::{history, order, registers};

/// No test of one round takes so long, unless something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(150);
const CLIENTS: u64 = 6;
/// Done before and after what happens.
const OPERATIONS: u64 = 200;

/// The members of three that are not this one.
pub(crate) fn others(number: u8) -> Vec<u8> {
    (1..=3).filter(|other| *other != number).collect()
}

/// Lets something happen to a healthy cluster, after which it must be healthy again by itself. `seed`
/// must be another one each time.
pub(crate) fn round(
    cluster: &mut Cluster,
    seed: u64,
    happening: impl FnOnce(&mut Cluster, &Workload) -> Result<()>,
) -> Result<()> {
    let members = cluster.members();
    let first = client_address(members[0]);
    let from = history::mark(first)? + 1;
    let workload = Workload::start(CLIENTS, &members, seed, Pace::Easy);
    let manners = [Manner::Stream, Manner::LongPoll, Manner::V3];
    let watchers = manners.map(|manner| Watcher::start(manner, &members, from));
    workload.wait_for_progress(OPERATIONS)?;
    let began = Instant::now();
    let happened = happening(cluster, &workload);
    happened.with_context(|| cluster.report())?;
    eprintln!("it happened in {:?}", began.elapsed());
    cluster.wait_until_all_serve()?;
    eprintln!("all serve after {:?}", began.elapsed());
    let recovered = workload.wait_for_progress(OPERATIONS);
    recovered.with_context(|| cluster.report())?;
    let operations = workload.finish()?;
    let changes = history::changes(first, from)?;
    eprintln!("{} operations, {} changes", operations.len(), changes.len());
    order::check(&operations, &changes).map_err(|violation| anyhow!(violation))?;
    registers::check(&operations).map_err(|violation| anyhow!(violation))?;
    for watcher in watchers {
        watcher.finish(&changes)?;
    }
    for member in cluster.members() {
        let its_own = history::changes(client_address(member), from)?;
        ensure!(its_own == changes, "m{member} tells another history");
    }
    cluster.none_has_ended()
}
