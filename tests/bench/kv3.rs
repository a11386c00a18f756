//! The key-value store's v3 API beside etcd's: rates, latencies, processor time, watchers, check perf.
//!
//! Both get the same calls from the same load generator, alternating, on the same disk, with their own
//! defaults for durability. Which figures there are and their targets stand here.
use std::path::Path;

use crate::arguments::Arguments;
use crate::kv::load::{self, Call, Load, Report};
use crate::kv::server::{Cluster, Program};
use crate::kv::{KEYS, Pair};
use crate::table::{Row, Target, Unit};
use check::Check;

mod check;

const CONNECTIONS: [u32; 3] = [1, 64, 256];
const MANY_WATCHERS: u32 = 10_000;
const WATCH_CONNECTIONS: u32 = 100;
const CALLS: [Call; 4] = [
    Call::Put,
    Call::LinearizableRange,
    Call::SerializableRange,
    Call::Txn,
];

/// How much is measured.
struct Extent {
    runs: u32,
    seconds: u32,
    writes_watched: u64,
    many_watchers: u32,
    checks: &'static [Check],
}

/// What was measured, and what is no figure.
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
    /// How often each figure was measured.
    pub(crate) runs: u32,
}

struct Bench<'a> {
    programs: [Program; 2],
    kvctl: &'a Path,
    folder: &'a Path,
    extent: Extent,
}

/// Measures everything; takes some fifteen minutes, or one to try whether it works.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<Measured> {
    let programs = arguments.builder.parent().unwrap_or(Path::new("."));
    let extent = if arguments.quick {
        Extent {
            runs: 1,
            seconds: 1,
            writes_watched: 3,
            many_watchers: 200,
            checks: &[],
        }
    } else {
        Extent {
            runs: arguments.runs,
            seconds: 5,
            writes_watched: 200,
            many_watchers: MANY_WATCHERS,
            checks: &[Check::Medium, Check::Large],
        }
    };
    let bench = Bench {
        programs: [Program::Kvd(programs.join("kvd")), Program::Etcd],
        kvctl: &programs.join("kvctl"),
        folder: &arguments.cache.join("kv-bench"),
        extent,
    };
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        for call in CALLS {
            rows.extend(bench.calls(call, connections)?);
        }
        rows.push(bench.watch(connections)?);
    }
    rows.extend(bench.many_watchers()?);
    let mut notes = Vec::new();
    for check in bench.extent.checks {
        let (more, told) = bench.check(*check)?;
        rows.extend(more);
        notes.extend(told);
    }
    let runs = bench.extent.runs;
    Ok(Measured { rows, notes, runs })
}

impl Bench<'_> {
    fn start(&self, program: &Program) -> anyhow::Result<Cluster> {
        Cluster::start(program, 1, self.folder)
    }

    fn load(&self, cluster: &Cluster, load: &Load) -> anyhow::Result<Report> {
        load::run(self.kvctl, &cluster.client_url(), load)
    }

    fn calls(&self, call: Call, connections: u32) -> anyhow::Result<Vec<Row>> {
        let (mut rate, mut p99, mut cost) = <(Pair, Pair, Pair)>::default();
        for run in 1..=self.extent.runs {
            for program in &self.programs {
                eprintln!("bench: {program}, {connections} client(s), {call}, run {run}");
                let cluster = self.start(program)?;
                if call != Call::Put {
                    let writes = Load::grpc(Call::Put, 64).requests(KEYS).each_key();
                    self.load(&cluster, &writes)?;
                }
                let load = Load::grpc(call, connections)
                    .prepared()
                    .seconds(self.extent.seconds);
                let before = cluster.processor_seconds()?;
                let report = self.load(&cluster, &load)?;
                let used = cluster.processor_seconds()? - before;
                rate.push(program, report.per_second);
                p99.push(program, report.p99_milliseconds);
                cost.push(program, used * 1e6 / report.requests);
            }
        }
        let has_target = connections > 1 && matches!(call, Call::Put | Call::LinearizableRange);
        let target = |target| if has_target { target } else { Target::None };
        let name = format!("v3, {connections} client(s), {call}");
        Ok(vec![
            rate.row(&name, Unit::PerSecond, target(Target::RatioAtLeast(2.0))),
            p99.row(
                &format!("{name}: p99"),
                Unit::Milliseconds,
                target(Target::RatioAtMost(1.0)),
            ),
            cost.row(
                &format!("{name}: server's processor time each"),
                Unit::Microseconds,
                Target::None,
            ),
        ])
    }

    /// From a write to the notice of each watcher, one a connection.
    fn watch(&self, connections: u32) -> anyhow::Result<Row> {
        let mut p99 = Pair::default();
        for run in 1..=self.extent.runs {
            for program in &self.programs {
                eprintln!("bench: {program}, {connections} watchers, run {run}");
                let cluster = self.start(program)?;
                let load = Load::grpc(Call::Watch, connections);
                let load = load.requests(self.extent.writes_watched);
                p99.push(program, self.load(&cluster, &load)?.p99_milliseconds);
            }
        }
        let name = format!("v3, {connections} watcher(s): from the write to the notice, p99");
        Ok(p99.row(&name, Unit::Milliseconds, Target::None))
    }

    fn many_watchers(&self) -> anyhow::Result<Vec<Row>> {
        let count = self.extent.many_watchers;
        let (mut last, mut memory) = <(Pair, Pair)>::default();
        for run in 1..=self.extent.runs {
            for program in &self.programs {
                eprintln!("bench: {program}, {count} watchers on one prefix, run {run}");
                let cluster = self.start(program)?;
                let load = Load::grpc(Call::Watch, WATCH_CONNECTIONS);
                let report = self.load(&cluster, &load.watchers(count).requests(10))?;
                last.push(program, report.last_max_milliseconds / 1e3);
                memory.push(program, cluster.peak_megabytes()?);
            }
        }
        let name = format!("v3, {count} watchers on one prefix");
        Ok(vec![
            last.row(
                &format!("{name}: until the last is served, longest of 10 writes"),
                Unit::Seconds,
                Target::AtMost(1.0),
            ),
            memory.row(
                &format!("{name}: memory resident at most"),
                Unit::Megabytes,
                Target::AtMost(200.0),
            ),
        ])
    }

    /// etcd's own yardstick; once, because it takes a minute.
    fn check(&self, check: Check) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
        let (mut rate, mut slowest, mut deviation) = <(Pair, Pair, Pair)>::default();
        let mut notes = Vec::new();
        for program in &self.programs {
            eprintln!("bench: {program}, etcdctl check perf --load={check}");
            let cluster = self.start(program)?;
            let told = check::run(check, &cluster.client_url())?;
            rate.push(program, told.per_second);
            slowest.push(program, told.slowest_seconds * 1e3);
            deviation.push(program, told.deviation_seconds * 1e3);
            let verdict = if told.passed { "passes" } else { "**fails**" };
            notes.push(format!(
                "{program} {verdict} `etcdctl check perf --load={check}`."
            ));
        }
        let name = format!("check perf --load={check}");
        let rows = vec![
            rate.row(&format!("{name}: writes"), Unit::PerSecond, Target::None),
            slowest.row(
                &format!("{name}: slowest"),
                Unit::Milliseconds,
                Target::AtMost(500.0),
            ),
            deviation.row(
                &format!("{name}: standard deviation"),
                Unit::Milliseconds,
                Target::AtMost(100.0),
            ),
        ];
        Ok((rows, notes))
    }
}
