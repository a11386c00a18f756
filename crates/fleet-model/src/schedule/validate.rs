//! Placements that no longer hold are removed; the others are taken over.
//!
//! Units of a lost machine keep their placement until another machine takes them: if none can, and the
//! machine comes back, nothing was stopped for nothing.

use super::cluster::Cluster;
use crate::decision::{Decision, Removal, Schedule};
use crate::explain::refusals;
use crate::machine::{Availability, MachineId};
use crate::unit::Moving;

/// Looks at every placement there is, then counts units that are still where they should not be.
pub(super) fn validate(cluster: &mut Cluster<'_>, found: &mut Schedule) {
    for unit in cluster.order.sequence.clone() {
        let placed_on = &cluster.units[unit].placed_on;
        for id in placed_on {
            if let Some(reason) = check(cluster, unit, id) {
                found.decisions.push(Decision::Remove {
                    unit: cluster.units[unit].name.clone(),
                    machine: id.clone(),
                    reason,
                });
            }
        }
    }
    for unit in 0..cluster.units.len() {
        for site in cluster.present(unit) {
            cluster.occupy(unit, site);
        }
    }
}

/// Takes a placement over, or says why it has to go.
fn check(cluster: &mut Cluster<'_>, unit: usize, id: &MachineId) -> Option<Removal> {
    let own = cluster.units[unit];
    if !own.is_wanted() {
        return Some(Removal::NotWanted);
    }
    let is_global = own.options.is_global();
    let is_placed = !cluster.placed[unit].is_empty();
    let site = match cluster.site(id) {
        Some(site) if cluster.is_alive(site) => site,
        // Whether it is needed elsewhere is decided when places are given.
        Some(_) if is_global => return None,
        None if is_global => return Some(Removal::MachineGone),
        _ => return None,
    };
    if !is_global && is_placed {
        return Some(Removal::Twice);
    }
    if cluster.sites[site].machine.availability == Availability::Draining && !is_global {
        return Some(Removal::Draining);
    }
    let is_left = |moving: &Moving| moving.from == *id;
    if own.moving.as_ref().is_some_and(is_left) && !is_global {
        return Some(Removal::Moving);
    }
    if !cluster.suits(unit, site) {
        let mut why = refusals(cluster, unit, site).into_iter();
        let first = why.find(|refusal| !refusal.is_for_new_units_only());
        return first.map(Removal::Refused);
    }
    cluster.accept(unit, site);
    None
}
