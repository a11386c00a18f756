//! A history of which only so many pages are in memory for a group of watchers.
//!
//! Many watchers may be behind at once, such as those of a client that connects again. Each of them
//! waits for its turn; a page makes room for the next when its watcher has given what is in it.
use std::sync::Arc;

use kv_model::Revision;
use tokio::sync::Semaphore;

use super::history::{HistoryPage, HistoryPages, Page};

/// A history of which only so many pages are in memory.
pub(crate) struct BoundedHistory {
    history: Arc<dyn HistoryPages>,
    room: Arc<Semaphore>,
}

impl BoundedHistory {
    /// Room for so many pages.
    pub(crate) fn new(history: Arc<dyn HistoryPages>, pages_max: usize) -> Self {
        Self {
            history,
            room: Arc::new(Semaphore::new(pages_max)),
        }
    }
}

impl HistoryPages for BoundedHistory {
    fn page(&self, from: Revision) -> HistoryPage {
        let (history, room) = (Arc::clone(&self.history), Arc::clone(&self.room));
        Box::pin(async move {
            // There is none only if it was closed, which nobody does.
            let room = room.acquire_owned().await.ok();
            let page = history.page(from).await?;
            Ok(Page { room, ..page })
        })
    }

    fn oldest(&self) -> Revision {
        self.history.oldest()
    }
}
