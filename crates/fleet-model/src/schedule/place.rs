//! Units without a place get one.
//!
//! What was found wrong before is not looked at again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::cluster::Cluster;
use super::patterns::PatternId;
use crate::decision::{Decision, Removal, Schedule};
use crate::machine::{Availability, Fence, MachineId};
use crate::options::{OnPartition, Placement};
use crate::resources::Resources;
use crate::unit::Moving;

/// What decides whether any machine can take a unit: if none could take one, none can take its likes,
/// since places only get fewer.
#[derive(PartialEq, Eq, Hash)]
struct Likes<'v> {
    metadata: &'v BTreeMap<String, BTreeSet<String>>,
    spread: Option<&'v str>,
    reservation: Resources,
    own: Vec<PatternId>,
    matched_by: Vec<PatternId>,
}

/// Gives places: global units first, then by name, each after those it has to be with.
pub(super) fn place(cluster: &mut Cluster<'_>, found: &mut Schedule) {
    let (global, single): (Vec<usize>, Vec<usize>) = cluster
        .order
        .sequence
        .iter()
        .filter(|unit| cluster.units[**unit].is_wanted())
        .partition(|unit| cluster.units[**unit].options.is_global());
    for unit in global {
        place_everywhere(cluster, unit, found);
    }
    let mut hopeless = HashSet::new();
    for unit in single {
        if cluster.placed[unit].is_empty() {
            place_one(cluster, unit, &mut hopeless, found);
        }
        // What has a place on a living machine needs none on a lost one.
        let has_place = !cluster.placed[unit].is_empty();
        let stale = stale_placements(cluster, unit, has_place, found);
        found.decisions.extend(stale);
    }
}

fn place_everywhere(cluster: &mut Cluster<'_>, unit: usize, found: &mut Schedule) {
    for site in 0..cluster.sites.len() {
        let is_placed = cluster.placed[unit].contains(&site)
            || cluster.units[unit]
                .placed_on
                .contains(&cluster.sites[site].machine.id);
        if is_placed {
            continue;
        }
        let was_here = cluster.sites[site].here.contains(&unit);
        cluster.vacate(unit, site);
        if cluster.may_take(unit, site) {
            cluster.accept(unit, site);
            found.decisions.push(Decision::Place {
                unit: cluster.units[unit].name.clone(),
                machine: cluster.sites[site].machine.id.clone(),
                replacing: Vec::new(),
            });
        } else if was_here {
            cluster.occupy(unit, site);
        }
    }
}

fn place_one<'v>(
    cluster: &mut Cluster<'v>,
    unit: usize,
    hopeless: &mut HashSet<Likes<'v>>,
    found: &mut Schedule,
) {
    let name = cluster.units[unit].name.clone();
    if cluster.order.cycles.contains_key(&unit) {
        found.unplaced.push(name);
        return;
    }
    let lingering = cluster.present(unit);
    if lingering.len() > 1 || may_live_on_lost(cluster, unit) {
        found.waiting.push(name);
        return;
    }
    if let [site] = lingering[..] {
        cluster.vacate(unit, site);
        if cluster.may_take(unit, site) && !is_left(cluster, unit, site) {
            give(cluster, unit, site, &[], found);
        } else {
            cluster.occupy(unit, site);
            found.waiting.push(name);
        }
        return;
    }
    if let Some((site, evicted)) = replacement(cluster, unit) {
        give(cluster, unit, site, &evicted, found);
        for other in evicted {
            cluster.occupy(other, site); // until it is gone
        }
        return;
    }
    let found_site = match &cluster.units[unit].moving {
        Some(moving) => find_for_move(cluster, unit, moving),
        None => find(cluster, unit, hopeless),
    };
    match found_site {
        Some(site) => give(cluster, unit, site, &[], found),
        None => found.unplaced.push(name),
    }
}

/// Whether a unit was asked to leave a machine.
fn is_left(cluster: &Cluster<'_>, unit: usize, site: usize) -> bool {
    let moving = cluster.units[unit].moving.as_ref();
    moving.is_some_and(|moving| moving.from == cluster.sites[site].machine.id)
}

/// The machine for a unit that moves: the one asked for, or another one, or in the end the old one.
fn find_for_move(cluster: &Cluster<'_>, unit: usize, moving: &Moving) -> Option<usize> {
    let asked = moving.to.as_ref().and_then(|id| cluster.site(id));
    let asked = asked.filter(|site| cluster.may_take(unit, *site));
    asked.or_else(|| {
        let mut able: Vec<usize> = (0..cluster.sites.len())
            .filter(|site| cluster.may_take(unit, *site))
            .collect();
        able.sort_by_key(|site| {
            let load = cluster.sites[*site].here.len();
            (is_left(cluster, unit, *site), load, *site)
        });
        able.first().copied()
    })
}

/// Whether a unit that stops on partitions may still run on a machine that is lost.
fn may_live_on_lost(cluster: &Cluster<'_>, unit: usize) -> bool {
    let own = cluster.units[unit];
    let lost = Availability::Lost(Fence::Pending);
    let is_pending = |id: &MachineId| {
        let site = cluster.site(id);
        site.is_some_and(|site| cluster.sites[site].machine.availability == lost)
    };
    own.options.on_partition == OnPartition::Stop
        && own.placed_on.iter().chain(&own.present_on).any(is_pending)
}

/// Notes a place: a move if the unit is placed on a lost machine.
fn give(
    cluster: &mut Cluster<'_>,
    unit: usize,
    site: usize,
    evicted: &[usize],
    found: &mut Schedule,
) {
    let own = cluster.units[unit];
    let machine = cluster.sites[site].machine.id.clone();
    for other in evicted {
        found.decisions.push(Decision::Remove {
            unit: cluster.units[*other].name.clone(),
            machine: machine.clone(),
            reason: Removal::ReplacedBy(own.name.clone()),
        });
    }
    cluster.accept(unit, site);
    let is_lost = |id: &&MachineId| cluster.site(id).is_none_or(|site| !cluster.is_alive(site));
    let lost = own.placed_on.iter().find(is_lost);
    found.decisions.push(match lost {
        Some(from) if evicted.is_empty() => Decision::Move {
            unit: own.name.clone(),
            from: from.clone(),
            to: machine,
        },
        _ => Decision::Place {
            unit: own.name.clone(),
            machine,
            replacing: evicted
                .iter()
                .map(|other| cluster.units[*other].name.clone())
                .collect(),
        },
    });
}

/// Placements on lost machines of a unit that has a place, except the one it is moved from.
fn stale_placements(
    cluster: &Cluster<'_>,
    unit: usize,
    has_place: bool,
    found: &Schedule,
) -> Vec<Decision> {
    let own = cluster.units[unit];
    if !has_place {
        return Vec::new();
    }
    let moved_from = found.decisions.last().and_then(|decision| match decision {
        Decision::Move { unit, from, .. } if *unit == own.name => Some(from),
        _ => None,
    });
    let is_stale = |id: &&MachineId| {
        let is_lost = cluster.site(id).is_none_or(|site| !cluster.is_alive(site));
        is_lost && Some(*id) != moved_from
    };
    let stale = own.placed_on.iter().filter(is_stale);
    stale
        .map(|id| Decision::Remove {
            unit: own.name.clone(),
            machine: id.clone(),
            reason: Removal::MachineGone,
        })
        .collect()
}

/// The least loaded machine where units are that this one replaces, and that it can have without them.
/// They are taken off their places.
fn replacement(cluster: &mut Cluster<'_>, unit: usize) -> Option<(usize, Vec<usize>)> {
    let ids = cluster.patterns.replaces[unit].clone();
    let mut victims: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for other in ids.iter().flat_map(|id| &cluster.patterns.matches[*id]) {
        if *other != unit && cluster.patterns.evicts(unit, *other) {
            for site in &cluster.placed[*other] {
                victims.entry(*site).or_default().push(*other);
            }
        }
    }
    let mut sites: Vec<usize> = victims.keys().copied().collect();
    sites.sort_by_key(|site| (cluster.sites[*site].here.len(), *site));
    for site in sites {
        let evicted = victims.remove(&site).unwrap_or_default();
        for other in &evicted {
            cluster.vacate(*other, site);
        }
        if cluster.may_take(unit, site) {
            for other in &evicted {
                cluster.withdraw(*other, site);
            }
            return Some((site, evicted));
        }
        for other in &evicted {
            cluster.occupy(*other, site);
        }
    }
    None
}

/// The machine to take.
fn find<'v>(
    cluster: &Cluster<'v>,
    unit: usize,
    hopeless: &mut HashSet<Likes<'v>>,
) -> Option<usize> {
    let options = &cluster.units[unit].options;
    let able = |site: &usize| cluster.may_take(unit, *site);
    if let Some(peer) = options.machine_of().next() {
        let peer = cluster.index.get(peer.as_str())?;
        let mut sites: Vec<usize> = cluster.placed[*peer].iter().copied().collect();
        sites.sort_by_key(|site| (cluster.sites[*site].here.len(), *site));
        return sites.into_iter().find(able);
    }
    if let Placement::Machine(wanted) = &options.placement {
        let mut sites = 0..cluster.sites.len();
        return sites
            .find(|site| cluster.sites[*site].machine.id.is_meant_by(wanted) && able(site));
    }
    let likes = Likes {
        metadata: &options.metadata,
        spread: options.spread(),
        reservation: options.reservation,
        own: cluster.patterns.own[unit].clone(),
        matched_by: cluster.patterns.matched_by[unit].clone(),
    };
    if hopeless.contains(&likes) {
        return None;
    }
    let site = find_by_load(cluster, unit);
    if site.is_none() {
        hopeless.insert(likes);
    }
    site
}

fn find_by_load(cluster: &Cluster<'_>, unit: usize) -> Option<usize> {
    let options = &cluster.units[unit].options;
    let able = |site: &usize| cluster.may_take(unit, *site);
    if let Some(key) = options.spread() {
        let mut values = cluster.load.values(key);
        values.sort_by_key(|(value, _)| cluster.spread_count(unit, key, value));
        return values
            .into_iter()
            .flat_map(|(_, places)| places.iter().map(|(_, site)| *site))
            .find(able);
    }
    let rarest = options
        .metadata
        .iter()
        .min_by_key(|(key, values)| cluster.load.count(key, values));
    match rarest {
        Some((key, values)) => cluster.load.with_values(key, values).find(able),
        None => cluster.load.all().find(able),
    }
}
