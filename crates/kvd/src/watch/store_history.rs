//! The store's history as watchers read it.
//!
//! It may lie on disk, so it is read where nobody else waits.
use kv_model::Revision;
use kv_store::HistoryLimit;

use super::history::{HistoryError, HistoryPage, HistoryPages, Page};

/// What a watcher that is behind takes into memory at once.
const PAGE: HistoryLimit = HistoryLimit {
    events: 512,
    bytes: 256 * 1024,
};

/// The store's history.
pub struct StoreHistory(pub kv_store::History);

impl HistoryPages for StoreHistory {
    fn oldest(&self) -> Revision {
        self.0.oldest()
    }

    fn page(&self, from: Revision) -> HistoryPage {
        let history = self.0.clone();
        let read = tokio::task::spawn_blocking(move || history.from(from, PAGE));
        Box::pin(async move {
            let read = read.await;
            let page = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            page.map(Page::from).map_err(|error| match error {
                kv_store::HistoryError::Cleared { oldest } => HistoryError::Cleared { oldest },
                kv_store::HistoryError::Unreadable(error) => HistoryError::Storage(error),
            })
        })
    }
}
