//! Tells watchers what changed: each event reaches every client that watches its path, once and in
//! order, whether it happened before or after the client asked.
//!
//! A watcher is a cursor (the next revision it has to look at) and a short queue. As long as the
//! queue has room, events come live; when a client is too slow for that, the rest is read from the
//! history once it has taken what is queued. So no watcher is cut off for being slow, and none holds
//! much memory.
//!
//! Live and past events are chosen by one rule ([`interest`]). etcd has two: its history shows hidden
//! keys to watchers from above, and tells watchers of `/a/none` and even `/ab` that `/a` was removed;
//! and a live stream on a removed directory hears of it twice. Here both ways give what etcd's live
//! watchers get, once.
//!
//! It knows neither HTTP nor where the history is kept.
mod bounded_history;
pub mod history;
pub mod hub;
pub mod interest;
mod mailbox;
pub mod notice;
mod store_history;
pub mod watcher;

#[cfg(test)]
mod tests;

pub(crate) use bounded_history::BoundedHistory;
pub use history::{HistoryError, HistoryPages};
pub use hub::Hub;
pub use interest::{Interest, Watched};
pub(crate) use mailbox::Mailbox;
pub use notice::Notice;
pub use store_history::StoreHistory;
pub use watcher::{Ended, Watcher};
