//! What is left to do when no agent runs: units that stop on partitions must not outlive the lease.
//!
//! For a service that systemd starts whenever the agent's own has ended (`OnSuccess=`, `OnFailure=`). It reads
//! what the last agent left, and gives up as soon as another agent has had the lease confirmed.

use std::sync::Arc;

use fleet_model::OnPartition;
use machine_facts::system_root::SystemRoot;
use systemd_unit::UnitName;
use tokio::time::{Instant, sleep, sleep_until};

use crate::calls::{Call, each, full_text};
use crate::fence::{AGAIN, end_now};
use crate::lease_memory::{Deadline, LeaseMemory, Uptime};
use crate::systemd::{Systemd, SystemdError};
use crate::unit_directory::UnitDirectory;

/// Ends the units that stop on partitions in time, unless an agent comes back; returns when there is nothing
/// left to guard. It may be killed and run again.
pub async fn guard<S: Systemd>(root: SystemRoot, uptime: Uptime, systemd: S) {
    let systemd = Arc::new(systemd);
    let directory = UnitDirectory::new(root.clone());
    let memory = LeaseMemory::new(root, uptime);
    let deadline = memory.deadline();
    if condemned(&directory).is_empty() {
        return;
    }
    sleep_until(deadline.map_or_else(Instant::now, Deadline::stop_at)).await;
    if is_renewed(&memory, deadline) {
        return;
    }
    each(&systemd, Call::Stop, &condemned(&directory)).await;
    sleep_until(deadline.map_or_else(Instant::now, Deadline::kill_at)).await;
    while !is_renewed(&memory, deadline) {
        match running(&systemd, &condemned(&directory)).await {
            Ok(left) if left.is_empty() => return,
            Ok(left) => end_now(&systemd, &left).await,
            Err(error) => tracing::warn!("{}", full_text(&error)),
        }
        sleep(AGAIN).await;
    }
}

/// Whether an agent has had the lease confirmed since.
fn is_renewed(memory: &LeaseMemory, before: Option<Deadline>) -> bool {
    let now = memory.deadline();
    now.is_some_and(|now| before.is_none_or(|before| now.stop_at() > before.stop_at() + AGAIN))
}

fn condemned(directory: &UnitDirectory) -> Vec<UnitName> {
    let held = directory.read_all().into_iter();
    let stops = held.filter(|(_, held)| held.on_partition == OnPartition::Stop);
    stops.map(|(name, _)| name).collect()
}

async fn running<S: Systemd>(
    systemd: &Arc<S>,
    units: &[UnitName],
) -> Result<Vec<UnitName>, SystemdError> {
    let statuses = systemd.statuses(units).await?;
    let all = units.iter().zip(statuses);
    let running = all.filter(|(_, status)| !status.is_stopped());
    Ok(running.map(|(name, _)| name.clone()).collect())
}
