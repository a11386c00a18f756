//! Why a unit cannot run on a machine.
//!
//! It takes the view as it is, after what has to go was taken away, and before anything is placed.

use std::fmt;

use systemd_unit::{NameKind, UnitName};

use crate::machine::{Availability, MachineId};
use crate::options::Placement;
use crate::resources::Resource;
use crate::schedule::cluster::Cluster;
use crate::schedule::settled;
use crate::view::View;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its lease has ended.
    Lost,
    /// It takes no new units.
    Cordoned,
    /// It is drained.
    Draining,
    /// `MachineID=` means another one.
    OtherMachine {
        /// What the unit asks for.
        wanted: String,
    },
    /// The machine lacks what `MachineMetadata=` asks for.
    Metadata {
        /// The key.
        key: String,
        /// Any of these would do.
        wanted: Vec<String>,
        /// What it has.
        has: Option<String>,
    },
    /// The machine has no value for `Spread=`.
    NothingToSpreadOver {
        /// The key.
        key: String,
    },
    /// A unit of `MachineOf=` is not placed here.
    PeerMissing {
        /// The first of them.
        peer: UnitName,
    },
    /// A unit is here that it may not meet.
    Conflict {
        /// The unit that is here.
        with: UnitName,
        /// Whose `Conflicts=` or `Replaces=` it is.
        declared_by: UnitName,
        /// What it says.
        pattern: String,
    },
    /// Too little is left of a resource.
    Shortage {
        /// Of what.
        resource: Resource,
        /// What the unit reserves.
        needed: u64,
        /// What is left.
        left: u64,
    },
}

impl Refusal {
    /// Whether a unit that is there may stay all the same.
    pub fn is_for_new_units_only(&self) -> bool {
        matches!(
            self,
            Self::Cordoned | Self::Draining | Self::Lost | Self::NothingToSpreadOver { .. }
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("the machine is lost"),
            Self::Cordoned => f.write_str("the machine is cordoned"),
            Self::Draining => f.write_str("the machine is drained"),
            Self::OtherMachine { wanted } => write!(f, "MachineID={wanted} means another machine"),
            Self::Metadata { key, wanted, has } => {
                let has = has.as_deref().unwrap_or("nothing");
                write!(
                    f,
                    "MachineMetadata: {key} must be {}, is {has}",
                    wanted.join(" or ")
                )
            }
            Self::NothingToSpreadOver { key } => write!(f, "Spread={key}: it has no such metadata"),
            Self::PeerMissing { peer } => write!(f, "MachineOf={peer}: it is not placed here"),
            Self::Conflict {
                with,
                declared_by,
                pattern,
            } => write!(f, "{with} is here, and {declared_by} excludes {pattern}"),
            Self::Shortage {
                resource,
                needed,
                left,
            } => write!(f, "{needed} {resource} needed, {left} left"),
        }
    }
}

/// Where a unit could run, and why nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explanation {
    /// There is no such unit.
    Unknown,
    /// It is a template: its instances run, it does not.
    Template,
    /// It has to be with itself in the end: these units by `MachineOf=`.
    Cycle(Vec<UnitName>),
    /// For each machine the reasons against it. A machine without any can take it, or has it.
    Machines(Vec<(MachineId, Vec<Refusal>)>),
}

impl Explanation {
    /// Whether any machine can take it, or has it.
    pub fn is_placeable(&self) -> bool {
        let is_able = |(_, refusals): &(MachineId, Vec<Refusal>)| refusals.is_empty();
        matches!(self, Self::Machines(machines) if machines.iter().any(is_able))
    }
}

/// Explains a unit of the view. One that is not started yet is explained as if it were to be.
pub fn explain(view: &View, name: &UnitName) -> Explanation {
    let mut cluster = settled(view);
    let Some(unit) = cluster.index.get(name.as_str()).copied() else {
        return Explanation::Unknown;
    };
    if name.kind() == NameKind::Template {
        return Explanation::Template;
    }
    if let Some(cycle) = cluster.order.cycles.get(&unit) {
        let names = cycle
            .iter()
            .map(|member| cluster.units[*member].name.clone());
        return Explanation::Cycle(names.collect());
    }
    let mut machines = Vec::new();
    for site in 0..cluster.sites.len() {
        let is_here = cluster.placed[unit].contains(&site);
        let evicts = |name: &UnitName| {
            let other = cluster.index.get(name.as_str());
            other.is_some_and(|other| cluster.patterns.evicts(unit, *other))
        };
        let victims: Vec<UnitName> = cluster.sites[site]
            .here
            .iter()
            .map(|other| cluster.units[*other].name.clone())
            .filter(evicts)
            .collect();
        cluster.vacate(unit, site);
        let mut found = refusals(&cluster, unit, site);
        if is_here {
            found.retain(|refusal| !refusal.is_for_new_units_only());
        }
        found.retain(
            |refusal| !matches!(refusal, Refusal::Conflict { with, .. } if victims.contains(with)),
        );
        machines.push((cluster.sites[site].machine.id.clone(), found));
    }
    Explanation::Machines(machines)
}

/// Everything that speaks against a unit on a machine where it is not counted now.
pub(crate) fn refusals(cluster: &Cluster<'_>, unit: usize, site: usize) -> Vec<Refusal> {
    let mut found = Vec::new();
    let at = &cluster.sites[site];
    let options = &cluster.units[unit].options;
    match at.machine.availability {
        Availability::Open => {}
        Availability::Cordoned => found.push(Refusal::Cordoned),
        Availability::Draining => found.push(Refusal::Draining),
        Availability::Lost(_) => found.push(Refusal::Lost),
    }
    if let Placement::Machine(wanted) = &options.placement
        && !at.machine.id.is_meant_by(wanted)
    {
        let wanted = wanted.clone();
        found.push(Refusal::OtherMachine { wanted });
    }
    for (key, wanted) in &options.metadata {
        let has = at.machine.metadata.get(key);
        if !has.is_some_and(|has| wanted.contains(has)) {
            found.push(Refusal::Metadata {
                key: key.clone(),
                wanted: wanted.iter().cloned().collect(),
                has: has.cloned(),
            });
        }
    }
    if let Some(key) = options.spread()
        && !at.machine.metadata.contains_key(key)
    {
        let key = key.to_owned();
        found.push(Refusal::NothingToSpreadOver { key });
    }
    if let Some(peer) = cluster.missing_peer(unit, site) {
        let peer = peer.clone();
        found.push(Refusal::PeerMissing { peer });
    }
    found.extend(conflicts(cluster, unit, site));
    let shortage = at
        .machine
        .capacity
        .shortage(at.reserved, options.reservation);
    found.extend(shortage.map(|(resource, needed, left)| Refusal::Shortage {
        resource,
        needed,
        left,
    }));
    found
}

fn conflicts(cluster: &Cluster<'_>, unit: usize, site: usize) -> Vec<Refusal> {
    let patterns = &cluster.patterns;
    let mut found = Vec::new();
    for other in &cluster.sites[site].here {
        for (by, against) in [(unit, *other), (*other, unit)] {
            let mut ids = patterns.own[by].iter();
            let id = ids.find(|id| patterns.matched_by[against].contains(id));
            found.extend(id.map(|id| Refusal::Conflict {
                with: cluster.units[*other].name.clone(),
                declared_by: cluster.units[by].name.clone(),
                pattern: patterns.glob(*id).to_string(),
            }));
        }
    }
    found
}
