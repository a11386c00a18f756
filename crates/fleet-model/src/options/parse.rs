//! Options read from assignments.
//!
//! Each key is read by its own row of a table; contradictions are looked for at the end.

use systemd_unit::memory_limit::{self, Limit};
use systemd_unit::words::{Escapes, split};
use systemd_unit::{Assignment, NameKind, UnitName, boolean, percentage, size};

use super::{FleetOptions, OnPartition, OptionError, Placement, SECTION};
use crate::glob::Glob;
use crate::resources::Resources;

/// What a key is for; the name is that of its modern form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    MachineId,
    MachineOf,
    MachineMetadata,
    Conflicts,
    Global,
    Replaces,
    OnPartition,
    Spread,
    ReserveMemory,
    ReserveCpu,
    ReserveTasks,
}

/// Every spelling. A boot id never was a machine id, but fleet took one for the other rather than start
/// such a unit anywhere.
const KEYS: &[(&str, Key)] = &[
    ("MachineID", Key::MachineId),
    ("X-ConditionMachineID", Key::MachineId),
    ("X-ConditionMachineBootID", Key::MachineId),
    ("MachineOf", Key::MachineOf),
    ("X-ConditionMachineOf", Key::MachineOf),
    ("MachineMetadata", Key::MachineMetadata),
    ("X-ConditionMachineMetadata", Key::MachineMetadata),
    ("Conflicts", Key::Conflicts),
    ("X-Conflicts", Key::Conflicts),
    ("Global", Key::Global),
    ("Replaces", Key::Replaces),
    ("OnPartition", Key::OnPartition),
    ("Spread", Key::Spread),
    ("ReserveMemory", Key::ReserveMemory),
    ("ReserveCPU", Key::ReserveCpu),
    ("ReserveTasks", Key::ReserveTasks),
];

/// Which keys exclude which.
const CONTRADICTIONS: &[(Key, &[Key])] = &[
    (
        Key::MachineId,
        &[
            Key::MachineOf,
            Key::Conflicts,
            Key::Global,
            Key::Replaces,
            Key::Spread,
        ],
    ),
    (Key::Global, &[Key::MachineOf, Key::Replaces, Key::Spread]),
    (Key::Conflicts, &[Key::Replaces]),
];

/// What was read so far.
struct Reader<'a> {
    name: &'a UnitName,
    options: FleetOptions,
    machine: Option<String>,
    is_global: bool,
    machine_of: std::collections::BTreeSet<UnitName>,
    replaces: Vec<Glob>,
    spread: Option<String>,
    reserve: [Option<u64>; 3],
    /// The keys that ask for something, where they first do.
    asked: Vec<(Key, Assignment<'a>)>,
}

pub(super) fn parse<'a>(
    name: &'a UnitName,
    assignments: impl IntoIterator<Item = Assignment<'a>>,
) -> Result<FleetOptions, OptionError> {
    let mut reader = Reader {
        name,
        options: FleetOptions::default(),
        machine: None,
        is_global: false,
        machine_of: std::collections::BTreeSet::new(),
        replaces: Vec::new(),
        spread: None,
        reserve: [None; 3],
        asked: Vec::new(),
    };
    let own_section = name.unit_type().section();
    for assignment in assignments {
        if assignment.section == SECTION {
            reader.read(assignment)?;
        } else if Some(assignment.section) == own_section {
            reserve_limit(&mut reader.options.reservation, &assignment);
        }
    }
    reader.finish()
}

/// Takes a limit of the unit itself for a reservation. What systemd ignores, this does too.
fn reserve_limit(reservation: &mut Resources, assignment: &Assignment<'_>) {
    let absolute = |limit: Option<Limit>| match limit {
        Some(Limit::Absolute(amount)) => Some(amount),
        Some(Limit::Share(_) | Limit::None) => Some(0),
        None => None,
    };
    let value = assignment.value;
    let (target, amount) = match assignment.key {
        "MemoryMax" | "MemoryLimit" => (
            &mut reservation.memory,
            absolute(memory_limit::parse_memory(value)),
        ),
        "TasksMax" => (
            &mut reservation.tasks,
            absolute(memory_limit::parse_tasks(value)),
        ),
        "CPUQuota" if value.is_empty() => (&mut reservation.cpu, Some(0)),
        "CPUQuota" => (&mut reservation.cpu, thousandths(value)),
        _ => return,
    };
    if let Some(amount) = amount {
        *target = amount;
    }
}

/// Thousandths of a CPU: `150%` is 1500.
fn thousandths(value: &str) -> Option<u64> {
    percentage::parse_permyriad(value).map(|permyriad| permyriad / 10)
}

impl<'a> Reader<'a> {
    fn read(&mut self, assignment: Assignment<'a>) -> Result<(), OptionError> {
        let row = KEYS.iter().find(|(name, _)| *name == assignment.key);
        let Some((_, key)) = row else {
            return Err(OptionError::UnknownKey {
                key: assignment.key.to_owned(),
                line: assignment.line,
            });
        };
        let value = self.expand(assignment.value);
        let taken = self.take(*key, &value);
        let asks = taken.map_err(|why| OptionError::BadValue {
            key: assignment.key.to_owned(),
            value: assignment.value.to_owned(),
            why,
            line: assignment.line,
        })?;
        if asks && !self.asked.iter().any(|(asked, _)| asked == key) {
            self.asked.push((*key, assignment));
        }
        Ok(())
    }

    /// Replaces the specifiers that fleet knew; others are left.
    fn expand(&self, value: &str) -> String {
        let instance = match self.name.kind() {
            NameKind::Instance(instance) => instance,
            _ => "",
        };
        let mut expanded = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(at) = rest.find('%') {
            expanded.push_str(&rest[..at]);
            let specifier = rest.get(at..at + 2).unwrap_or("%");
            let after = &rest[at + specifier.len()..];
            match specifier {
                "%n" => expanded.push_str(self.name.as_str()),
                "%N" => expanded.push_str(self.name.without_type()),
                "%p" => expanded.push_str(self.name.prefix()),
                "%i" => expanded.push_str(instance),
                _ => {
                    expanded.push('%');
                    rest = &rest[at + 1..];
                    continue;
                }
            }
            rest = after;
        }
        expanded + rest
    }

    /// Takes a value; returns whether it asks for anything.
    fn take(&mut self, key: Key, value: &str) -> Result<bool, String> {
        match key {
            Key::MachineId => self.take_machine(value),
            Key::MachineOf => self.take_peers(value),
            Key::MachineMetadata => self.take_metadata(value),
            Key::Conflicts => take_globs(&mut self.options.conflicts, value),
            Key::Replaces => take_globs(&mut self.replaces, value),
            Key::Global => {
                self.is_global = boolean::parse(value).ok_or("it must be yes or no")?;
                self.asked.retain(|(asked, _)| *asked != Key::Global); // the last one counts
                Ok(self.is_global)
            }
            Key::OnPartition => {
                self.options.on_partition = match value {
                    "keep" => OnPartition::Keep,
                    "stop" => OnPartition::Stop,
                    _ => return Err("it must be keep or stop".to_owned()),
                };
                Ok(true)
            }
            Key::Spread => {
                if value.is_empty() || value.contains(['=', ' ', '\t']) {
                    return Err("it must be one key of the machines' metadata".to_owned());
                }
                self.spread = Some(value.to_owned());
                Ok(true)
            }
            Key::ReserveMemory => self.reserve(0, size::parse(value), "a size, such as 512M"),
            Key::ReserveCpu => self.reserve(1, thousandths(value), "a percentage of one CPU"),
            Key::ReserveTasks => self.reserve(2, value.parse().ok(), "a number"),
        }
    }

    fn reserve(&mut self, at: usize, amount: Option<u64>, what: &str) -> Result<bool, String> {
        self.reserve[at] = Some(amount.ok_or_else(|| format!("it must be {what}"))?);
        Ok(true)
    }

    fn take_machine(&mut self, value: &str) -> Result<bool, String> {
        let words = words(value)?;
        let [machine] = &words[..] else {
            return Err("it must be the id of one machine".to_owned());
        };
        match &self.machine {
            Some(other) if other != machine => Err(format!("another line says {other}")),
            _ => {
                self.machine = Some(machine.clone());
                Ok(true)
            }
        }
    }

    fn take_peers(&mut self, value: &str) -> Result<bool, String> {
        let words = words(value)?;
        for word in &words {
            let name = UnitName::new(word.as_str()).map_err(|error| error.to_string())?;
            self.machine_of.insert(name);
        }
        Ok(!words.is_empty())
    }

    /// fleet took several only if all are quoted; one without quotes may have spaces in it.
    fn take_metadata(&mut self, value: &str) -> Result<bool, String> {
        let pairs = if value.starts_with('"') && value.ends_with('"') {
            words(value)?
        } else {
            vec![value.to_owned()]
        };
        for pair in &pairs {
            let (key, wanted) = pair.split_once('=').unwrap_or_default();
            if key.is_empty() || wanted.is_empty() || wanted.contains('=') {
                let why = "it must be key=value; write several as \"key=value\" \"key=value\"";
                return Err(why.to_owned());
            }
            let values = self.options.metadata.entry(key.to_owned()).or_default();
            values.insert(wanted.to_owned());
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<FleetOptions, OptionError> {
        self.check_contradictions()?;
        self.check_peers()?;
        let limits = self.options.reservation;
        let [memory, cpu, tasks] = self.reserve;
        self.options.reservation = Resources {
            memory: memory.unwrap_or(limits.memory),
            cpu: cpu.unwrap_or(limits.cpu),
            tasks: tasks.unwrap_or(limits.tasks),
        };
        self.options.placement = match self.machine {
            Some(machine) => Placement::Machine(machine),
            None if self.is_global => Placement::Global,
            None => Placement::Any {
                machine_of: self.machine_of,
                replaces: self.replaces,
                spread: self.spread,
            },
        };
        Ok(self.options)
    }

    fn check_contradictions(&self) -> Result<(), OptionError> {
        let find = |key: Key| self.asked.iter().find(|(asked, _)| *asked == key);
        for (key, excluded) in CONTRADICTIONS {
            let Some((_, first)) = find(*key) else {
                continue;
            };
            if let Some((_, second)) = excluded.iter().find_map(|key| find(*key)) {
                return Err(OptionError::Contradiction {
                    first: first.key.to_owned(),
                    first_line: first.line,
                    second: second.key.to_owned(),
                    second_line: second.line,
                });
            }
        }
        Ok(())
    }

    fn check_peers(&self) -> Result<(), OptionError> {
        let is_peer = |(key, _): &&(Key, Assignment<'_>)| *key == Key::MachineOf;
        let line = self.asked.iter().find(is_peer).map_or(0, |(_, at)| at.line);
        for peer in &self.machine_of {
            if peer == self.name {
                let peer = peer.to_string();
                return Err(OptionError::PeerOfItself { peer, line });
            }
            let lists = [
                ("Conflicts", &self.options.conflicts),
                ("Replaces", &self.replaces),
            ];
            for (key, globs) in lists {
                if let Some(glob) = globs.iter().find(|glob| glob.matches(peer.as_str())) {
                    return Err(OptionError::PeerExcluded {
                        peer: peer.to_string(),
                        key,
                        pattern: glob.to_string(),
                    });
                }
            }
        }
        Ok(())
    }
}

fn words(value: &str) -> Result<Vec<String>, String> {
    split(value, Escapes::Keep).map_err(|error| error.to_string())
}

fn take_globs(globs: &mut Vec<Glob>, value: &str) -> Result<bool, String> {
    let words = words(value)?;
    for word in &words {
        let glob = Glob::new(word.as_str()).map_err(|error| error.to_string())?;
        if !globs.contains(&glob) {
            globs.push(glob);
        }
    }
    Ok(!words.is_empty())
}
