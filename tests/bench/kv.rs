//! The key-value store's figures beside etcd's: rates, latencies, memory, processor time, restarts.
//!
//! Both get the same requests from the same load generator, alternating, on the same disk, with their
//! own defaults for durability: each acknowledged write has been synced by both. Which figures there
//! are and their targets stand here; starting servers and making load is in the modules below.
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::table::{Peer, Row, Target, Unit};
use load::{Load, Report};
use server::{Cluster, Program};

pub(crate) mod load;
pub(crate) mod server;

const CONNECTIONS: [u32; 3] = [1, 64, 256];
const RUN_SECONDS: u32 = 5;
pub(crate) const KEYS: u64 = 10_000;
const MANY_WRITES: u64 = 1_000_000;
const LARGE_KEYS: u64 = 200_000;
const LARGE_VALUE_BYTES: u32 = 1_024;
const WATCHERS: u32 = 1_000;
const IDLE: Duration = Duration::from_secs(10);

/// The same figure of both.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pair {
    pub(crate) fn push(&mut self, program: &Program, value: f64) {
        match program {
            Program::Kvd(_) => self.ours.push(value),
            Program::Etcd => self.theirs.push(value),
        }
    }

    pub(crate) fn row(self, name: &str, unit: Unit, target: Target) -> Row {
        Row::new(name, unit, self.ours, Peer::Measured(self.theirs)).with_target(target)
    }
}

/// What is needed to measure.
#[derive(Debug)]
struct Bench {
    programs: [Program; 2],
    kvctl: PathBuf,
    folder: PathBuf,
    runs: u32,
}

/// Measures everything; takes some ten minutes.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let programs = arguments.builder.parent().unwrap_or(Path::new("."));
    let bench = Bench {
        programs: [Program::Kvd(programs.join("kvd")), Program::Etcd],
        kvctl: programs.join("kvctl"),
        folder: arguments.cache.join("kv-bench"),
        runs: arguments.runs,
    };
    let mut rows = bench.idle()?;
    for connections in CONNECTIONS {
        rows.extend(bench.writes(1, connections)?);
        rows.extend(bench.reads(connections)?);
    }
    rows.extend(bench.writes(3, 64)?);
    rows.extend(bench.watchers()?);
    rows.extend(bench.many_writes()?);
    rows.extend(bench.large_state()?);
    Ok(rows)
}

impl Bench {
    fn start(&self, program: &Program, members: usize) -> anyhow::Result<Cluster> {
        Cluster::start(program, members, &self.folder)
    }

    fn load(&self, cluster: &Cluster, load: &Load) -> anyhow::Result<Report> {
        load::run(&self.kvctl, &cluster.client_url(), load)
    }

    /// A server that nobody talks to.
    fn idle(&self) -> anyhow::Result<Vec<Row>> {
        let (mut memory, mut processor) = (Pair::default(), Pair::default());
        for program in &self.programs {
            eprintln!("bench: {program}, idle");
            let cluster = self.start(program, 1)?;
            thread::sleep(Duration::from_secs(3));
            let before = cluster.processor_seconds()?;
            thread::sleep(IDLE);
            let used = cluster.processor_seconds()? - before;
            processor.push(program, used / IDLE.as_secs_f64() * 100.0);
            memory.push(program, cluster.resident_megabytes()?);
        }
        Ok(vec![
            memory.row(
                "kv, idle: memory resident",
                Unit::Megabytes,
                Target::AtMost(15.0),
            ),
            processor.row(
                "kv, idle: share of one processor",
                Unit::Percent,
                Target::AtMost(0.5),
            ),
        ])
    }

    fn writes(&self, members: usize, connections: u32) -> anyhow::Result<Vec<Row>> {
        let (mut rate, mut median, mut p99, mut cost) = Default::default();
        for run in 1..=self.runs {
            for program in &self.programs {
                eprintln!(
                    "bench: {program}, {members} member(s), {connections} writers, run {run}"
                );
                let cluster = self.start(program, members)?;
                let before = cluster.processor_seconds()?;
                let report = self.load(&cluster, &Load::put(connections).seconds(RUN_SECONDS))?;
                let used = cluster.processor_seconds()? - before;
                Pair::push(&mut rate, program, report.per_second);
                Pair::push(&mut median, program, report.p50_milliseconds);
                Pair::push(&mut p99, program, report.p99_milliseconds);
                Pair::push(&mut cost, program, used * 1e6 / report.requests);
            }
        }
        let name = format!("kv, {members} member(s), {connections} writers");
        let least = if connections == 1 { 1.0 } else { 2.0 };
        let target = |target| if members == 1 { target } else { Target::None };
        Ok(vec![
            rate.row(&name, Unit::PerSecond, target(Target::RatioAtLeast(least))),
            median.row(&format!("{name}: median"), Unit::Milliseconds, Target::None),
            p99.row(
                &format!("{name}: p99"),
                Unit::Milliseconds,
                target(Target::RatioAtMost(1.0)),
            ),
            cost.row(
                &format!("{name}: server's processor time a write"),
                Unit::Microseconds,
                target(Target::RatioAtMost(0.5)),
            ),
        ])
    }

    fn reads(&self, connections: u32) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (kind, quorum) in [("local", false), ("linearizable", true)] {
            let (mut rate, mut p99) = (Pair::default(), Pair::default());
            for run in 1..=self.runs {
                for program in &self.programs {
                    eprintln!("bench: {program}, {connections} {kind} readers, run {run}");
                    let cluster = self.start(program, 1)?;
                    self.load(&cluster, &Load::put(64).requests(KEYS))?;
                    let load = Load::get(connections, quorum).seconds(RUN_SECONDS);
                    let report = self.load(&cluster, &load)?;
                    rate.push(program, report.per_second);
                    p99.push(program, report.p99_milliseconds);
                }
            }
            let target = if quorum {
                Target::RatioAtLeast(2.0)
            } else {
                Target::None
            };
            let name = format!("kv, {connections} {kind} readers");
            rows.push(rate.row(&name, Unit::PerSecond, target));
            rows.push(p99.row(&format!("{name}: p99"), Unit::Milliseconds, Target::None));
        }
        Ok(rows)
    }

    fn watchers(&self) -> anyhow::Result<Vec<Row>> {
        let mut p99 = Pair::default();
        for program in &self.programs {
            eprintln!("bench: {program}, {WATCHERS} watchers");
            let cluster = self.start(program, 1)?;
            let report = self.load(&cluster, &Load::watch(WATCHERS).requests(200))?;
            p99.push(program, report.p99_milliseconds);
        }
        let name = format!("kv, {WATCHERS} watchers: from the write to the notice, p99");
        Ok(vec![p99.row(&name, Unit::Milliseconds, Target::None)])
    }

    fn many_writes(&self) -> anyhow::Result<Vec<Row>> {
        let (mut memory, mut longest) = (Pair::default(), Pair::default());
        for program in &self.programs {
            eprintln!("bench: {program}, {MANY_WRITES} writes");
            let cluster = self.start(program, 1)?;
            let report = self.load(&cluster, &Load::put(64).requests(MANY_WRITES))?;
            memory.push(program, cluster.resident_megabytes()?);
            longest.push(program, report.max_milliseconds);
        }
        let name = format!("kv, after {MANY_WRITES} writes to {KEYS} keys");
        let target = Target::AtMost(100.0);
        Ok(vec![
            memory.row(&format!("{name}: memory resident"), Unit::Megabytes, target),
            longest.row(
                &format!("{name}: longest request"),
                Unit::Milliseconds,
                target,
            ),
        ])
    }

    fn large_state(&self) -> anyhow::Result<Vec<Row>> {
        let (mut memory, mut restart) = (Pair::default(), Pair::default());
        for program in &self.programs {
            eprintln!("bench: {program}, {LARGE_KEYS} keys of {LARGE_VALUE_BYTES} bytes");
            let mut cluster = self.start(program, 1)?;
            let load = Load::put(64)
                .requests(LARGE_KEYS)
                .distinct_keys(LARGE_KEYS, LARGE_VALUE_BYTES);
            self.load(&cluster, &load)?;
            memory.push(program, cluster.resident_megabytes()?);
            restart.push(program, cluster.restart()?.as_secs_f64());
        }
        let name = format!("kv, with {LARGE_KEYS} keys of {LARGE_VALUE_BYTES} bytes");
        Ok(vec![
            memory.row(
                &format!("{name}: memory resident"),
                Unit::Megabytes,
                Target::RatioAtMost(0.2),
            ),
            restart.row(
                &format!("{name}: restart"),
                Unit::Seconds,
                Target::RatioAtMost(1.0),
            ),
        ])
    }
}
