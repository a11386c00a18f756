//! Where a watcher that is behind reads what it missed.
//!
//! Only the seam: whoever keeps the history implements it.
use std::pin::Pin;
use std::sync::Arc;

use kv_model::{Event, Revision, TableError};
use tokio::sync::OwnedSemaphorePermit;

/// Past events, page by page.
pub trait HistoryPages: Send + Sync {
    /// Events from this revision on, in order: some, but not more than fit a modest buffer; none if
    /// there are none. A page never ends inside a revision. What was published is always there.
    fn page(&self, from: Revision) -> HistoryPage;

    /// The revision from which on all events are known.
    fn oldest(&self) -> Revision;
}

/// A page that may still have to be read from disk.
pub type HistoryPage = Pin<Box<dyn Future<Output = Result<Page, HistoryError>> + Send>>;

/// Some events.
#[derive(Debug)]
pub struct Page {
    /// In order, whole revisions.
    pub events: Vec<Arc<Event>>,
    /// What they take of the memory that others wait for, as long as it is held.
    pub room: Option<OwnedSemaphorePermit>,
}

impl From<Vec<Arc<Event>>> for Page {
    /// A page that nobody waits for.
    fn from(events: Vec<Arc<Event>>) -> Self {
        let room = None;
        Self { events, room }
    }
}

/// Why past events cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// They were forgotten.
    #[error("the history begins at revision {}", oldest.0)]
    Cleared {
        /// The oldest revision that is still known.
        oldest: Revision,
    },
    /// The history cannot be read.
    #[error("cannot read the history of events")]
    Storage(#[source] TableError),
}
