//! The daemon: everything is started here, and ended.
//!
//! Its end touches no unit.

mod signals;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use fleet_agent::{Agent, Bus, MachineFacts, Registration, Uptime};
use fleet_engine::{Config, Engine};
use fleet_etcd::{EtcdStore, Options};
use fleet_store::{Layout, MachineRecord};
use machine_facts::system_root::SystemRoot;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::configuration::Configuration;
use crate::http::tls::ServerTls;
use crate::http::{Acceptor, Api, Listener, Metrics, Parts, Peers, Readiness};
use crate::settings::UsageError;
use crate::{identity, logging, registrar};
use signals::{Signal, Signals};

/// How long after a boot the store is waited for before units are started from memory.
const BOOT_GRACE: Duration = Duration::from_secs(20);
/// How long requests that are being answered may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long systemd may take to say whether the machine ends.
const SYSTEMD_ANSWER: Duration = Duration::from_secs(3);
/// How often the machine's address is looked for: it may come after fleetd, as by DHCP, and change.
const ADDRESS_LOOK: Duration = Duration::from_secs(2);
/// How long units may take to stop when the machine ends; less than systemd gives fleetd.
const LAST_UNITS: Duration = Duration::from_secs(45);

/// What is asked again when settings are to be read anew.
pub(crate) type Reread<'a> = &'a dyn Fn() -> Result<(Configuration, Vec<String>), UsageError>;

/// What runs.
struct Daemon {
    configuration: Configuration,
    facts: MachineFacts,
    /// Where the API answers by TLS.
    port: Option<u16>,
    tls: Option<Arc<ServerTls>>,
    agent: Agent<EtcdStore>,
    readiness: watch::Sender<Readiness>,
}

/// Runs until told to stop.
pub(crate) async fn run(
    configuration: Configuration,
    passed: Vec<OwnedFd>,
    reread: Reread<'_>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let facts = identity::read()?;
    let tls = configuration.tls.as_ref();
    let tls = tls.map(ServerTls::open).transpose()?.map(Arc::new);
    let listeners = listeners(&configuration, passed).await?;
    let port = listeners.iter().find_map(Listener::port);
    let metrics = Arc::new(Metrics::new());
    let store = open_store(&configuration, &metrics);
    let record = identity::record(&facts, &configuration, port);
    let agent = start_agent(&configuration, &facts, record, store.clone());
    let (stop, stopping) = watch::channel(false);
    let (readiness, ready) = watch::channel(Readiness::Serving);
    let mut engine = start_engine(&configuration, &facts, &store, &metrics, &stopping);
    let api = Arc::new(Api::new(Parts {
        store,
        layout: Layout::new(configuration.store.prefix.clone()),
        machine: facts.id.clone(),
        page_limit: configuration.page_limit,
        peers: Peers::new(configuration.tls.as_ref()),
        metrics,
        readiness: ready,
        stop: stopping.clone(),
    }));
    let acceptor = Acceptor::new(tls.clone(), stopping);
    let mut tasks = JoinSet::new();
    for listener in listeners {
        let api = Arc::new(Arc::clone(&api));
        tasks.spawn(acceptor.clone().serve(listener, api));
    }
    tasks.spawn(registrar::serve(agent.announcements()));
    tasks.spawn(service_manager::keep_watchdog_quiet());
    let mut daemon = Daemon {
        configuration,
        facts,
        port,
        tls,
        agent,
        readiness,
    };
    service_manager::ready("Running");
    daemon.watch_over(&mut signals, reread).await;
    service_manager::stopping("Stopping; units go on");
    stop.send_replace(true);
    daemon.end().await;
    while engine.join_next().await.is_some() {}
    acceptor.wait_for_answers(LAST_ANSWERS).await;
    tasks.shutdown().await;
    Ok(())
}

fn open_store(configuration: &Configuration, metrics: &Arc<Metrics>) -> EtcdStore {
    let options = &configuration.store;
    let options = Options {
        servers: options.servers.clone(),
        user: options.user.clone(),
        tls: options.tls.clone(),
        timeout: options.timeout,
    };
    let metrics = Arc::clone(metrics);
    let observe = move |request, is_success| metrics.asked(request, is_success);
    EtcdStore::new(options, Arc::new(observe))
}

fn start_agent(
    configuration: &Configuration,
    facts: &MachineFacts,
    record: MachineRecord,
    store: EtcdStore,
) -> Agent<EtcdStore> {
    let options = fleet_agent::Configuration {
        machine: facts.id.clone(),
        boot_id: facts.boot_id.clone(),
        record,
        layout: Layout::new(configuration.store.prefix.clone()),
        lease_ttl: configuration.agent_ttl,
        boot_grace: BOOT_GRACE,
        registration: configuration.registration.clone(),
        root: SystemRoot::new("/"),
        uptime: Uptime::of_machine(),
    };
    Agent::start(options, Bus::new(None), store)
}

/// Starts the engine, if this machine is to have one; it makes room for another when it ends.
fn start_engine(
    configuration: &Configuration,
    facts: &MachineFacts,
    store: &EtcdStore,
    metrics: &Metrics,
    stopping: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if !configuration.runs_engine {
        return tasks;
    }
    let usual = Config::new(facts.id.clone(), env!("CARGO_PKG_VERSION"));
    let config = Config {
        layout: Layout::new(configuration.store.prefix.clone()),
        lease: usual.lease.min(configuration.agent_ttl),
        ..usual
    };
    let engine = Engine::new(store.clone(), config);
    metrics.follow_engine(engine.status());
    let mut stopping = stopping.clone();
    tasks.spawn(engine.run(async move {
        // An error means that the daemon is gone.
        let _ = stopping.wait_for(|stops| *stops).await;
    }));
    tasks
}

/// Whether the machine ends, not fleetd alone.
async fn is_shutting_down() -> bool {
    let mut command = tokio::process::Command::new("systemctl");
    command.arg("is-system-running").kill_on_drop(true);
    let asked = tokio::time::timeout(SYSTEMD_ANSWER, command.output()).await;
    // Without an answer the lease is left to end by itself, which is always safe.
    matches!(asked, Ok(Ok(output)) if output.stdout.trim_ascii() == b"stopping")
}

/// Takes the machine out of the cluster, once its units have stopped: nobody waits for its lease's end.
async fn leave(agent: Agent<EtcdStore>) {
    match agent.leave(LAST_UNITS).await {
        Ok(true) => tracing::info!("this machine left the cluster"),
        Ok(false) => tracing::warn!("units run still: this machine's lease ends by itself"),
        Err(error) => tracing::warn!("cannot leave the cluster, the lease ends by itself: {error}"),
    }
}

/// The sockets that systemd passed on, and those of the settings.
async fn listeners(
    configuration: &Configuration,
    passed: Vec<OwnedFd>,
) -> anyhow::Result<Vec<Listener>> {
    let mut found: Vec<Listener> = Vec::new();
    for descriptor in passed {
        let listener = Listener::from_descriptor(descriptor)?;
        if listener.port().is_some() && configuration.tls.is_none() {
            tracing::warn!(
                "TCP stays closed without mutual TLS, requests are refused: set tls-cafile, tls-certfile and tls-keyfile"
            );
        }
        found.push(listener);
    }
    for address in &configuration.listen {
        found.push(Listener::bind(*address).await?);
    }
    if found.is_empty() {
        tracing::warn!(
            "nobody can ask anything: fleet.socket passed no socket on, and listen is not set"
        );
    }
    Ok(found)
}

impl Daemon {
    /// Ends the agent. Units are left alone; a machine that shuts down leaves the cluster.
    async fn end(self) {
        if is_shutting_down().await {
            leave(self.agent).await;
        } else {
            self.agent.stop().await;
        }
    }

    /// Acts on signals and on how the machine stands with the store, until a signal ends it.
    async fn watch_over(&mut self, signals: &mut Signals, reread: Reread<'_>) {
        let mut told = self.agent.registration();
        self.tell(&told);
        let mut looks = tokio::time::interval(ADDRESS_LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // It may have changed while something else was done.
            let now = self.agent.registration();
            if now != told {
                self.tell(&now);
                told = now;
            }
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::End => return,
                    Signal::Reload => {
                        service_manager::reloading();
                        match reread() {
                            Ok((new, warnings)) => self.take_over(&new, &warnings),
                            Err(error) => tracing::error!("the old settings stay: {error}"),
                        }
                        service_manager::reloaded();
                    }
                },
                _ = self.agent.registration_changed() => {}
                _ = looks.tick() => self.look_for_address(),
            }
        }
    }

    /// Tells of the machine's address if it is another one. That there is none for a moment changes nothing.
    fn look_for_address(&mut self) {
        let Ok(facts) = identity::read() else {
            return;
        };
        if facts.address.is_none() || facts.address == self.facts.address {
            return;
        }
        self.facts.address = facts.address;
        let record = identity::record(&self.facts, &self.configuration, self.port);
        self.agent.set_record(record);
    }

    /// Says how the machine stands with the store.
    fn tell(&self, registration: &Registration) {
        let readiness = match registration {
            Registration::Registered => {
                tracing::info!("this machine is registered");
                service_manager::status("Registered");
                Readiness::Serving
            }
            Registration::Trying { problem } => {
                if !problem.is_empty() {
                    tracing::warn!("this machine is not registered: {problem}");
                }
                service_manager::status("Not registered: units that run go on");
                Readiness::Serving
            }
            Registration::Double { boot_id } => {
                let id = &self.facts.id;
                let text = format!(
                    "another machine with the id {id} is registered (its boot is {boot_id}): give one of them an id of its own (systemd-machine-id-setup)"
                );
                tracing::error!("{text}");
                service_manager::status("Refused: another machine has this id");
                Readiness::Refusing(text)
            }
        };
        self.readiness.send_replace(readiness);
    }

    /// Takes over what can change while running.
    fn take_over(&mut self, new: &Configuration, warnings: &[String]) {
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        logging::set_verbose(new.is_verbose);
        if let (Some(tls), Some(files)) = (&self.tls, &new.tls)
            && let Err(error) = tls.reload(files)
        {
            tracing::error!("the old certificates stay in use: {error}");
        }
        self.configuration.metadata.clone_from(&new.metadata);
        self.configuration.public_ip = new.public_ip;
        self.configuration.is_verbose = new.is_verbose;
        self.configuration
            .registration
            .clone_from(&new.registration);
        self.agent
            .set_registration_settings(new.registration.clone());
        let record = identity::record(&self.facts, &self.configuration, self.port);
        self.agent.set_record(record);
        if self.configuration != *new {
            tracing::warn!(
                "some changed settings count only after a restart, which touches no unit"
            );
        }
        tracing::info!("the settings were read again");
    }
}
