//! Containers beside those of docker and podman, and services without a container, in one booted machine.
//!
//! Which figures there are and their targets stand here. All engines take turns, so that a busy moment of this host
//! hits all of them. Each is driven by what its user types: `systemctl start` of a unit with `launch run`,
//! `docker run --detach`, `podman run --detach`.

use anyhow::ensure;
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::builds::Builder;
use crate::table::{Peer, Row, Table, Target, Unit};
use machine::Guest;
use registry::Registry;

mod machine;
mod peers;
mod registry;

const NETWORKS: [&str; 2] = ["none", "bridge"];
/// After this no further rounds begin: the whole is to take twenty minutes in software emulation.
const ROUNDS_LIMIT: Duration = Duration::from_mins(13);
const START_OF_DOCKER: f64 = 0.5;
const START_OF_PODMAN: f64 = 0.8;
const BEYOND_MEGABYTES: f64 = 3.0;
const MANY_OF_BARE: f64 = 3.0;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    /// Keelson's.
    Launch,
    /// Debian's.
    Docker,
    /// Debian's.
    Podman,
    /// The same program as a service, without a container.
    Bare,
}

impl Engine {
    /// As `guest.sh` calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Bare => "bare",
        }
    }
}

/// Values by engine and figure, and what went wrong.
#[derive(Debug, Default)]
struct Figures {
    values: BTreeMap<(Engine, String), Vec<f64>>,
    failures: Vec<String>,
}

impl Figures {
    /// Takes what a step printed. One engine that fails hinders no other.
    fn take(&mut self, engine: Engine, step: anyhow::Result<Vec<(String, f64)>>) {
        match step {
            Ok(figures) => {
                for (name, value) in figures {
                    self.values.entry((engine, name)).or_default().push(value);
                }
            }
            Err(error) => {
                eprintln!("bench: {error:#}");
                self.failures.push(format!("Not measured: {error:#}."));
            }
        }
    }

    fn of(&self, engine: Engine, name: &str, divisor: f64) -> Vec<f64> {
        let values = self.values.get(&(engine, name.to_owned()));
        values
            .into_iter()
            .flatten()
            .map(|value| value / divisor)
            .collect()
    }

    fn row(&self, name: &str, figure: &str, unit: Unit, peer: Engine) -> Row {
        let divisor = match unit {
            // From microseconds.
            Unit::Seconds => 1e6,
            // From KiB.
            _ => 1e6 / 1024.0,
        };
        let of_peer = self.of(peer, figure, divisor);
        let of_peer = if of_peer.is_empty() {
            Peer::Absent("not measured")
        } else {
            Peer::Measured(of_peer)
        };
        Row::new(
            name,
            unit,
            self.of(Engine::Launch, figure, divisor),
            of_peer,
        )
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Extent {
    rounds: u32,
    /// Containers at once.
    many: u32,
    begun: Instant,
}

impl Extent {
    /// The rounds for which there is time; the first one is always done.
    fn rounds(self) -> impl Iterator<Item = u32> {
        (1..=self.rounds)
            .take_while(move |round| *round == 1 || self.begun.elapsed() < ROUNDS_LIMIT)
    }
}

/// Measures everything; takes a quarter of an hour in software emulation.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<Vec<Table>> {
    let builder = Builder::new(arguments)?;
    let folder = builder.cache.join("containers");
    fs::create_dir_all(&folder)?;
    let image = builder.image()?;
    let peers = peers::disk(&builder, &folder)?;
    let registry = Registry::start(&folder)?;
    let work = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&folder)?;
    let load = [host_load(), String::new()];
    let guest = Guest::boot(
        &builder,
        &image,
        &peers,
        registry.name(),
        work.path(),
        arguments.details,
    )?;
    let extent = Extent {
        rounds: if arguments.quick { 1 } else { arguments.runs },
        many: if arguments.quick { 5 } else { 50 },
        begun: Instant::now(),
    };
    let figures = steps(&guest, extent)?;
    let load = [&load[0], &host_load()].map(String::clone);
    let notes = notes(&guest, extent, &load, &figures);
    Ok(tables(&figures, extent, notes))
}

/// The load averages of this host, which does other things, too.
fn host_load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

fn steps(guest: &Guest, extent: Extent) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    eprintln!("bench: containers, memory of {} of launch", extent.many);
    guest.prepare(Engine::Launch)?;
    // Before anybody else uses containerd.
    memory(guest, &mut figures, Engine::Launch, extent.many);
    guest.mount_peers()?;
    let mut engines = vec![Engine::Launch];
    for engine in [Engine::Docker, Engine::Podman] {
        match guest.prepare(engine) {
            Ok(()) => engines.push(engine),
            Err(error) => figures.take(engine, Err(error)),
        }
    }
    first_cycles(guest, &engines);
    for round in extent.rounds() {
        eprintln!(
            "bench: containers, starts, round {round} of {}",
            extent.rounds
        );
        for network in NETWORKS {
            for engine in &engines {
                let step = guest.step(&format!("cycle {} {network}", engine.word()));
                figures.take(*engine, step);
            }
        }
    }
    for engine in engines.iter().filter(|engine| **engine != Engine::Launch) {
        eprintln!(
            "bench: containers, {} of {} at once",
            extent.many,
            engine.word()
        );
        memory(guest, &mut figures, *engine, extent.many);
    }
    for round in extent.rounds() {
        eprintln!(
            "bench: containers, many at once, round {round} of {}",
            extent.rounds
        );
        for engine in [Engine::Bare, Engine::Launch] {
            let step = guest.step(&format!("many {} {}", engine.word(), extent.many));
            figures.take(engine, step);
            guest.step(&format!("end {}", engine.word()))?;
        }
    }
    for round in extent.rounds() {
        eprintln!(
            "bench: containers, pulls, round {round} of {}",
            extent.rounds
        );
        for engine in &engines {
            let step = guest.step(&format!("pull {}", engine.word()));
            figures.take(*engine, step);
        }
    }
    ensure!(
        figures
            .values
            .keys()
            .any(|(engine, _)| *engine == Engine::Launch),
        "nothing was measured: {}",
        figures.failures.join(" ")
    );
    Ok(figures)
}

/// Programs come into memory, and networks into being; what fails here fails again where it is told.
fn first_cycles(guest: &Guest, engines: &[Engine]) {
    for network in NETWORKS {
        for engine in engines {
            let _first = guest.step(&format!("cycle {} {network}", engine.word()));
        }
    }
}

/// Many containers at once, and what stays of them in memory beside the payloads.
fn memory(guest: &Guest, figures: &mut Figures, engine: Engine, many: u32) {
    let word = engine.word();
    let started = guest.step(&format!("many {word} {many}"));
    // Of launch the first time is no figure: its programs were not in memory before.
    figures.take(
        engine,
        started.map(|figures| {
            if engine == Engine::Launch {
                Vec::new()
            } else {
                figures
            }
        }),
    );
    figures.take(engine, guest.step(&format!("memory {word} {many}")));
    if engine == Engine::Launch {
        figures.take(engine, guest.step(&format!("without_daemons {many}")));
    }
    guest.step(&format!("end {word}")).ok();
}

fn notes(guest: &Guest, extent: Extent, load: &[String; 2], figures: &Figures) -> Vec<String> {
    let mut notes = vec![
        format!("Medians of up to {} rounds; docker and podman started {} at once in one.", extent.rounds, extent.many),
        guest.note.clone(),
        format!("Load of the host before and after: {} and {}.", load[0], load[1]),
        "Memory is the proportional set size (PSS) of what is resident beside the payloads, with all containers idle.".to_owned(),
    ];
    notes.extend(figures.failures.iter().cloned());
    notes
}

fn tables(figures: &Figures, extent: Extent, notes: Vec<String>) -> Vec<Table> {
    let many = extent.many;
    let bare = figures
        .row(
            &format!("{many} at once, until the last runs"),
            "many",
            Unit::Seconds,
            Engine::Bare,
        )
        .with_target(Target::RatioAtMost(MANY_OF_BARE));
    vec![
        Table {
            peer: ("docker", "docker"),
            rows: beside(figures, many, Engine::Docker, START_OF_DOCKER),
            notes,
        },
        Table {
            peer: ("podman", "podman"),
            rows: beside(figures, many, Engine::Podman, START_OF_PODMAN),
            notes: Vec::new(),
        },
        Table {
            peer: (
                "the same program by systemd-run, without a container",
                "bare",
            ),
            rows: vec![bare],
            notes: Vec::new(),
        },
    ]
}

fn beside(figures: &Figures, many: u32, peer: Engine, start: f64) -> Vec<Row> {
    let seconds = |name: &str, figure: &str| figures.row(name, figure, Unit::Seconds, peer);
    let megabytes = |name: &str, figure: &str| figures.row(name, figure, Unit::Megabytes, peer);
    let limit = Target::RatioAtMost(start);
    let needed = Row {
        peer: Peer::Measured(figures.of(peer, "daemons", 1e6 / 1024.0)),
        ..megabytes(
            "memory of daemons without which containers end or are not supervised",
            "needed",
        )
    };
    vec![
        seconds("start to running, no network", "start-none").with_target(limit),
        seconds("start to running, on a bridge", "start-bridge").with_target(limit),
        seconds("stop and removal, no network", "stop-none"),
        seconds("stop and removal, on a bridge", "stop-bridge"),
        seconds(&format!("{many} at once, until the last runs"), "many"),
        megabytes(
            &format!("memory of each of {many} idle containers beyond its payload"),
            "beyond",
        )
        .with_target(Target::AtMost(BEYOND_MEGABYTES)),
        megabytes("memory of daemons, idle", "daemons"),
        needed.with_target(Target::AtMost(0.0)),
        seconds("pull and unpack of a 200 MB image", "pull"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_was_not_measured_is_no_zero() {
        let mut figures = Figures::default();
        figures.take(
            Engine::Launch,
            Ok(vec![("start-none".to_owned(), 500_000.0)]),
        );
        figures.take(Engine::Docker, Err(anyhow::anyhow!("no dockerd")));
        let row = figures.row("start", "start-none", Unit::Seconds, Engine::Docker);
        assert_eq!(
            (row.ours, row.peer),
            (vec![0.5], Peer::Absent("not measured"))
        );
        assert_eq!(figures.failures, ["Not measured: no dockerd."]);
    }

    #[test]
    fn memory_is_told_in_millions_of_bytes() {
        let mut figures = Figures::default();
        let ours = vec![("beyond".to_owned(), 1000.0)];
        figures.take(Engine::Launch, Ok(ours));
        let row = figures.row("memory", "beyond", Unit::Megabytes, Engine::Podman);
        assert!((row.ours[0] - 1.024).abs() < 1e-9, "{row:?}");
    }
}
