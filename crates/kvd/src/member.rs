//! A member: the replica is started, clients are served, and the leadership is handed over at the
//! end.

mod metrics_door;
mod start;

pub(crate) use start::history_window;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kv_cluster::{Replica, Role, Status};
use kvd::http::{AllowList, HttpOptions, PeerIdentity, ServerState, serve_connection};

use crate::configuration::MemberOptions;
use crate::daemon::{Doors, Ended, Process, Signals, Wish};
use crate::data_folder::DataFolder;
use crate::listener::{Arrival, Speaks, Stream};
use crate::logging;
use crate::tls::ServerTls;
use metrics_door::MetricsDoor;
use start::{Beginning, PeerSecurity};

/// A member that is formed together with others, or asks them, is called ready after so long: it
/// stands as far as it can by itself.
const LOCAL_START: Duration = Duration::from_secs(2);
/// Between two tries to tell the cluster our client URLs.
const PUBLISH_PAUSE: Duration = Duration::from_secs(2);

/// Runs a member until a signal, or until it can no longer be one.
pub(crate) async fn run(
    process: Process,
    options: MemberOptions,
    folder: DataFolder,
    doors: Doors,
    mut signals: Signals,
) -> Ended {
    let security = PeerSecurity::new(&process.configuration, &options)?;
    let peer_tls = security.server();
    let begun = start::begin(&process.configuration, &options, &folder, security);
    let Some(beginning) = ready_or_stopped(begun, &mut signals).await? else {
        return Ok(());
    };
    let settings = match beginning {
        Beginning::Member(settings) => settings,
        // The discovered cluster is full.
        Beginning::Proxy(options) => {
            let proxy = process.start_proxy(options, folder)?;
            return process.run_proxy(proxy, doors, signals).await;
        }
    };
    let (name, client_urls) = (settings.name.clone(), settings.client_urls.clone());
    let started = async { Replica::start(*settings).await.map_err(anyhow::Error::from) };
    let Some(replica) = Box::pin(ready_or_stopped(started, &mut signals)).await? else {
        return Ok(());
    };
    let state = ServerState::new(replica.clone(), http_options(&process));
    open_doors(&process, doors, &state);
    tokio::spawn(publish(replica.clone(), name, client_urls));
    service_manager::ready(&describe(&replica.status().borrow(), &replica));
    let ended = watch_over(&process, peer_tls.as_deref(), &replica, &mut signals).await;
    service_manager::stopping("Handing over and stopping");
    state.stop();
    process.stop();
    process.drain().await;
    replica.shutdown().await;
    // Held to the end: the next process must not begin before this one is through.
    drop(folder);
    ended
}

/// Waits for a step of the start. It is called ready when it takes long, because then it waits for
/// others; a signal gives it up.
async fn ready_or_stopped<T>(
    step: impl Future<Output = anyhow::Result<T>>,
    signals: &mut Signals,
) -> anyhow::Result<Option<T>> {
    let mut step = std::pin::pin!(step);
    let local_part = tokio::time::timeout(LOCAL_START, step.as_mut());
    tokio::select! {
        finished = local_part => if let Ok(result) = finished {
            return result.map(Some);
        },
        Wish::Stop = signals.next() => return Ok(None),
    }
    tracing::info!("waiting for the other members");
    service_manager::ready("Waiting for the other members");
    loop {
        tokio::select! {
            result = step.as_mut() => return result.map(Some),
            wish = signals.next() => if wish == Wish::Stop {
                return Ok(None);
            },
        }
    }
}

fn http_options(process: &Process) -> HttpOptions {
    let configuration = &process.configuration;
    let (limits, manners) = (&configuration.limits, &configuration.manners);
    let set_log_level = |name: &str| match logging::level(name) {
        Some(level) => {
            logging::set_level(level);
            Ok(())
        }
        None => Err(format!("{name:?} is no level")),
    };
    HttpOptions {
        linearizable_reads: manners.linearizable_reads,
        request_bytes_max: limits.request_bytes,
        connections_max: limits.connections,
        client_cert_auth: configuration.client_tls.names_users,
        origins: AllowList::new(manners.cors_origins.clone()),
        hosts: AllowList::new(manners.host_names.clone()),
        set_log_level: Arc::new(set_log_level),
        ..HttpOptions::default()
    }
}

fn open_doors(process: &Process, doors: Doors, state: &Arc<ServerState>) {
    let clients = Arc::clone(state);
    process.serve(doors.clients, Speaks::Http2, &move |arrival: Arrival| {
        let peer = identity(&arrival);
        serve_connection(arrival.stream, peer, Arc::clone(&clients))
    });
    let metrics = MetricsDoor::new(Arc::clone(state));
    process.serve(doors.metrics, Speaks::Http1, &move |arrival| {
        metrics.clone().serve(arrival)
    });
}

fn identity(arrival: &Arrival) -> PeerIdentity {
    PeerIdentity {
        common_name: arrival.common_name.clone(),
        address: arrival.address,
        is_tls: matches!(arrival.stream, Stream::Tls(_)),
    }
}

/// Tells the cluster where clients reach this member, as soon as there is a quorum to tell.
async fn publish(replica: Replica, name: String, client_urls: Vec<String>) {
    let mut said_why = false;
    while let Err(error) = replica
        .publish_client_urls(name.clone(), client_urls.clone())
        .await
    {
        if !said_why {
            tracing::warn!("the cluster could not be told our client URLs yet: {error}");
            said_why = true;
        }
        tokio::time::sleep(PUBLISH_PAUSE).await;
    }
}

/// Follows the role and the signals; returns when it is time to end.
async fn watch_over(
    process: &Process,
    peer_tls: Option<&ServerTls>,
    replica: &Replica,
    signals: &mut Signals,
) -> Ended {
    let mut status = replica.status();
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop => return Ok(()),
                Wish::Reload => {
                    process.reload();
                    if let Some(tls) = peer_tls {
                        tls.follow();
                    }
                }
            },
            changed = status.changed() => {
                changed.context("replication ended")?;
                let now = status.borrow_and_update().clone();
                match &now.role {
                    Role::Removed => bail!(
                        "this member was removed from the cluster; its data directory is of no use any more"
                    ),
                    Role::Failed(reason) => bail!("the storage of this member failed: {reason}"),
                    _ => {}
                }
                let text = describe(&now, replica);
                tracing::info!("{text}");
                service_manager::status(&text);
            }
        }
    }
}

/// One line: what this member is.
fn describe(status: &Status, replica: &Replica) -> String {
    let role = match &status.role {
        Role::Leader => "Leader",
        Role::Follower => "Follower",
        Role::Candidate => "Candidate",
        Role::Learner => "Learner",
        Role::Removed => "Removed",
        Role::Failed(_) => "Failed",
        Role::Stopped => "Stopped",
    };
    let (id, cluster, term) = (replica.id(), replica.cluster_id(), status.term);
    match status.leader {
        Some(leader) if leader != id => {
            format!("{role} of {leader} in term {term}: member {id} of cluster {cluster}")
        }
        Some(_) => format!("{role} in term {term}: member {id} of cluster {cluster}"),
        None => format!("{role} without a leader in term {term}: member {id} of cluster {cluster}"),
    }
}
