//! Which unit's pattern matches which unit's name, found once for all machines.
//!
//! Equal patterns are one. A pattern costs what lies in the range of names with its literal beginning:
//! one that begins with `*` costs all names.

use std::collections::HashMap;

use crate::glob::Glob;
use crate::unit::Unit;

/// The number of a pattern.
pub(crate) type PatternId = usize;

/// All patterns of all units.
#[derive(Default)]
pub(crate) struct Patterns<'v> {
    globs: Vec<&'v Glob>,
    /// For each pattern the units whose names it matches.
    pub(crate) matches: Vec<Vec<usize>>,
    /// For each unit its own patterns, those of `Replaces=` too.
    pub(crate) own: Vec<Vec<PatternId>>,
    /// For each unit its patterns of `Replaces=`.
    pub(crate) replaces: Vec<Vec<PatternId>>,
    /// For each unit the patterns that match its name.
    pub(crate) matched_by: Vec<Vec<PatternId>>,
    /// How many names were looked at.
    pub(crate) work: u64,
}

impl<'v> Patterns<'v> {
    /// Of units in the order of their names.
    pub(crate) fn new(units: &[&'v Unit], index: &HashMap<&str, usize>) -> Self {
        let mut patterns = Self::default();
        let mut ids: HashMap<&'v Glob, PatternId> = HashMap::new();
        for unit in units {
            let conflicts = unit.options.conflicts.iter();
            let mut id_of = |glob| {
                let new = patterns.globs.len();
                let id = *ids.entry(glob).or_insert(new);
                if id == new {
                    patterns.globs.push(glob);
                }
                id
            };
            let mut own: Vec<PatternId> = conflicts.map(&mut id_of).collect();
            let replaces: Vec<PatternId> = unit.options.replaces().iter().map(id_of).collect();
            own.extend(&replaces);
            patterns.own.push(own);
            patterns.replaces.push(replaces);
        }
        patterns.matched_by = vec![Vec::new(); units.len()];
        for id in 0..patterns.globs.len() {
            let found = patterns.find(id, units, index);
            for unit in &found {
                patterns.matched_by[*unit].push(id);
            }
            patterns.matches.push(found);
        }
        patterns
    }

    fn find(&mut self, id: PatternId, units: &[&Unit], index: &HashMap<&str, usize>) -> Vec<usize> {
        let glob = self.globs[id];
        if let Some(name) = glob.only_match() {
            self.work += 1;
            return index.get(name.as_str()).copied().into_iter().collect();
        }
        let prefix = glob.literal_prefix();
        let start = units.partition_point(|unit| unit.name.as_str() < prefix.as_str());
        let in_range = units[start..]
            .iter()
            .take_while(|unit| unit.name.as_str().starts_with(&prefix))
            .count();
        self.work += in_range as u64;
        let range = start..start + in_range;
        range
            .filter(|unit| glob.matches(units[*unit].name.as_str()))
            .collect()
    }

    /// The pattern itself.
    pub(crate) fn glob(&self, id: PatternId) -> &'v Glob {
        self.globs[id]
    }

    /// Whether one unit evicts another: it replaces it, and the other one does not, over whatever
    /// chain, replace it. Such circles replace nothing.
    pub(crate) fn evicts(&self, unit: usize, other: usize) -> bool {
        let is_match = |of: usize, name: usize| {
            let mut ids = self.replaces[of].iter();
            of != name && ids.any(|id| self.matches[*id].binary_search(&name).is_ok())
        };
        if !is_match(unit, other) {
            return false;
        }
        let mut seen = std::collections::HashSet::from([other]);
        let mut open = vec![other];
        while let Some(next) = open.pop() {
            if next == unit {
                return false;
            }
            let replaced = self.replaces[next].iter().flat_map(|id| &self.matches[*id]);
            open.extend(replaced.filter(|one| **one != next && seen.insert(**one)));
        }
        true
    }
}
