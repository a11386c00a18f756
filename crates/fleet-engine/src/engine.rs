//! An engine: it follows or leads, until it is stopped.
//!
//! What a leader does is not here.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use fleet_model::MachineId;
use fleet_store::{Layout, Store};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::election::Election;
use crate::leader::{Ended, Leader};
use crate::status::{Role, Status};

/// Before something is tried again that the store could not do.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// How long a stopped leader tries to make room for another.
const RESIGN_TIMEOUT: Duration = Duration::from_secs(2);

/// How an engine works.
#[derive(Debug, Clone)]
pub struct Config {
    /// The machine it runs on: each has one engine.
    pub machine: MachineId,
    /// Of its program.
    pub version: String,
    /// Where the fleet's keys are.
    pub layout: Layout,
    /// How long it leads without a sign of life.
    pub lease: Duration,
}

/// An engine.
#[derive(Debug)]
pub struct Engine<S: Store> {
    store: S,
    config: Config,
    status: watch::Sender<Status>,
}

impl Config {
    /// With the usual keys, and a lease of ten seconds.
    pub fn new(machine: MachineId, version: impl Into<String>) -> Self {
        Self {
            machine,
            version: version.into(),
            layout: Layout::default(),
            lease: Duration::from_secs(10),
        }
    }
}

impl<S: Store> Engine<S> {
    /// An engine that does nothing yet.
    pub fn new(store: S, config: Config) -> Self {
        let status = watch::Sender::new(Status::default());
        Self {
            store,
            config,
            status,
        }
    }

    /// How it is doing, from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Follows and leads until `stop` is ready. A leader that is stopped makes room at once; one that is
    /// dropped is missed when its lease ends.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        loop {
            let election = Election {
                store: &self.store,
                config: &self.config,
                status: &self.status,
            };
            let won = tokio::select! {
                biased;
                () = &mut stop => return,
                won = election.win() => won,
            };
            tracing::info!("this engine leads");
            self.status.send_modify(|status| {
                let since = tokio::time::Instant::now();
                status.role = Role::Leading { since };
            });
            let mut leader = Leader::new(&self.store, &self.config, &self.status, won);
            let ended = tokio::select! {
                biased;
                () = &mut stop => Ended::Stopped,
                ended = leader.lead() => ended,
            };
            let won = leader.into_won();
            self.status
                .send_modify(|status| status.role = Role::Starting);
            match ended {
                Ended::Stopped => {
                    // Without an answer it is as if it had been killed.
                    let _ = timeout(RESIGN_TIMEOUT, election.resign(won)).await;
                    return;
                }
                Ended::Lost(why) => {
                    tracing::warn!("this engine leads no longer: {why}");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
