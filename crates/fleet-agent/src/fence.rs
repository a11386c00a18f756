//! Kills what stops on partitions before the machine's lease can end.
//!
//! It has a task of its own: whatever else the agent waits for, this happens in time. A unit is told to stop
//! while there is a margin left, and killed when half of that is over. That such units are not started again
//! before the machine is registered is decided elsewhere.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use systemd_unit::UnitName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::calls;
use crate::membership::Membership;
use crate::systemd::Systemd;

/// Between two attempts to kill what still lives.
const AGAIN: Duration = Duration::from_millis(500);

/// How long before the end of a lease units are told to stop.
pub(crate) fn margin(ttl: Duration) -> Duration {
    ttl / 4
}

/// The units that run and stop on partitions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condemned(Arc<Mutex<BTreeSet<UnitName>>>);

/// Watches the lease.
pub(crate) struct Fence<S> {
    pub(crate) systemd: Arc<S>,
    pub(crate) units: Condemned,
    pub(crate) membership: watch::Receiver<Membership>,
    pub(crate) margin: Duration,
    /// When to stop units if nothing at all is known of a lease.
    pub(crate) otherwise: Instant,
}

impl Condemned {
    /// Puts a unit in, or takes it out.
    pub(crate) fn set(&self, name: &UnitName, is_in: bool) {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_in {
            units.insert(name.clone());
        } else {
            units.remove(name);
        }
    }

    fn all(&self) -> Vec<UnitName> {
        let units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        units.iter().cloned().collect()
    }
}

impl<S: Systemd> Fence<S> {
    /// For ever.
    pub(crate) async fn run(mut self) {
        loop {
            let until = self.membership.borrow_and_update().certain_until;
            let stop_at = until.map_or(self.otherwise, |until| until - self.margin);
            tokio::select! {
                changed = self.membership.changed() => {
                    if changed.is_err() {
                        return; // the agent is going away
                    }
                }
                () = sleep_until(stop_at) => self.end(stop_at + self.margin / 2).await,
            }
        }
    }

    /// Ends units until the lease certainly lives again.
    async fn end(&mut self, kill_at: Instant) {
        let stopped = self.units.all();
        for name in &stopped {
            tracing::warn!("{name} stops: the lease may end soon");
        }
        calls::each(&stopped, |name| self.systemd.stop(name)).await;
        let mut next = kill_at;
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                is_certain = is_certain(&mut self.membership, self.margin) => {
                    if is_certain {
                        return;
                    }
                    // The agent is going away; what was begun is finished.
                    sleep_until(next).await;
                }
            }
            let left = self.units.all();
            calls::each(&left, |name| self.systemd.stop(name)).await;
            calls::each(&left, |name| self.systemd.kill(name)).await;
            next = Instant::now() + if left.is_empty() { 4 * AGAIN } else { AGAIN };
        }
    }
}

/// Waits until the lease certainly lives for more than the margin; false if nobody will say so.
async fn is_certain(membership: &mut watch::Receiver<Membership>, margin: Duration) -> bool {
    let is_long = |until: Instant| until - margin > Instant::now();
    let found = membership.wait_for(|membership| membership.certain_until.is_some_and(is_long));
    found.await.is_ok()
}

