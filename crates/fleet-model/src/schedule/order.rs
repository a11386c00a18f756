//! The order in which units are looked at: by name, but each after the units it has to be with.
//!
//! Names of units that are not there are passed over.

use std::collections::HashMap;

use crate::unit::Unit;

/// An order, and who can have no place in it.
pub(crate) struct Order {
    /// Indices of units.
    pub(crate) sequence: Vec<usize>,
    /// For each unit that has to be with itself in the end: the chain of units that leads back.
    pub(crate) cycles: HashMap<usize, Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Orders units given by name. Chains may be long: nothing here calls itself.
pub(crate) fn order(units: &[&Unit], index: &HashMap<&str, usize>) -> Order {
    let peers: Vec<Vec<usize>> = units
        .iter()
        .map(|unit| {
            let names = unit.options.machine_of();
            names
                .filter_map(|name| index.get(name.as_str()).copied())
                .collect()
        })
        .collect();
    let mut found = Order {
        sequence: Vec::with_capacity(units.len()),
        cycles: HashMap::new(),
    };
    let mut marks = vec![Mark::New; units.len()];
    for start in 0..units.len() {
        visit(start, &peers, &mut marks, &mut found);
    }
    found
}

fn visit(start: usize, peers: &[Vec<usize>], marks: &mut [Mark], found: &mut Order) {
    if marks[start] != Mark::New {
        return;
    }
    marks[start] = Mark::Open;
    let mut path = vec![(start, 0)];
    while let Some((unit, next)) = path.last_mut() {
        let Some(peer) = peers[*unit].get(*next).copied() else {
            marks[*unit] = Mark::Done;
            found.sequence.push(*unit);
            path.pop();
            continue;
        };
        *next += 1;
        match marks[peer] {
            Mark::Done => {}
            Mark::Open => note_cycle(&path, peer, found),
            Mark::New => {
                marks[peer] = Mark::Open;
                path.push((peer, 0));
            }
        }
    }
}

/// The part of the path from a unit on leads back to it.
fn note_cycle(path: &[(usize, usize)], from: usize, found: &mut Order) {
    let members = path
        .iter()
        .map(|(unit, _)| *unit)
        .skip_while(|unit| *unit != from);
    let members: Vec<usize> = members.collect();
    for member in &members {
        found
            .cycles
            .entry(*member)
            .or_insert_with(|| members.clone());
    }
}
