//! A store in memory, for tests: with delays, partitions and leases that end.
//!
//! Time is tokio's. In a runtime whose clock is paused all of it is simulated, and equal seeds
//! give equal histories. It keeps nothing on disk and is no server.
//!
//! A request takes a while to get there and a while to come back. Behind a cut link it fails: reads
//! without effect, changes either without effect or with an unknown outcome, and of those some are
//! carried out later, as requests are that lie in a network or in a server's queue.

mod client;
mod lease;
mod server;
#[cfg(test)]
mod tests;
mod watch;

use std::ops::Range as Span;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use client::MemoryClient;
pub use lease::MemoryLease;
pub use watch::MemoryWatch;

use crate::keys::Keys;
use crate::store::{KeyValue, LeaseId, Revision};
use crate::transaction::{Outcome, Transaction};
use server::Server;

/// How long requests of a cut client wait before they fail.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The store itself. Clones are the same store.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<Server>,
    rng: Mutex<fastrand::Rng>,
    /// How long a way takes.
    delay: Mutex<Span<Duration>>,
    /// Told whenever something changed. It wakes in the order in which tasks began to wait, so that equal seeds
    /// give equal histories; a watch channel does not.
    changed: Notify,
}

/// What was asked of the store so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ranges.
    pub reads: u64,
    /// Transactions, failed ones included.
    pub transactions: u64,
    /// Keep-alives.
    pub keep_alives: u64,
    /// Watches begun.
    pub watches: u64,
}

impl MemoryStore {
    /// An empty store without delays.
    pub fn new(seed: u64) -> Self {
        let shared = Shared {
            server: Mutex::new(Server::default()),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            delay: Mutex::new(Duration::ZERO..Duration::ZERO),
            changed: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// How long each way takes from now on; a pair of ways each time.
    pub fn set_delay(&self, delay: Span<Duration>) {
        *self.shared.delay.lock() = delay;
    }

    /// A client with a link of its own; its clones share the link.
    pub fn client(&self) -> MemoryClient {
        MemoryClient::new(self.clone())
    }

    /// Ends a lease before its time, as a command or a clock that jumps could.
    pub fn end_lease(&self, id: LeaseId) {
        self.change(|server| server.end_lease(id));
    }

    /// Forgets all changes so far: watches that have not seen them are told.
    pub fn compact(&self) {
        self.change(Server::compact);
    }

    /// All keys, looked at from outside: no request, no delay.
    pub fn look(&self, keys: &Keys) -> Vec<KeyValue> {
        let mut server = self.shared.server.lock();
        server.expire();
        server.range(keys).pairs
    }

    /// Carries out a transaction from outside: no request, no delay.
    pub fn put_through(&self, transaction: &Transaction) -> Option<Outcome> {
        self.change(|server| server.transact(transaction).ok())
    }

    /// The store's revision.
    pub fn revision(&self) -> Revision {
        self.shared.server.lock().revision()
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.shared.server.lock().counts
    }

    /// Does something to the server, and wakes whoever waits for changes.
    fn change<T>(&self, act: impl FnOnce(&mut Server) -> T) -> T {
        let mut server = self.shared.server.lock();
        server.expire();
        let result = act(&mut server);
        drop(server);
        self.shared.changed.notify_waiters();
        result
    }

    fn draw_delay(&self) -> Duration {
        let span = self.shared.delay.lock().clone();
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (low, high) = (micros(span.start), micros(span.end));
        if high <= low {
            return span.start;
        }
        Duration::from_micros(self.shared.rng.lock().u64(low..high))
    }

    /// One of this many things by chance.
    fn draw(&self, count: u8) -> u8 {
        self.shared.rng.lock().u8(0..count)
    }
}
