//! What all connections share.
//!
//! One of these serves any number of listeners.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use hyper::header::HeaderValue;
use kv_cluster::{Replica, Status};
use kv_model::{Event, Revision, query};
use tokio::sync::{Semaphore, watch};

use super::backend::Backend;
use super::metrics::Metrics;
use super::options::HttpOptions;
use super::password::Passwords;
use super::token::Tokens;
use crate::watch::Hub;

/// Each holds a commit of the database, whose space cannot be used meanwhile.
const COPIES_MAX: usize = 2;

/// What all connections share.
pub struct ServerState {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) options: HttpOptions,
    pub(super) hub: Arc<Hub>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) passwords: Passwords,
    pub(super) tokens: Tokens,
    pub(super) cluster_id: HeaderValue,
    pub(super) connections: Arc<Semaphore>,
    /// For copies of the store that may be under way.
    pub(super) copies: Arc<Semaphore>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) started: SystemTime,
    in_flight: AtomicUsize,
}

impl ServerState {
    /// Serves this replica; from now on its store's events are followed. Must be called inside a
    /// tokio runtime, once for a replica.
    pub fn new(replica: Replica, options: HttpOptions) -> Arc<Self> {
        Self::with_backend(Arc::new(replica), options)
    }

    /// As [`ServerState::new`], for anything that behaves like a replica.
    pub fn with_backend(backend: Arc<dyn Backend>, options: HttpOptions) -> Arc<Self> {
        let hub = Arc::new(Hub::new(Revision(0)));
        let metrics = Arc::new(Metrics::default());
        backend.subscribe(Box::new(on_events(&hub, &metrics)));
        backend.subscribe_to_installs(Box::new(on_install(&hub, &backend)));
        // Whatever happened before the subscription is in the history; nothing waits for it.
        jump(&hub, &*backend);
        let task = Arc::clone(&hub);
        tokio::spawn(async move { task.run().await });
        tokio::spawn(count_leaders(backend.status(), Arc::clone(&metrics)));
        let cluster_id = HeaderValue::from_str(&backend.cluster_id().to_string());
        let connections = Arc::new(Semaphore::new(options.connections_max));
        Arc::new(Self {
            cluster_id: cluster_id.unwrap_or(HeaderValue::from_static("0")),
            backend,
            options,
            hub,
            metrics,
            passwords: Passwords::default(),
            tokens: Tokens::default(),
            connections,
            copies: Arc::new(Semaphore::new(COPIES_MAX)),
            stopping: watch::Sender::new(false),
            started: SystemTime::now(),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Ends all watches, and every connection after the request it is busy with.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        self.hub.close();
    }

    /// How many clients watch.
    pub fn watchers(&self) -> usize {
        self.hub.watchers()
    }

    /// A place among the writes under way, if there is one.
    pub(super) fn admit(&self) -> Option<Admitted<'_>> {
        let admitted = Admitted(&self.in_flight);
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        (before < self.options.in_flight_max).then_some(admitted)
    }

    /// Writes under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

fn on_events(hub: &Arc<Hub>, metrics: &Arc<Metrics>) -> impl Fn(&[Arc<Event>]) + use<> {
    let (hub, metrics) = (Arc::clone(hub), Arc::clone(metrics));
    move |events| {
        metrics.count_events(events);
        hub.publish(events);
    }
}

/// After a snapshot, watchers find in the history what happened between.
fn on_install(hub: &Arc<Hub>, backend: &Arc<dyn Backend>) -> impl Fn() + use<> {
    // The backend holds this callback, so it must not be held by it.
    let (hub, backend) = (Arc::clone(hub), Arc::downgrade(backend));
    move || {
        if let Some(backend) = backend.upgrade() {
            jump(&hub, &*backend);
        }
    }
}

fn jump(hub: &Hub, backend: &dyn Backend) {
    if let Ok(newest) = query::revision(&*backend.view()) {
        hub.jump(newest);
    }
}

/// Counts changes of the leader until the replica is gone.
async fn count_leaders(mut status: watch::Receiver<Status>, metrics: Arc<Metrics>) {
    let mut leader = None;
    loop {
        let now = status.borrow_and_update().leader;
        if now.is_some() && now != leader {
            leader = now;
            metrics.leader_changed();
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// A place among the writes under way; dropping it frees it.
pub(super) struct Admitted<'a>(&'a AtomicUsize);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
