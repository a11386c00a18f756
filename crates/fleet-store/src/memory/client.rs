//! A client behind a link that can be cut.
//!
//! It does not repeat anything.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::server::Server;
use super::{MemoryLease, MemoryStore, MemoryWatch, REQUEST_TIMEOUT};
use crate::error::StoreError;
use crate::keys::Keys;
use crate::store::{LeaseId, Range, Revision, Store};
use crate::transaction::{Outcome, Transaction};

/// The longest that a request lies somewhere before it is carried out after all.
const STRAY_MAX: Duration = Duration::from_secs(16);

/// A client. Clones share its link.
#[derive(Clone)]
pub struct MemoryClient {
    pub(super) store: MemoryStore,
    link: Arc<Link>,
}

#[derive(Default)]
struct Link {
    is_cut: AtomicBool,
    mended: Notify,
    /// How many of a hundred changes get lost or go astray.
    loss: AtomicU8,
}

impl MemoryClient {
    pub(super) fn new(store: MemoryStore) -> Self {
        let link = Arc::new(Link::default());
        Self { store, link }
    }

    /// Has so many of a hundred changes fail with an unknown outcome from now on: some were made, some are made
    /// later, some never. Reads and keep-alives are not touched.
    pub fn set_loss(&self, percent: u8) {
        self.link.loss.store(percent, Ordering::Relaxed);
    }

    /// Cuts its link: nothing gets through in either direction.
    pub fn cut(&self) {
        self.link.is_cut.store(true, Ordering::Relaxed);
    }

    /// Mends its link.
    pub fn mend(&self) {
        self.link.is_cut.store(false, Ordering::Relaxed);
        self.link.mended.notify_waiters();
    }

    /// Whether its link is cut.
    pub fn is_cut(&self) -> bool {
        self.link.is_cut.load(Ordering::Relaxed)
    }

    /// Waits until its link is not cut.
    pub(super) async fn mended(&self) {
        loop {
            let mut mended = pin!(self.link.mended.notified());
            mended.as_mut().enable(); // from now on, nothing is missed
            if !self.is_cut() {
                return;
            }
            mended.await;
        }
    }

    /// One way; whether the request, or its answer, arrived.
    async fn travel(&self) -> bool {
        sleep(self.store.draw_delay()).await;
        timeout(REQUEST_TIMEOUT, self.mended()).await.is_ok()
    }

    /// Asks for what changes nothing.
    pub(super) async fn read<T>(
        &self,
        act: impl FnOnce(&mut Server) -> T,
    ) -> Result<T, StoreError> {
        let cut = || StoreError::Unavailable("the link is cut".to_owned());
        if !self.travel().await {
            return Err(cut());
        }
        let result = self.store.change(act);
        if self.travel().await {
            Ok(result)
        } else {
            Err(cut())
        }
    }

    /// Asks for a change.
    async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Server) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let unknown = || StoreError::OutcomeUnknown("the link is cut".to_owned());
        if !self.travel().await {
            return Err(match self.store.draw(3) {
                0 => StoreError::Unavailable("the link is cut".to_owned()),
                1 => unknown(),
                _ => {
                    self.stray(act);
                    unknown()
                }
            });
        }
        if self.store.draw(100) < self.link.loss.load(Ordering::Relaxed) {
            match self.store.draw(3) {
                0 => drop(self.store.change(act)),
                1 => self.stray(act),
                _ => {}
            }
            return Err(unknown());
        }
        let result = self.store.change(act);
        if self.travel().await {
            Ok(result)
        } else {
            Err(unknown())
        }
    }

    /// Has a change made later, when nobody waits for it any more.
    fn stray<T: Send + 'static>(&self, act: impl FnOnce(&mut Server) -> T + Send + 'static) {
        let store = self.store.clone();
        let eighths = u32::from(store.draw(8));
        tokio::spawn(async move {
            sleep(STRAY_MAX / 8 * eighths).await;
            store.change(act);
        });
    }
}

impl Store for MemoryClient {
    type Watch = MemoryWatch;
    type Lease = MemoryLease;

    async fn range(&self, keys: Keys) -> Result<Range, StoreError> {
        let act = move |server: &mut Server| {
            server.counts.reads += 1;
            server.range(&keys)
        };
        self.read(act).await
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let act = move |server: &mut Server| server.transact(&transaction);
        self.write(act).await?
    }

    async fn watch(&self, keys: Keys, from: Revision) -> Result<MemoryWatch, StoreError> {
        self.read(|server| server.counts.watches += 1).await?;
        Ok(MemoryWatch::new(self.clone(), keys, from))
    }

    async fn grant(&self, ttl: Duration) -> Result<MemoryLease, StoreError> {
        MemoryLease::grant(self, ttl).await
    }

    async fn take_over(&self, id: LeaseId) -> Result<Option<MemoryLease>, StoreError> {
        MemoryLease::take_over(self, id).await
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.write(move |server| server.end_lease(id)).await
    }
}
