//! Which unit runs where: a function of the view.
//!
//! First every placement there is is looked at, and those that no longer hold are removed. Then units
//! without a place get one: on the least loaded machine that suits them, by id among equals; those that
//! are spread get one where the fewest of their template are. Nothing is moved for balance.
//!
//! A unit taken from a living machine is placed again once that machine says it is gone, so that it never
//! runs twice; one of a lost machine at once, or if it stops on partitions, once it is surely dead.

pub(crate) mod cluster;
mod load;
mod order;
mod patterns;
mod place;
mod validate;

use crate::decision::Schedule;
use crate::view::View;
use cluster::Cluster;

/// What has to be changed. Equal views give equal answers, and a view in which all of it was done and
/// has taken effect gives none.
pub fn schedule(view: &View) -> Schedule {
    let mut cluster = Cluster::new(view);
    let mut found = Schedule::default();
    validate::validate(&mut cluster, &mut found);
    place::place(&mut cluster, &mut found);
    found.work += cluster.work.get();
    found
}

/// The state before anything is placed: what holds, and what still has to go.
pub(crate) fn settled(view: &View) -> Cluster<'_> {
    let mut cluster = Cluster::new(view);
    validate::validate(&mut cluster, &mut Schedule::default());
    cluster
}
