//! Who leads: whose key `engine/leader` is, as long as its lease lives.
//!
//! The revision at which it was last put is what every transaction of the leader names.

use std::time::Duration;

use fleet_store::{
    Change, Condition, KeyValue, Keys, Leadership, Lease, Operation, Outcome, Revision, Store,
    StoreError, Transaction, Value, Watch, WatchEvent,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::complaint::Complaint;
use crate::engine::{Config, PAUSE};
use crate::status::{Role, Status};

/// Within this time engines try to succeed a leader, each after a pause of its own.
const STAGGER: Duration = Duration::from_secs(1);

/// A seat that was won.
pub(crate) struct Won<L> {
    pub(crate) lease: L,
    /// When the key was last put.
    pub(crate) revision: Revision,
    /// What it said.
    pub(crate) leadership: Leadership,
}

/// What an engine needs to become leader.
pub(crate) struct Election<'e, S: Store> {
    pub(crate) store: &'e S,
    pub(crate) config: &'e Config,
    pub(crate) status: &'e watch::Sender<Status>,
}

impl<S: Store> Election<'_, S> {
    /// Waits until there is no leader, and becomes it.
    pub(crate) async fn win(&self) -> Won<S::Lease> {
        let mut complaint = Complaint::default();
        loop {
            match self.try_to_win().await {
                Ok(Some(won)) => return won,
                Ok(None) => complaint = Complaint::default(),
                Err(error) => {
                    if complaint.is_due(Instant::now()) {
                        tracing::warn!("the election of a leader: {error}");
                    }
                    self.status
                        .send_modify(|status| status.role = Role::Starting);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// One look; if another leads, until it does no longer.
    async fn try_to_win(&self) -> Result<Option<Won<S::Lease>>, StoreError> {
        let key = Keys::One(self.config.layout.leader());
        let found = self.store.range(key.clone()).await?;
        let Some(pair) = found.pairs.first() else {
            let lease = self.store.grant(self.config.lease).await?;
            return self.put(lease, None).await;
        };
        let leadership = Leadership::from_pair(pair).ok();
        let is_own = |leader: &Leadership| leader.machine == self.config.machine;
        if let Some(leadership) = leadership.clone().filter(is_own) {
            // Of this engine's own past: another process, or a try whose outcome was unknown.
            if let Some(won) = self.resume(pair, leadership).await? {
                return Ok(Some(won));
            }
        }
        self.status.send_modify(|status| {
            let leader = leadership.map(|leadership| leadership.machine);
            status.role = Role::Following { leader };
        });
        let mut watch = self.store.watch(key, found.revision + 1).await?;
        while !is_vacant(&watch.next().await?) {}
        // Whoever is first has it; the others see that before they try.
        let taken = timeout(self.stagger(), watch.next()).await;
        if let Ok(event) = taken {
            event?;
        }
        Ok(None)
    }

    /// Goes on under the lease that the key has.
    async fn resume(
        &self,
        pair: &KeyValue,
        old: Leadership,
    ) -> Result<Option<Won<S::Lease>>, StoreError> {
        let Some(id) = pair.lease else {
            return Ok(None);
        };
        match self.store.take_over(id).await? {
            Some(lease) => self.put(lease, Some((pair.mod_revision, old))).await,
            None => Ok(None),
        }
    }

    /// Puts the key, for the first time or again.
    async fn put(
        &self,
        lease: S::Lease,
        old: Option<(Revision, Leadership)>,
    ) -> Result<Option<Won<S::Lease>>, StoreError> {
        let key = self.config.layout.leader();
        let term = old.as_ref().map_or(0, |(_, old)| old.term + 1);
        let condition = match old {
            Some((revision, _)) => Condition::ModifiedAt(key.clone(), revision),
            None => Condition::Absent(key.clone()),
        };
        let leadership = Leadership {
            machine: self.config.machine.clone(),
            version: self.config.version.clone(),
            term,
        };
        let operation = Operation::put_leased(key, leadership.to_bytes(), lease.id());
        let put = self
            .store
            .transact(Transaction::new(condition, operation))
            .await;
        match put {
            Ok(Outcome::Committed(revision)) => Ok(Some(Won {
                lease,
                revision,
                leadership,
            })),
            Ok(Outcome::ConditionFailed(_)) => {
                self.store.revoke(lease.id()).await?;
                Ok(None)
            }
            // If it comes to pass, the next look finds it as this engine's own.
            Err(error) => Err(error),
        }
    }

    /// Has all transactions fail that were sent so far and are not answered: the key is put again.
    pub(crate) async fn renew(&self, won: &mut Won<S::Lease>) -> Result<(), String> {
        let key = self.config.layout.leader();
        let leadership = Leadership {
            term: won.leadership.term + 1,
            ..won.leadership.clone()
        };
        loop {
            won.lease.deadline().map_err(|lost| lost.to_string())?;
            let operation =
                Operation::put_leased(key.clone(), leadership.to_bytes(), won.lease.id());
            let condition = Condition::ModifiedAt(key.clone(), won.revision);
            let put = self
                .store
                .transact(Transaction::new(condition, operation))
                .await;
            let revision = match put {
                Ok(Outcome::Committed(revision)) => Some(revision),
                // An earlier try of this loop was carried out, or another engine leads.
                Ok(Outcome::ConditionFailed(_)) => Some(self.own_revision(won).await?),
                Err(StoreError::LeaseGone) => return Err(StoreError::LeaseGone.to_string()),
                Err(_) => None,
            };
            if let Some(revision) = revision {
                won.revision = revision;
                won.leadership = leadership;
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// When the key was last put, if this engine put it.
    async fn own_revision(&self, won: &Won<S::Lease>) -> Result<Revision, String> {
        loop {
            won.lease.deadline().map_err(|lost| lost.to_string())?;
            let key = Keys::One(self.config.layout.leader());
            if let Ok(found) = self.store.range(key).await {
                let own = found.pairs.first();
                let own = own.filter(|pair| pair.lease == Some(won.lease.id()));
                let gone = || "another engine leads".to_owned();
                return own.map(|pair| pair.mod_revision).ok_or_else(gone);
            }
            sleep(PAUSE).await;
        }
    }

    /// Makes room for another leader.
    pub(crate) async fn resign(&self, won: Won<S::Lease>) {
        let key = self.config.layout.leader();
        let condition = Condition::ModifiedAt(key.clone(), won.revision);
        let delete = Transaction::new(condition, Operation::Delete(key));
        let deleted = self.store.transact(delete).await;
        let revoked = self.store.revoke(won.lease.id()).await;
        if let Some(error) = deleted.err().or(revoked.err()) {
            tracing::warn!("another engine can lead only when the lease has ended: {error}");
        }
    }

    /// This machine's own pause.
    fn stagger(&self) -> Duration {
        let bytes = self.config.machine.as_str().bytes();
        // FNV-1a: the same on every machine, and spread well enough.
        let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        STAGGER / 1000 * (hash % 1000)
    }
}

/// Whether the last thing that happened is that the key was deleted. Who missed something looks anew.
fn is_vacant(event: &WatchEvent) -> bool {
    match event {
        WatchEvent::Compacted => true,
        WatchEvent::Changes { changes, .. } => {
            matches!(changes.last(), Some(Change::Deleted { .. }))
        }
    }
}
