//! The life of the process: what is opened first, who serves, and how it ends.
//!
//! Everything that can fail by the machine's or the user's fault happens before systemd is told that
//! we are ready; nothing of it waits for other members.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::configuration::{Configuration, Mode};
use crate::data_folder::DataFolder;
use crate::endpoint::Place;
use crate::listener::{self, Acceptor, Arrival, Listener, Speaks};
use crate::member;
use crate::outbound::Asker;
use crate::proxy::Proxy;
use crate::tls::{self, ServerTls};
use crate::{logging, memory, system_calls};

/// Requests under way get so long to finish when the process ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Room for connections that are only told that there are too many.
const SPARE_CONNECTIONS: usize = 128;

/// What a running process holds on to, whatever it is.
pub(crate) struct Process {
    pub(crate) configuration: Configuration,
    pub(crate) client_tls: Option<Arc<ServerTls>>,
    connections: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

/// The listeners of clients, open and not yet served.
pub(crate) struct Doors {
    pub(crate) clients: Vec<Listener>,
    pub(crate) metrics: Vec<Listener>,
}

/// Why the process ends, other than by a signal.
pub(crate) type Ended = anyhow::Result<()>;

/// Runs until a signal or an error.
pub(crate) async fn run(configuration: Configuration) -> Ended {
    // Signals that come from now on are waited for, not died of.
    let signals = Signals::new().context("cannot wait for signals")?;
    let passed = system_calls::take_passed_sockets();
    let folder = DataFolder::open(&configuration.data_folder)?;
    let hosts = certificate_hosts(&configuration);
    let client_tls = tls::server(
        "for clients",
        &configuration.client_tls,
        tls::SERVE_CLIENTS,
        hosts,
    )?
    .map(Arc::new);
    let doors = Doors {
        clients: if passed.is_empty() {
            listener::open("listen-client-urls", &configuration.listen_client)?
        } else {
            let tls = configuration.listen_client.first();
            listener::adopt(passed, tls.is_some_and(|endpoint| endpoint.tls))?
        },
        metrics: listener::open("listen-metrics-urls", &configuration.listen_metrics)?,
    };
    let connections_max = configuration.limits.connections;
    let permits = connections_max.saturating_add(SPARE_CONNECTIONS);
    let process = Process {
        client_tls,
        connections: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
        stop: watch::Sender::new(false),
        configuration,
    };
    tokio::spawn(service_manager::keep_watchdog_quiet());
    tokio::spawn(memory::keep_small());
    match process.configuration.mode.clone() {
        Mode::Member(options) => {
            Box::pin(member::run(process, options, folder, doors, signals)).await
        }
        Mode::Proxy(options) => {
            let proxy = process.start_proxy(options, folder)?;
            process.run_proxy(proxy, doors, signals).await
        }
    }
}

impl Process {
    /// Tells every listener, and whoever follows the receiver, to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What listeners for clients share.
    pub(crate) fn acceptor(&self, speaks: Speaks) -> Acceptor {
        Acceptor {
            tls: self.client_tls.clone(),
            speaks,
            names_users: self.configuration.client_tls.names_users,
            connections: Arc::clone(&self.connections),
            stop: self.stop.subscribe(),
        }
    }

    /// Serves connections of these listeners, each in a task of its own.
    pub(crate) fn serve<F, R>(&self, listeners: Vec<Listener>, speaks: Speaks, handle: &F)
    where
        F: Fn(Arrival) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        for listener in listeners {
            let url = listener.url.clone();
            tracing::info!("clients are served at {url}");
            let served = listener::serve(listener, self.acceptor(speaks), handle.clone());
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!("nobody is served at {url} any more: {error}");
                }
            });
        }
    }

    /// Waits until every connection has ended, but not for ever.
    pub(crate) async fn drain(&self) {
        let all = self.connections.available_permits();
        let permits = self.configuration.limits.connections;
        let permits = permits.saturating_add(SPARE_CONNECTIONS);
        if all == permits.min(Semaphore::MAX_PERMITS) {
            return;
        }
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let drained = self.connections.acquire_many(permits);
        if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::warn!("some connections are cut: their requests take too long");
        }
    }

    /// Reads again what can change while running.
    pub(crate) fn reload(&self) {
        service_manager::reloading();
        if let Some(tls) = &self.client_tls {
            tls.follow();
        }
        match crate::read_again() {
            Ok(configuration) => logging::set_level(configuration.log_level),
            Err(error) => tracing::error!("the settings stay as they were: {error}"),
        }
        service_manager::reloaded();
    }

    /// A proxy in this process.
    pub(crate) fn start_proxy(
        &self,
        options: crate::configuration::ProxyOptions,
        folder: DataFolder,
    ) -> anyhow::Result<Proxy> {
        let upstream = tls::client(
            "towards members",
            &self.configuration.peer_tls,
            tls::ASK_HTTP,
        )?;
        let upstream = Arc::new(upstream);
        let asker = Asker {
            tls: Some(Arc::clone(&upstream)),
            timeout: options.dial_timeout.saturating_mul(5),
            http_proxy: None,
        };
        let bytes_max = self.configuration.limits.request_bytes;
        let stop = self.stop.subscribe();
        Ok(Proxy::start(
            options, bytes_max, folder, asker, upstream, stop,
        ))
    }

    /// Serves as a proxy until a signal.
    pub(crate) async fn run_proxy(self, proxy: Proxy, doors: Doors, mut signals: Signals) -> Ended {
        self.serve(doors.clients, Speaks::Http1, &move |arrival| {
            proxy.clone().serve(arrival)
        });
        service_manager::ready("Forwarding to the members");
        while signals.next().await == Wish::Reload {
            self.reload();
        }
        service_manager::stopping("Handing over and stopping");
        self.stop();
        self.drain().await;
        Ok(())
    }
}

/// The hosts that a certificate of our own making is for.
fn certificate_hosts(configuration: &Configuration) -> Vec<String> {
    let endpoints = configuration.listen_client.iter().cloned();
    let advertised = match &configuration.mode {
        Mode::Member(member) => member.advertise_client.clone(),
        Mode::Proxy(_) => Vec::new(),
    };
    let advertised = advertised.iter().filter_map(|url| url.parse().ok());
    endpoints
        .chain(advertised)
        .filter_map(|endpoint: crate::endpoint::Endpoint| match endpoint.place {
            Place::Tcp { host, .. } => Some(host),
            Place::Unix(_) => None,
        })
        .collect()
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Stop,
    Reload,
}

/// The signals that are waited for.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next wish.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hang_up.recv() => Wish::Reload,
        }
    }
}
