//! A copy of what the store has, kept by one watch as long as somebody asks.
//!
//! It is a moment old, except for what was written through this fleetd: whoever writes waits until it
//! is here. An agent that nobody asks anything keeps no copy.

mod events;
mod records;
mod show;
mod view;

use std::sync::Arc;
use std::time::Duration;

use fleet_api::EventRecord;
use fleet_store::{Change, Layout, Revision, Store, StoreError, Watch, WatchEvent};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, timeout};

pub(crate) use records::Records;

/// A copy that nobody asked for so long is given up.
const IDLE_MAX: Duration = Duration::from_mins(2);
/// How often that is looked at.
const IDLE_CHECK: Duration = Duration::from_secs(30);
/// Events that a slow client may be behind.
const EVENTS_MAX: usize = 4096;
/// How long a writer waits until the copy has what it wrote.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Makes copies when they are needed.
pub(crate) struct Mirror<S> {
    store: S,
    layout: Layout,
    current: tokio::sync::Mutex<Option<Arc<Copy>>>,
}

/// A copy, and what changes in it.
pub(crate) struct Copy {
    pub(crate) records: RwLock<Records>,
    /// Up to where it is.
    revision: watch::Sender<Revision>,
    /// Nothing once it is given up.
    events: Mutex<Option<broadcast::Sender<Arc<EventRecord>>>>,
    asked: Mutex<Instant>,
}

impl<S: Store> Mirror<S> {
    pub(crate) fn new(store: S, layout: Layout) -> Self {
        Self {
            store,
            layout,
            current: tokio::sync::Mutex::default(),
        }
    }

    /// The copy; it is made if there is none.
    pub(crate) async fn copy(&self) -> Result<Arc<Copy>, StoreError> {
        let mut current = self.current.lock().await;
        if let Some(copy) = current.as_ref().filter(|copy| copy.is_kept()) {
            *copy.asked.lock() = Instant::now();
            return Ok(Arc::clone(copy));
        }
        let copy = self.read().await?;
        *current = Some(Arc::clone(&copy));
        Ok(copy)
    }

    /// Waits until the copy has what was written at a revision.
    pub(crate) async fn catch_up(&self, revision: Revision) {
        let current = self.current.lock().await.clone();
        let Some(copy) = current.filter(|copy| copy.is_kept()) else {
            return; // the next one reads it
        };
        let mut seen = copy.revision.subscribe();
        // If it takes longer, the client sees it a moment later.
        let _ = timeout(CATCH_UP, seen.wait_for(|seen| *seen >= revision)).await;
    }

    async fn read(&self) -> Result<Arc<Copy>, StoreError> {
        let found = self.store.range(self.layout.everything()).await?;
        let mut records = Records::default();
        for pair in found.pairs {
            let (_, read) = records.apply(&self.layout, &Change::Put(pair));
            if let Err(error) = read {
                tracing::warn!("{error}");
            }
        }
        records.revision = found.revision;
        let watch = self
            .store
            .watch(self.layout.everything(), found.revision + 1)
            .await?;
        let copy = Arc::new(Copy {
            records: RwLock::new(records),
            revision: watch::Sender::new(found.revision),
            events: Mutex::new(Some(broadcast::Sender::new(EVENTS_MAX))),
            asked: Mutex::new(Instant::now()),
        });
        let follower = Arc::clone(&copy).follow(watch, self.layout.clone());
        tokio::spawn(follower);
        Ok(copy)
    }
}

impl Copy {
    fn is_kept(&self) -> bool {
        self.events.lock().is_some()
    }

    /// Everything there is, as events, and what changes from there on.
    pub(crate) fn subscribe(
        &self,
    ) -> Option<(Vec<EventRecord>, broadcast::Receiver<Arc<EventRecord>>)> {
        let records = self.records.read();
        let receiver = self.events.lock().as_ref()?.subscribe();
        Some((events::all(&records), receiver))
    }

    async fn follow(self: Arc<Self>, mut watch: impl Watch, layout: Layout) {
        loop {
            match timeout(IDLE_CHECK, watch.next()).await {
                Ok(Ok(WatchEvent::Changes { revision, changes })) => {
                    self.take(&layout, revision, &changes);
                }
                Ok(Ok(WatchEvent::Compacted)) => break,
                Ok(Err(error)) => {
                    tracing::warn!("the watch of the store ended: {error}");
                    break;
                }
                Err(_) if self.is_idle() => break,
                Err(_) => {}
            }
        }
        *self.events.lock() = None;
    }

    fn is_idle(&self) -> bool {
        let events = self.events.lock();
        let is_watched = events
            .as_ref()
            .is_some_and(|events| events.receiver_count() > 0);
        !is_watched && self.asked.lock().elapsed() > IDLE_MAX
    }

    fn take(&self, layout: &Layout, revision: Revision, changes: &[Change]) {
        let mut records = self.records.write();
        let events = self.events.lock().clone();
        for change in changes {
            let (told, read) = events::apply(&mut records, layout, change);
            if let Err(error) = read {
                tracing::warn!("{error}");
            }
            for event in told {
                let record = EventRecord {
                    revision: change.revision(),
                    event,
                };
                // It fails if nobody listens.
                let _ = events.as_ref().map(|events| events.send(Arc::new(record)));
            }
        }
        self.revision.send_replace(revision);
    }
}
