//! Watches: positions in the server's history.
//!
//! They hold no events.

use std::pin::pin;

use tokio::time::{sleep, sleep_until};

use super::MemoryClient;
use super::server::Seen;
use crate::error::StoreError;
use crate::keys::Keys;
use crate::store::{Change, Revision, Watch, WatchEvent};

/// A watch.
pub struct MemoryWatch {
    client: MemoryClient,
    keys: Keys,
    /// The first revision that was not seen.
    next: Revision,
}

impl MemoryWatch {
    pub(super) fn new(client: MemoryClient, keys: Keys, next: Revision) -> Self {
        Self { client, keys, next }
    }

    /// Waits until there may be something new.
    async fn changed(&self) {
        let store = &self.client.store;
        let mut changed = pin!(store.shared.changed.notified());
        changed.as_mut().enable(); // from now on, nothing is missed
        let (seen, expiry) = {
            let mut server = store.shared.server.lock();
            server.expire();
            (server.since(&self.keys, self.next), server.next_expiry())
        };
        if !matches!(seen, Seen::Nothing) {
            return;
        }
        let expired = async {
            match expiry {
                Some(expiry) => sleep_until(expiry).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = expired => {}
        }
    }
}

impl Watch for MemoryWatch {
    async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        loop {
            self.changed().await;
            sleep(self.client.store.draw_delay()).await;
            self.client.mended().await;
            let mut server = self.client.store.shared.server.lock();
            server.expire();
            match server.since(&self.keys, self.next) {
                Seen::Nothing => {}
                Seen::Compacted => return Ok(WatchEvent::Compacted),
                Seen::Changes(changes) => {
                    let revision = changes.last().map_or(self.next, Change::revision);
                    self.next = revision + 1;
                    return Ok(WatchEvent::Changes { revision, changes });
                }
            }
        }
    }
}
