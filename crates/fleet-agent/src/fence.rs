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

use crate::calls::{Call, each};
use crate::lease_memory::Deadline;
use crate::membership::Membership;
use crate::systemd::Systemd;

/// Between two attempts to kill what still lives.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);

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
            let deadline = self.membership.borrow_and_update().deadline;
            let stop_at = deadline.map_or(self.otherwise, Deadline::stop_at);
            let kill_at = deadline.map_or(self.otherwise, Deadline::kill_at);
            tokio::select! {
                biased; // a deadline that has moved counts, even if the old one is over
                changed = self.membership.changed() => {
                    if changed.is_err() {
                        return; // the agent is going away
                    }
                }
                () = sleep_until(stop_at) => self.end(kill_at).await,
            }
        }
    }

    /// Ends units until the lease certainly lives again.
    async fn end(&mut self, kill_at: Instant) {
        let mut next = kill_at;
        let mut left = self.units.all();
        for name in &left {
            tracing::warn!("{name} stops: the lease may end soon");
        }
        each(&self.systemd, Call::Stop, &left).await;
        loop {
            tokio::select! {
                biased;
                () = is_certain(&mut self.membership) => return,
                () = sleep_until(next) => {}
            }
            left = self.units.all();
            end_now(&self.systemd, &left).await;
            next = Instant::now() + if left.is_empty() { 4 * AGAIN } else { AGAIN };
        }
    }
}

/// Stops units and does not wait until they have obeyed. Without the stop they could be restarted.
pub(crate) async fn end_now<S: Systemd>(systemd: &Arc<S>, units: &[UnitName]) {
    each(systemd, Call::Stop, units).await;
    each(systemd, Call::Kill, units).await;
}

/// Waits until the lease certainly lives, and units have no reason to stop.
async fn is_certain(membership: &mut watch::Receiver<Membership>) {
    loop {
        let deadline = membership.borrow_and_update().deadline;
        if deadline.is_some_and(|deadline| deadline.stop_at() > Instant::now()) {
            return;
        }
        if membership.changed().await.is_err() {
            // The agent is going away; what was begun is finished.
            std::future::pending::<()>().await;
        }
    }
}
