//! Three machines in namespaces with the real fleetd and systemd, over a real kvd.
//!
//! They are those of the fleet's tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use fleet_api::{Client, Connector, Endpoint, Tls, Unit, UnitOption};
use fleet_model::State;
use rustix::time::{ClockId, clock_gettime};

use super::latency::Latencies;
use crate::cluster::Cluster;
use crate::kv::server::{megabytes_in, processor_seconds_in};

const MACHINES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a machine that has started is at rest.
const SETTLE: Duration = Duration::from_secs(10);

/// What was measured.
pub(crate) struct Figures {
    /// From the request to the API to systemd's beginning of the start.
    pub(crate) starts: Latencies,
    /// Of each fleetd, idle, in millions of bytes.
    pub(crate) resident_megabytes: Vec<f64>,
    /// Of a processor, of each fleetd, idle.
    pub(crate) processor_percent: Vec<f64>,
}

/// Measures so many starts, and how the machines are at rest for a while.
pub(crate) fn measure(starts: usize, idle: Duration) -> anyhow::Result<Figures> {
    let cluster = Cluster::start(MACHINES, &[]);
    thread::sleep(SETTLE);
    let folders = fleetds(&cluster)?;
    let before = seconds(&folders)?;
    thread::sleep(idle);
    let after = seconds(&folders)?;
    let resident = folders.iter().map(|folder| megabytes_in(folder, "VmRSS:"));
    let resident_megabytes = resident.collect::<anyhow::Result<_>>()?;
    let used = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after - before);
    let processor_percent = used.map(|used| used / idle.as_secs_f64() * 100.0);
    let processor_percent = processor_percent.collect();
    Ok(Figures {
        starts: start_singly(&cluster, starts)?,
        resident_megabytes,
        processor_percent,
    })
}

/// The root of a machine's file system, seen from here.
fn root(cluster: &Cluster, machine: usize) -> PathBuf {
    format!("/proc/{}/root", cluster.machines[machine].process_id()).into()
}

/// Each fleetd's folder in its machine's `/proc`.
fn fleetds(cluster: &Cluster) -> anyhow::Result<Vec<PathBuf>> {
    let folder = |machine: usize| {
        let id = cluster.property(machine, "fleetd.service", "MainPID");
        ensure!(id.parse::<u32>().is_ok_and(|id| id > 0), "no fleetd: {id}");
        Ok(root(cluster, machine).join("proc").join(id))
    };
    (0..MACHINES).map(folder).collect()
}

fn seconds(folders: &[PathBuf]) -> anyhow::Result<Vec<f64>> {
    let all = folders.iter().map(|folder| processor_seconds_in(folder));
    all.collect()
}

fn start_singly(cluster: &Cluster, count: usize) -> anyhow::Result<Latencies> {
    let socket = root(cluster, 0).join("run/fleet.sock");
    let connector = Connector::new(&Endpoint::Unix(socket), &Tls::default())?;
    let client = Client::new(connector, PATIENCE);
    let runtime = tokio::runtime::Runtime::new()?;
    let mut asked = BTreeMap::new();
    for number in 0..count {
        let name = format!("bench@{number}.service");
        asked.insert(name.clone(), monotonic());
        runtime.block_on(start(&client, &name))?;
    }
    let mut latencies = Latencies::default();
    for machine in 0..MACHINES {
        let script = "systemctl show -p Id,InactiveExitTimestampMonotonic 'bench@*.service'";
        let text = cluster.sh(machine, script);
        for (name, started) in timestamps(&text)? {
            let asked = asked.get(&name).context("a unit of ours")?;
            latencies.push(started.saturating_sub(*asked));
        }
    }
    ensure!(latencies.count() == count, "some units were not started");
    Ok(latencies)
}

/// Starts a unit, and waits until it is active: the next one is not to wait for it.
async fn start(client: &Client, name: &str) -> anyhow::Result<()> {
    let unit = Unit {
        name: name.to_owned(),
        desired_state: Some(State::Launched),
        options: vec![UnitOption::new(
            "Service",
            "ExecStart",
            "/bin/sleep infinity",
        )],
        ..Unit::default()
    };
    client.put_unit(&unit).await?;
    let begun = Instant::now();
    loop {
        let states = client.states(Some(name)).await?;
        if states
            .iter()
            .any(|state| state.systemd_active_state == "active")
        {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The clock that systemd's time stamps are of; namespaces share it.
fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    // It is never negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Blocks of `Id=` and `InactiveExitTimestampMonotonic=` lines.
fn timestamps(text: &str) -> anyhow::Result<Vec<(String, Duration)>> {
    let mut found = Vec::new();
    for block in text.split("\n\n") {
        let value = |key: &str| {
            let mut lines = block.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        let (Some(id), Some(time)) = (value("Id"), value("InactiveExitTimestampMonotonic")) else {
            continue;
        };
        found.push((id.to_owned(), Duration::from_micros(time.parse()?)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemctls_blocks_are_read() {
        let text = "Id=bench@0.service\nInactiveExitTimestampMonotonic=1500000\n\nInactiveExitTimestampMonotonic=7\nId=bench@1.service\n";
        let expected = [
            ("bench@0.service".to_owned(), Duration::from_millis(1500)),
            ("bench@1.service".to_owned(), Duration::from_micros(7)),
        ];
        assert_eq!(timestamps(text).unwrap(), expected);
    }
}
