//! `top`: the machines with what they carry, the fullest first, kept up to date.
//!
//! Reservations and capacities are what the scheduler counts with. Beside them is what each machine really uses,
//! as its kernel counts it: of everything that runs there, the fleet's units or not.

mod used;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;

use fleet_api::{Event, EventRecord, Events, Machine, MachineCapacity, Unit, UnitState, UsagePage};
use fleet_model::Resources;
use jiff::Zoned;
use serde::Serialize;
use systemd_unit::UnitName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::arguments::Top;
use crate::connect::{Session, id_legend};
use crate::failure::Failure;
use crate::fields::or_dash;
use crate::output::Output;
use crate::table::Table;
use crate::terminal::Terminal;
use used::{Usages, Used};

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);
/// Between the two answers that processors are counted from when nothing is shown for longer.
const SAMPLE: Duration = Duration::from_millis(500);
const COLUMNS: &[&str] = &[
    "machine",
    "ip",
    "units",
    "active",
    "failed",
    "cpu",
    "reserved",
    "memory",
    "reserved",
    "tasks",
    "reserved",
    "availability",
];

/// All that is shown, from events.
#[derive(Debug, Default)]
struct Cluster {
    machines: BTreeMap<String, Machine>,
    /// What each unit reserves.
    reservations: HashMap<String, Resources>,
    /// By machine and unit.
    states: BTreeMap<(String, String), UnitState>,
    usages: Usages,
}

/// A machine with what it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Load {
    #[serde(rename = "machineID")]
    machine_id: String,
    #[serde(rename = "primaryIP")]
    primary_ip: String,
    availability: fleet_api::Availability,
    units: usize,
    active: usize,
    /// Units that systemd calls failed, or that the machine cannot run.
    failed: usize,
    used: Used,
    reserved: Reserved,
    capacity: MachineCapacity,
}

/// What a machine's units reserve together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reserved {
    memory_bytes: u64,
    cpu_thousandths: u64,
    tasks: u64,
}

/// Runs until the user ends it; once for JSON and whatever is no terminal.
pub(crate) async fn run(session: &Session<'_>, top: &Top) -> Result<u8, Failure> {
    let mut cluster = Cluster::default();
    let mut events = session.client()?.events().await.map_err(|error| {
        if error.is_not_found() {
            Failure::new("this fleetd tells no events: it is an older one")
        } else {
            error.into()
        }
    })?;
    while let Some(record) = events.next().await {
        if cluster.take(record?) {
            break;
        }
    }
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if session.output() == Output::Json || !is_terminal {
        sample(session, &mut cluster.usages).await?;
        let loads = cluster.loads();
        session.output().list(&table(&loads), &loads)?;
        return Ok(0);
    }
    show(session, top, cluster, events).await
}

/// Two answers, for what machines use now. An older fleetd has none.
async fn sample(session: &Session<'_>, usages: &mut Usages) -> Result<(), Failure> {
    let client = session.client()?;
    for pause in [SAMPLE, Duration::ZERO] {
        let Some(page) = client.usage(None).await? else {
            return Ok(());
        };
        usages.take(page);
        sleep(pause).await;
    }
    Ok(())
}

async fn show(
    session: &Session<'_>,
    top: &Top,
    mut cluster: Cluster,
    events: Events,
) -> Result<u8, Failure> {
    let mut terminal = Terminal::enter()?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut ticks = interval(top.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (sender, mut changes) = mpsc::unbounded_channel();
    let mut asker = pin!(ask_usage(session, top.interval, sender.clone()));
    let mut follower = pin!(follow(session, events, sender));
    let mut is_connected = true;
    loop {
        tokio::select! {
            key = terminal.key() => if is_end(key) { return Ok(0) },
            _ = terminated.recv() => return Ok(0),
            _ = ticks.tick() => Terminal::draw(&screen(&cluster, is_connected))?,
            () = &mut follower => return Ok(0),
            () = &mut asker => return Ok(0),
            Some(change) = changes.recv() => match change {
                Change::Event(record) => {
                    cluster.take(record);
                }
                Change::Usage(page) => cluster.usages.take(page),
                Change::Lost => is_connected = false,
                Change::Found => {
                    is_connected = true;
                    cluster = Cluster::default();
                }
            },
        }
    }
}

/// q, Ctrl-C and Ctrl-D; the end of the input too.
fn is_end(key: Option<u8>) -> bool {
    matches!(key, None | Some(b'q' | b'Q' | 3 | 4))
}

/// What became of the connection, or came over it.
enum Change {
    Event(EventRecord),
    Usage(UsagePage),
    Lost,
    /// Everything is told anew.
    Found,
}

/// Passes events on, over one connection after another, as long as anybody listens.
async fn follow(session: &Session<'_>, mut events: Events, changes: mpsc::UnboundedSender<Change>) {
    loop {
        while let Some(Ok(record)) = events.next().await {
            if changes.send(Change::Event(record)).is_err() {
                return;
            }
        }
        let _told = changes.send(Change::Lost);
        events = connect(session).await;
        let _told = changes.send(Change::Found);
    }
}

/// Asks again and again what machines use, as long as anybody listens. Whether there is a connection is told by
/// events: what cannot be asked now is asked later.
async fn ask_usage(session: &Session<'_>, pause: Duration, changes: mpsc::UnboundedSender<Change>) {
    loop {
        if let Ok(client) = session.client()
            && let Ok(Some(page)) = client.usage(None).await
            && changes.send(Change::Usage(page)).is_err()
        {
            return;
        }
        sleep(pause.max(SAMPLE)).await;
    }
}

async fn connect(session: &Session<'_>) -> Events {
    loop {
        sleep(RETRY).await;
        if let Ok(client) = session.client()
            && let Ok(events) = client.events().await
        {
            return events;
        }
    }
}

impl Cluster {
    /// Takes an event in; whether everything was told that was there.
    fn take(&mut self, record: EventRecord) -> bool {
        match record.event {
            Event::Unit { unit } => self.see_unit(&unit),
            Event::UnitGone { name } => drop(self.reservations.remove(&name)),
            Event::State { state } => {
                let key = (state.machine_id.clone(), state.name.clone());
                self.states.insert(key, state);
            }
            Event::StateGone { name, machine_id } => {
                self.states.remove(&(machine_id, name));
            }
            Event::Machine { machine } => {
                self.machines.insert(machine.id.clone(), machine);
            }
            Event::MachineGone { id } => drop(self.machines.remove(&id)),
            Event::Synced => return true,
        }
        false
    }

    /// A unit is told with its options only when these are new.
    fn see_unit(&mut self, unit: &Unit) {
        if unit.options.is_empty() {
            return;
        }
        let Ok(name) = UnitName::new(unit.name.as_str()) else {
            return;
        };
        if let Ok(options) = unit.fleet_options(&name) {
            let reservation = options.reservation;
            self.reservations.insert(unit.name.clone(), reservation);
        }
    }

    /// The fullest machine first.
    fn loads(&self) -> Vec<Load> {
        let mut loads: Vec<Load> = self.machines.values().map(|one| self.load(one)).collect();
        loads.sort_by(|a, b| (b.units, &a.machine_id).cmp(&(a.units, &b.machine_id)));
        loads
    }

    fn load(&self, machine: &Machine) -> Load {
        let first = (machine.id.clone(), String::new());
        let states = self.states.range(first..);
        let states = states.take_while(|((id, _), _)| *id == machine.id);
        let mut load = Load {
            machine_id: machine.id.clone(),
            primary_ip: machine.primary_ip.clone(),
            availability: machine.availability,
            units: 0,
            active: 0,
            failed: 0,
            used: self.usages.of(&machine.id),
            reserved: Reserved::default(),
            capacity: machine.capacity,
        };
        let mut reserved = Resources::default();
        for ((_, name), state) in states {
            load.units += 1;
            let active = state.systemd_active_state.as_str();
            load.active += usize::from(active == "active");
            load.failed += usize::from(active == "failed" || !state.problem.is_empty());
            let own = self.reservations.get(name);
            reserved = reserved.plus(own.copied().unwrap_or_default());
        }
        load.reserved = Reserved {
            memory_bytes: reserved.memory,
            cpu_thousandths: reserved.cpu,
            tasks: reserved.tasks,
        };
        load
    }
}

fn screen(cluster: &Cluster, is_connected: bool) -> String {
    let loads = cluster.loads();
    let sum = |of: fn(&Load) -> usize| loads.iter().map(of).sum::<usize>();
    let connection = if is_connected {
        "q quits"
    } else {
        "no connection; trying again, q quits"
    };
    let mut text = format!(
        "{}  {} machines, {} units, {} active, {} failed  ({connection})\n\n{}",
        Zoned::now().strftime("%H:%M:%S"),
        loads.len(),
        sum(|load| load.units),
        sum(|load| load.active),
        sum(|load| load.failed),
        table(&loads)
    );
    for (problem, count) in cluster.usages.problems() {
        let machines = if count == 1 {
            "machine uses"
        } else {
            "machines use"
        };
        // Writing to a string cannot fail.
        let _written = write!(text, "\nwhat {count} {machines} is not known: {problem}");
    }
    text
}

fn table(loads: &[Load]) -> Table {
    let mut table = Table::new(COLUMNS, true);
    for load in loads {
        let (reserved, capacity) = (load.reserved, load.capacity);
        let [cpu, memory, tasks] = used(&load.used);
        table.push(vec![
            id_legend(&load.machine_id, false),
            or_dash(&load.primary_ip),
            load.units.to_string(),
            load.active.to_string(),
            load.failed.to_string(),
            cpu,
            share(reserved.cpu_thousandths, capacity.cpu_thousandths, cpus),
            memory,
            share(reserved.memory_bytes, capacity.memory_bytes, bytes),
            tasks,
            share(reserved.tasks, capacity.tasks, |count| count.to_string()),
            load.availability.to_string(),
        ]);
    }
    table
}

/// Processors, memory and tasks.
fn used(used: &Used) -> [String; 3] {
    let nothing = || "-".to_owned();
    match used {
        Used::Unknown | Used::Unreachable { .. } => [nothing(), nothing(), nothing()],
        Used::Known {
            cpu_thousandths,
            memory_bytes,
            tasks,
        } => [
            cpu_thousandths.map_or_else(nothing, cpus),
            bytes(*memory_bytes),
            tasks.to_string(),
        ],
    }
}

/// `1.5/8`, or without what a machine has if that is not known.
fn share(reserved: u64, capacity: Option<u64>, text: fn(u64) -> String) -> String {
    match capacity {
        Some(capacity) => format!("{}/{}", text(reserved), text(capacity)),
        None if reserved == 0 => "-".to_owned(),
        None => text(reserved),
    }
}

/// Thousandths as processors, with a digit after the point.
fn cpus(thousandths: u64) -> String {
    let tenths = (thousandths + 50) / 100;
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        digit => format!("{}.{digit}", tenths / 10),
    }
}

/// With the largest unit that leaves a number before the point.
fn bytes(count: u64) -> String {
    let units = [("G", 1_u64 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    let Some((letter, size)) = units.into_iter().find(|(_, size)| count >= *size) else {
        return count.to_string();
    };
    let tenths = (u128::from(count) * 10 + u128::from(size) / 2) / u128::from(size);
    format!("{}.{}{letter}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        let cases = [(0, "0"), (1500, "1.5"), (8000, "8"), (250, "0.3")];
        assert!(cases.iter().all(|(count, text)| cpus(*count) == *text));
        assert_eq!(bytes(0), "0");
        assert_eq!(bytes(1536), "1.5K");
        assert_eq!(bytes(16 << 30), "16.0G");
        assert_eq!(share(0, None, cpus), "-");
        assert_eq!(share(500, None, cpus), "0.5");
        assert_eq!(share(500, Some(4000), cpus), "0.5/4");
    }

    fn event(event: Event) -> EventRecord {
        EventRecord { revision: 1, event }
    }

    #[test]
    fn the_fullest_machine_is_first_and_what_left_counts_no_more() {
        let mut cluster = Cluster::default();
        let machine = |id: &str| Event::Machine {
            machine: Machine {
                id: id.to_owned(),
                ..Machine::default()
            },
        };
        let state = |id: &str, name: &str, active: &str| Event::State {
            state: UnitState {
                machine_id: id.to_owned(),
                name: name.to_owned(),
                systemd_active_state: active.to_owned(),
                ..UnitState::default()
            },
        };
        for one in [
            machine("m1"),
            machine("m2"),
            state("m2", "a.service", "active"),
            state("m2", "b.service", "failed"),
            state("m1", "c.service", "active"),
        ] {
            assert!(!cluster.take(event(one)));
        }
        assert!(cluster.take(event(Event::Synced)));
        let loads = cluster.loads();
        let ids: Vec<&str> = loads.iter().map(|load| load.machine_id.as_str()).collect();
        assert_eq!(ids, ["m2", "m1"]);
        assert_eq!(
            (loads[0].units, loads[0].active, loads[0].failed),
            (2, 1, 1)
        );
        for name in ["a.service", "b.service"] {
            cluster.take(event(Event::StateGone {
                name: name.to_owned(),
                machine_id: "m2".to_owned(),
            }));
        }
        assert_eq!(cluster.loads()[0].machine_id, "m1");
    }
}
