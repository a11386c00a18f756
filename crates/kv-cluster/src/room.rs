//! Whether there is room on the disk for more.
//!
//! It is asked before anything is put into a log: a storage error later would end the member.
use std::sync::Arc;
use std::time::{Duration, Instant};

use kv_store::Store;
use parking_lot::Mutex;
use raft_log::RaftLog;

/// The store's answer costs a system call, and is good for so long.
const GOOD_FOR: Duration = Duration::from_millis(100);

/// Asks the log and the store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Room {
    log: RaftLog,
    store: Store,
    asked: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Room {
    /// Of these.
    pub(crate) fn new(log: RaftLog, store: Store) -> Self {
        Self {
            log,
            store,
            asked: Arc::default(),
        }
    }

    /// Whether there is room.
    pub(crate) fn is_there(&self) -> bool {
        self.log.space() == raft_log::SpaceState::Ok && self.store_has_room()
    }

    fn store_has_room(&self) -> bool {
        let mut asked = self.asked.lock();
        if let Some((at, room)) = *asked
            && at.elapsed() < GOOD_FOR
        {
            return room;
        }
        let room = matches!(self.store.space(), kv_store::SpaceState::Enough);
        *asked = Some((Instant::now(), room));
        room
    }
}
