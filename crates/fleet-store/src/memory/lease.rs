//! Leases kept alive by a task.
//!
//! Deadlines count from before the last acknowledged keep-alive was sent.

use std::time::Duration;

use tokio::sync::watch as signal;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::MemoryClient;
use crate::error::StoreError;
use crate::store::{Lease, LeaseId, LeaseLost};

/// A lease.
#[derive(Debug)]
pub struct MemoryLease {
    id: LeaseId,
    ttl: Duration,
    state: signal::Receiver<Result<Instant, LeaseLost>>,
    keeper: AbortHandle,
}

impl MemoryLease {
    pub(super) async fn grant(client: &MemoryClient, ttl: Duration) -> Result<Self, StoreError> {
        let sent = Instant::now();
        // An answer that is lost leaves a lease that nobody keeps alive.
        let id = client.read(move |server| server.grant(ttl)).await?;
        Ok(Self::keep(client.clone(), id, ttl, sent + ttl))
    }

    pub(super) async fn take_over(
        client: &MemoryClient,
        id: LeaseId,
    ) -> Result<Option<Self>, StoreError> {
        let sent = Instant::now();
        let ttl = client.read(move |server| server.keep_alive(id)).await?;
        Ok(ttl.map(|ttl| Self::keep(client.clone(), id, ttl, sent + ttl)))
    }

    fn keep(client: MemoryClient, id: LeaseId, ttl: Duration, until: Instant) -> Self {
        let (sender, state) = signal::channel(Ok(until));
        let task = tokio::spawn(keep_alive(client, id, ttl, until, sender));
        Self {
            id,
            ttl,
            state,
            keeper: task.abort_handle(),
        }
    }
}

async fn keep_alive(
    client: MemoryClient,
    id: LeaseId,
    ttl: Duration,
    mut until: Instant,
    state: signal::Sender<Result<Instant, LeaseLost>>,
) {
    let mut next = until - ttl * 2 / 3;
    let lost = loop {
        sleep_until(next).await;
        let sent = Instant::now();
        let asked = client.read(move |server| server.keep_alive(id));
        match timeout_at(until, asked).await {
            Ok(Ok(Some(ttl))) => {
                until = sent + ttl;
                next = sent + ttl / 3;
                drop(state.send_replace(Ok(until)));
            }
            Ok(Ok(None)) => break LeaseLost::Gone,
            Ok(Err(_)) if Instant::now() + ttl / 20 < until => next = Instant::now() + ttl / 20,
            Ok(Err(error)) => break LeaseLost::NotKept(error.to_string()),
            Err(_) => break LeaseLost::NotKept("no answer in time".to_owned()),
        }
    };
    drop(state.send_replace(Err(lost)));
}

impl Lease for MemoryLease {
    fn id(&self) -> LeaseId {
        self.id
    }

    fn ttl(&self) -> Duration {
        self.ttl
    }

    fn deadline(&self) -> Result<Instant, LeaseLost> {
        match &*self.state.borrow() {
            Ok(until) if Instant::now() < *until => Ok(*until),
            Ok(_) => Err(LeaseLost::NotKept("its time is up".to_owned())),
            Err(lost) => Err(lost.clone()),
        }
    }

    async fn lost(&mut self) -> LeaseLost {
        loop {
            let until = match self.deadline() {
                Ok(until) => until,
                Err(lost) => return lost,
            };
            tokio::select! {
                biased;
                changed = self.state.changed() => if changed.is_err() { sleep_until(until).await },
                () = sleep_until(until) => {}
            }
        }
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
