//! The view with indices: who is where, what is left, who may not meet.
//!
//! It decides nothing; it says whether a unit may run on a machine.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::load::LoadIndex;
use super::order::{Order, order};
use super::patterns::{PatternId, Patterns};
use crate::machine::{Availability, Machine, MachineId};
use crate::options::Placement;
use crate::resources::Resources;
use crate::unit::Unit;
use crate::view::View;

/// The view with indices.
pub(crate) struct Cluster<'v> {
    pub(crate) units: Vec<&'v Unit>,
    pub(crate) index: HashMap<&'v str, usize>,
    pub(crate) sites: Vec<Site<'v>>,
    site_index: HashMap<&'v MachineId, usize>,
    pub(crate) patterns: Patterns<'v>,
    pub(crate) order: Order,
    pub(crate) load: LoadIndex<'v>,
    /// For each unit the machines where it is placed and may be.
    pub(crate) placed: Vec<BTreeSet<usize>>,
    /// How many instances of a template, spread over a key, are where the key has a value.
    spread: HashMap<(&'v str, String, &'v str), usize>,
    /// Machines and names looked at so far.
    pub(crate) work: Cell<u64>,
}

/// A machine and who is on it.
pub(crate) struct Site<'v> {
    pub(crate) machine: &'v Machine,
    /// Units that are placed here, or are still here.
    pub(crate) here: BTreeSet<usize>,
    pub(crate) reserved: Resources,
    /// How many units here have a pattern.
    declared: BTreeMap<PatternId, usize>,
    /// How many units here have a name that a pattern matches.
    matched: BTreeMap<PatternId, usize>,
}

impl<'v> Cluster<'v> {
    pub(crate) fn new(view: &'v View) -> Self {
        let units: Vec<&Unit> = view.units().collect();
        let names = units.iter().enumerate();
        let index: HashMap<&str, usize> =
            names.map(|(at, unit)| (unit.name.as_str(), at)).collect();
        let sites: Vec<Site<'_>> = view.machines().map(Site::new).collect();
        let ids = sites.iter().enumerate();
        let site_index = ids.map(|(at, site)| (&site.machine.id, at)).collect();
        let mut load = LoadIndex::default();
        for (at, site) in sites.iter().enumerate() {
            if site.machine.availability == Availability::Open {
                load.insert(site.machine, (0, at));
            }
        }
        let patterns = Patterns::new(&units, &index);
        let work = Cell::new(patterns.work + (units.len() + sites.len()) as u64);
        let order = order(&units, &index);
        Self {
            placed: vec![BTreeSet::new(); units.len()],
            units,
            index,
            sites,
            site_index,
            patterns,
            order,
            load,
            spread: HashMap::new(),
            work,
        }
    }

    pub(crate) fn site(&self, id: &MachineId) -> Option<usize> {
        self.site_index.get(id).copied()
    }

    pub(crate) fn count_work(&self) {
        self.work.set(self.work.get() + 1);
    }

    /// Whether the machine keeps its lease alive.
    pub(crate) fn is_alive(&self, site: usize) -> bool {
        self.sites[site].machine.is_alive()
    }

    /// Living machines that say they have the unit.
    pub(crate) fn present(&self, unit: usize) -> Vec<usize> {
        let sites = self.units[unit].present_on.iter();
        let sites = sites.filter_map(|id| self.site(id));
        sites.filter(|site| self.is_alive(*site)).collect()
    }

    /// Puts a unit on a machine, unless it is there.
    pub(crate) fn occupy(&mut self, unit: usize, site: usize) {
        let load = self.sites[site].here.len();
        if !self.sites[site].here.insert(unit) {
            return;
        }
        let reservation = self.units[unit].options.reservation;
        let target = &mut self.sites[site];
        target.reserved = target.reserved.plus(reservation);
        for id in &self.patterns.own[unit] {
            *target.declared.entry(*id).or_default() += 1;
        }
        for id in &self.patterns.matched_by[unit] {
            *target.matched.entry(*id).or_default() += 1;
        }
        self.load
            .change(target.machine, (load, site), (load + 1, site));
    }

    /// Takes a unit off a machine, if it is there.
    pub(crate) fn vacate(&mut self, unit: usize, site: usize) {
        let load = self.sites[site].here.len();
        if !self.sites[site].here.remove(&unit) {
            return;
        }
        let reservation = self.units[unit].options.reservation;
        let target = &mut self.sites[site];
        target.reserved = target.reserved.minus(reservation);
        for id in &self.patterns.own[unit] {
            count_down(&mut target.declared, *id);
        }
        for id in &self.patterns.matched_by[unit] {
            count_down(&mut target.matched, *id);
        }
        self.load
            .change(target.machine, (load, site), (load - 1, site));
    }

    /// Notes that a unit is placed on a machine for good.
    pub(crate) fn accept(&mut self, unit: usize, site: usize) {
        self.occupy(unit, site);
        if self.placed[unit].insert(site)
            && let Some(key) = self.spread_key(unit, site)
        {
            *self.spread.entry(key).or_default() += 1;
        }
    }

    /// Notes that a unit is no longer placed on a machine. It still occupies it.
    pub(crate) fn withdraw(&mut self, unit: usize, site: usize) {
        if self.placed[unit].remove(&site)
            && let Some(key) = self.spread_key(unit, site)
            && let Some(count) = self.spread.get_mut(&key)
        {
            *count -= 1;
        }
    }

    fn spread_key(&self, unit: usize, site: usize) -> Option<(&'v str, String, &'v str)> {
        let key = self.units[unit].options.spread()?;
        let value = self.sites[site].machine.metadata.get(key)?;
        Some((key, self.spread_group(unit), value))
    }

    /// The units that a spread unit is counted with: the instances of its template, or itself.
    fn spread_group(&self, unit: usize) -> String {
        let name = &self.units[unit].name;
        name.template().unwrap_or_else(|| name.clone()).to_string()
    }

    /// How many of a unit's group are placed where the key has this value.
    pub(crate) fn spread_count(&self, unit: usize, key: &'v str, value: &'v str) -> usize {
        let key = (key, self.spread_group(unit), value);
        self.spread.get(&key).copied().unwrap_or(0)
    }

    /// Whether a unit may stay on a machine, where it is not counted now. Cheap: the refusals say why.
    pub(crate) fn suits(&self, unit: usize, site: usize) -> bool {
        self.count_work();
        let at = &self.sites[site];
        let options = &self.units[unit].options;
        let declares = |id: &PatternId| at.matched.contains_key(id);
        let is_matched = |id: &PatternId| at.declared.contains_key(id);
        self.has_metadata(unit, site)
            && self.is_meant(unit, site)
            && self.missing_peer(unit, site).is_none()
            && !self.patterns.own[unit].iter().any(declares)
            && !self.patterns.matched_by[unit].iter().any(is_matched)
            && at
                .machine
                .capacity
                .shortage(at.reserved, options.reservation)
                .is_none()
    }

    /// Whether a unit may be newly placed on a machine, where it is not counted now.
    pub(crate) fn may_take(&self, unit: usize, site: usize) -> bool {
        let machine = self.sites[site].machine;
        let spread = self.units[unit].options.spread();
        machine.availability == Availability::Open
            && spread.is_none_or(|key| machine.metadata.contains_key(key))
            && self.suits(unit, site)
    }

    fn has_metadata(&self, unit: usize, site: usize) -> bool {
        let has = &self.sites[site].machine.metadata;
        let mut wanted = self.units[unit].options.metadata.iter();
        wanted.all(|(key, values)| has.get(key).is_some_and(|value| values.contains(value)))
    }

    fn is_meant(&self, unit: usize, site: usize) -> bool {
        match &self.units[unit].options.placement {
            Placement::Machine(wanted) => self.sites[site].machine.id.is_meant_by(wanted),
            Placement::Any { .. } | Placement::Global => true,
        }
    }

    /// The first unit that has to be on the machine too and is not placed there.
    pub(crate) fn missing_peer(
        &self,
        unit: usize,
        site: usize,
    ) -> Option<&'v systemd_unit::UnitName> {
        let mut peers = self.units[unit].options.machine_of();
        peers.find(|peer| {
            let peer = self.index.get(peer.as_str());
            peer.is_none_or(|peer| !self.placed[*peer].contains(&site))
        })
    }
}

impl<'v> Site<'v> {
    fn new(machine: &'v Machine) -> Self {
        Self {
            machine,
            here: BTreeSet::new(),
            reserved: Resources::default(),
            declared: BTreeMap::new(),
            matched: BTreeMap::new(),
        }
    }
}

fn count_down(counts: &mut BTreeMap<PatternId, usize>, id: PatternId) {
    if let Some(count) = counts.get_mut(&id) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&id);
        }
    }
}
