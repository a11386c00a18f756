//! The fleet: how soon a start is a start, how long many units take, what machines cost that do nothing.
//!
//! Which figures there are and their targets stand here. fleet itself is not run: nobody builds it any more. What is
//! written of it is that its engine looked every two seconds and its agents every five.
//!
//! Three kinds of machines are measured: keys in the store without any agent (`fleet_engine::trial`), agents
//! with a simulated systemd, and machines in namespaces with all that is real.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use fleet_engine::trial::{self, Size};
use fleet_store::Layout;

use crate::arguments::Arguments;
use crate::kv::server::{self, Cluster, Program};
use crate::table::{Peer, Row, Target, Unit};
use latency::Latencies;
use simulated::Simulated;

pub(crate) mod engine;
mod latency;
mod namespaces;
mod simulated;
mod systemd;

/// Before machines count as idle.
const SETTLE: Duration = Duration::from_secs(3);
const STARTS_TARGETS: [(usize, Target); 2] =
    [(50, Target::AtMost(50.0)), (99, Target::AtMost(250.0))];
const NOTES: [&str; 3] = [
    "kvd, the engine and all agents share the processors of one machine; kvd syncs every write to its disk.",
    "fleet was not run: 2 to 3 s are from the literature, for its engine looks every 2 s, and its agents every 5 s.",
    "Agents are the real ones, with a systemd that does as it is told at once; on namespace machines all is real.",
];

/// How much is measured.
struct Extent {
    sizes: &'static [Size],
    /// Starts one by one.
    starts: usize,
    idle: Duration,
}

/// What was measured, and what is no figure.
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

struct Bench {
    kvd: PathBuf,
    folder: PathBuf,
    extent: Extent,
}

/// With fewer machines a lost one's units could go nowhere: ten of them exclude each other.
const SMALL: Size = Size {
    machines: 20,
    units: 200,
};
const MEDIUM: Size = Size {
    machines: 100,
    units: 1_000,
};
const LARGE: Size = Size {
    machines: 1_000,
    units: 10_000,
};

/// Measures everything; takes some four minutes, or half a one to try whether it works.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<Measured> {
    let programs = arguments.builder.parent().unwrap_or(Path::new("."));
    let extent = if arguments.quick {
        Extent {
            sizes: &[SMALL],
            starts: 10,
            idle: Duration::from_secs(3),
        }
    } else {
        Extent {
            sizes: &[MEDIUM, LARGE],
            starts: 200,
            idle: Duration::from_secs(30),
        }
    };
    let bench = Bench {
        kvd: programs.join("kvd"),
        folder: arguments.cache.join("fleet-bench"),
        extent,
    };
    let mut rows = Vec::new();
    let mut notes = NOTES.map(str::to_owned).to_vec();
    // What was measured before something failed is not lost.
    let mut keep = |what: String, result: anyhow::Result<Vec<Row>>| match result {
        Ok(more) => rows.extend(more),
        Err(error) => notes.push(format!("Not measured: {what}: {error:#}.")),
    };
    keep("machines in namespaces".to_owned(), bench.namespaces());
    for size in bench.extent.sizes {
        let name = named(*size);
        keep(format!("{name}, keys only"), bench.place(*size));
        keep(format!("{name}, with agents"), bench.simulate(*size));
    }
    ensure!(
        !rows.is_empty(),
        "nothing was measured: {}",
        notes.join(" ")
    );
    Ok(Measured { rows, notes })
}

impl Bench {
    fn start_kvd(&self) -> anyhow::Result<Cluster> {
        Cluster::start(&Program::Kvd(self.kvd.clone()), 1, &self.folder)
    }

    /// The engine alone: machines are keys.
    fn place(&self, size: Size) -> anyhow::Result<Vec<Row>> {
        eprintln!("bench: {}, keys only", named(size));
        let cluster = self.start_kvd()?;
        let store = engine::open(&cluster.client_url())?;
        let runtime = tokio::runtime::Runtime::new()?;
        let figures = runtime.block_on(trial::run(&store, &Layout::default(), size))?;
        let name = named(size);
        let moved = figures.moved_units;
        Ok(vec![
            seconds(&format!("{name}: all placed"), figures.placed)
                .with_target(Target::AtMost(10.0)),
            seconds(
                &format!("{name}: {moved} units of a lost machine placed elsewhere"),
                figures.moved,
            ),
        ])
    }

    /// Agents, an engine and kvd.
    fn simulate(&self, size: Size) -> anyhow::Result<Vec<Row>> {
        let name = named(size);
        eprintln!("bench: {name}, with agents");
        let cluster = self.start_kvd()?;
        let runtime = tokio::runtime::Runtime::new()?;
        let started = Simulated::start(size.machines, &cluster, &self.folder);
        let mut machines = runtime.block_on(started)?;
        let filled = runtime.block_on(machines.fill(size.units))?;
        thread::sleep(SETTLE);
        let mut rows = vec![seconds(
            &format!("{name}: all started, until the last start call"),
            filled,
        )];
        let latencies = runtime.block_on(machines.start_singly(self.extent.starts))?;
        rows.extend(starts(&name, &latencies, [Target::None; 2])?);
        rows.extend(self.rest(size, &cluster, &machines)?);
        let (count, took) = runtime.block_on(machines.lose_one())?;
        rows.push(seconds(
            &format!("{name}: {count} units of a lost machine started elsewhere"),
            took,
        ));
        Ok(rows)
    }

    /// What nothing costs.
    fn rest(
        &self,
        size: Size,
        cluster: &Cluster,
        machines: &Simulated,
    ) -> anyhow::Result<Vec<Row>> {
        thread::sleep(SETTLE);
        let name = named(size);
        let own = std::process::id();
        let look = || {
            anyhow::Ok([
                cluster.metric("etcd_debugging_lease_renewed_total")?,
                cluster.metric("etcd_server_proposals_committed_total")?,
                machines.engine.processor_seconds()?,
                server::processor_seconds(own)?,
                cluster.processor_seconds()?,
            ])
        };
        let before = look()?;
        thread::sleep(self.extent.idle);
        let after = look()?;
        let seconds = self.extent.idle.as_secs_f64();
        let [renewals, entries, engine, agents, kvd] =
            std::array::from_fn(|index| (after[index] - before[index]) / seconds);
        let count = f64::from(u32::try_from(size.machines)?);
        let row = |what: &str, unit, value: f64| {
            let name = format!("{name}, idle: {what}");
            Row::new(&name, unit, vec![value], Peer::Absent("–"))
        };
        Ok(vec![
            row(
                "keep-alives per machine in 2 s",
                Unit::Hundredths,
                renewals / count * 2.0,
            )
            .with_target(Target::AtMost(1.0)),
            row(
                "entries of the store's log per machine and minute",
                Unit::Hundredths,
                entries / count * 60.0,
            )
            .with_target(Target::AtMost(0.0)),
            row(
                "keep-alives, the store's only requests",
                Unit::PerSecond,
                renewals,
            ),
            row(
                "processor time of the engine",
                Unit::Percent,
                engine * 100.0,
            ),
            row(
                "processor time of one agent",
                Unit::Percent,
                agents / count * 100.0,
            ),
            row("processor time of kvd", Unit::Percent, kvd * 100.0),
            row(
                "memory of the engine",
                Unit::Megabytes,
                machines.engine.resident_megabytes()?,
            ),
        ])
    }

    /// The real thing. Its machinery is the tests', which panics; that is no reason to measure nothing else.
    fn namespaces(&self) -> anyhow::Result<Vec<Row>> {
        eprintln!("bench: three machines in namespaces");
        let measure = || namespaces::measure(self.extent.starts, self.extent.idle);
        let figures = catch_unwind(AssertUnwindSafe(measure));
        let figures = figures.map_err(|_| anyhow!("they do not start, as told above"))??;
        let name = "three namespace machines";
        let mut rows = starts(
            name,
            &figures.starts,
            STARTS_TARGETS.map(|(_, target)| target),
        )?;
        let largest = figures
            .resident_megabytes
            .into_iter()
            .max_by(f64::total_cmp);
        let busiest = figures.processor_percent.into_iter().max_by(f64::total_cmp);
        let row = |what: &str, unit, value: Option<f64>| {
            let name = format!("{name}, idle: {what} of fleetd, engine and agent, at most");
            Row::new(&name, unit, value.into_iter().collect(), Peer::Absent("–"))
        };
        rows.push(row("memory", Unit::Megabytes, largest).with_target(Target::AtMost(12.0)));
        rows.push(row("processor time", Unit::Percent, busiest));
        Ok(rows)
    }
}

fn named(size: Size) -> String {
    format!("{} machines, {} units", size.machines, size.units)
}

fn seconds(name: &str, took: Duration) -> Row {
    Row::new(
        name,
        Unit::Seconds,
        vec![took.as_secs_f64()],
        Peer::Absent("–"),
    )
}

fn starts(name: &str, latencies: &Latencies, targets: [Target; 2]) -> anyhow::Result<Vec<Row>> {
    let of = |((percent, _), target): ((usize, Target), Target)| {
        let value = latencies
            .percentile(percent)
            .context("nothing was started")?;
        let name = format!("{name}: from a start to the start call, p{percent}");
        let peer = Peer::Absent("2 to 3 s");
        Ok(Row::new(&name, Unit::Milliseconds, vec![value], peer).with_target(target))
    };
    STARTS_TARGETS.into_iter().zip(targets).map(of).collect()
}
