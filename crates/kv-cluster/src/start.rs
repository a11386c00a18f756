//! Puts a member together and starts it.
//!
//! The order matters: the folder is checked before anything is opened, the peer sockets answer before
//! others are asked, and nothing votes before it is certain who this is.
use std::io;
use std::sync::Arc;

use kv_store::Store;
use openraft::{Config, SnapshotPolicy};
use parking_lot::Mutex;
use raft_log::{FileDisk, RaftLog};
use tokio::sync::watch;

use crate::bootstrap::{self, Decided};
use crate::compaction;
use crate::error::StartError;
use crate::expiry;
use crate::force_new;
use crate::housekeeping;
use crate::identity::{Identity, Stage};
use crate::lease_desk::LeaseDesk;
use crate::log_storage::LogStorage;
use crate::membership::Changer;
use crate::peer::client::Peers;
use crate::peer::network::Network;
use crate::peer::server::{Door, Phase, serve};
use crate::propose::{ENTRY_BYTES_MAX, Limits, Proposer};
use crate::read_index::Reader;
use crate::replica::{Inner, Replica, Tasks};
use crate::room::Room;
use crate::route::Router;
use crate::services::Services;
use crate::settings::{Settings, Start};
use crate::state_machine::StateMachine;
use crate::status::Role;
use crate::types::Raft;
use crate::watcher::{self, Told};

/// Where a snapshot that comes in is kept, in the data folder.
const INCOMING_SNAPSHOT: &str = "incoming-snapshot";
/// An append to a follower carries at most so many entries.
const SEND_ENTRIES_MAX: u64 = 1024;
/// A follower that is far behind gets the log as long as it is there, else a snapshot.
const LAG_MAX: u64 = 10_000_000;
/// Entries are removed from the log in lots of this.
const PURGE_ENTRIES: u64 = 512;

/// Starts a member.
pub(crate) async fn start(mut settings: Settings) -> Result<Replica, StartError> {
    let found = bootstrap::check(&settings)?;
    let (storage, machine) = open(&settings).await?;
    let door = Door::default();
    let listeners = std::mem::take(&mut settings.peer_listeners);
    let serving = serve(listeners, settings.peer_tls.as_ref(), &door);
    let mut tasks = Tasks(serving.map_err(|source| StartError::Listen {
        url: settings.peer_urls.join(","),
        source,
    })?);
    let decided = match (&settings.start, found) {
        (Start::ForceNew, Some(identity)) => Decided {
            identity: force_new::force(&settings, identity, &storage, &machine).await?,
            initialize: None,
        },
        (_, found) => bootstrap::decide(&settings, found, &storage, &door).await?,
    };
    let Decided {
        identity,
        initialize,
    } = decided;
    if machine.is_removed(identity.id) {
        return Err(bootstrap::removed(&settings, identity.id));
    }
    let told = Told::new();
    let services = assemble(&settings, &identity, storage.clone(), machine, &told).await?;
    door.enter(Phase::Running(Arc::clone(&services)));
    tasks.0.extend(spawn(&settings, &services, &storage, &told));
    tasks.0.push(tokio::spawn(remember_removal(
        told.clone(),
        identity,
        settings.data_dir.clone(),
    )));
    begin(&services.raft, initialize).await?;
    let inner = Inner {
        services,
        told,
        log: storage.log().clone(),
        door,
        timeout: settings.request_timeout(),
        election_timeout: settings.election_timeout,
        tasks: Mutex::new(tasks),
    };
    Ok(Replica {
        inner: Arc::new(inner),
    })
}

/// Opens log and store in the folder, which is made if it is absent.
pub(crate) async fn open(settings: &Settings) -> Result<(LogStorage, StateMachine), StartError> {
    let folder = settings.data_dir.clone();
    let (mut log_options, store_options) = (settings.log.clone(), settings.store.clone());
    let entry_bytes = ENTRY_BYTES_MAX.max(settings.request_bytes_max) + 4096;
    log_options.payload_bytes_max = log_options.payload_bytes_max.max(entry_bytes);
    let opening = move || -> Result<(LogStorage, StateMachine), StartError> {
        let (log_folder, store_folder) = (folder.join("log"), folder.join("store"));
        std::fs::create_dir_all(&folder).map_err(|error| StartError::Store {
            folder: folder.clone(),
            source: error.into(),
        })?;
        // What was left of a transfer is of no use: it begins anew.
        std::fs::remove_file(folder.join(INCOMING_SNAPSHOT)).ok();
        let disk = Arc::new(FileDisk);
        let log = RaftLog::open(disk, &log_folder, log_options).map_err(|error| {
            let folder = log_folder.clone();
            StartError::Log {
                folder,
                source: error.into(),
            }
        })?;
        let failed = |source: crate::error::Source| StartError::Store {
            folder: store_folder.clone(),
            source,
        };
        let store =
            Store::open(&store_folder, store_options).map_err(|error| failed(error.into()))?;
        let machine = StateMachine::new(store.clone()).map_err(|error| failed(error.into()))?;
        Ok((LogStorage::new(log, Some(store)), machine))
    };
    tokio::task::spawn_blocking(opening)
        .await
        .map_err(|error| StartError::Raft(error.into()))?
}

fn config(settings: &Settings) -> Result<Arc<Config>, StartError> {
    let milliseconds =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let election = milliseconds(settings.election_timeout);
    let config = Config {
        cluster_name: settings.cluster_token.clone(),
        heartbeat_interval: milliseconds(settings.heartbeat),
        election_timeout_min: election,
        election_timeout_max: 2 * election,
        max_payload_entries: SEND_ENTRIES_MAX,
        replication_lag_threshold: LAG_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(settings.snapshot_entries),
        max_in_snapshot_log_to_keep: settings.keep_entries,
        purge_batch_size: PURGE_ENTRIES,
        enable_pre_vote: Some(true),
        // A leader that was killed must be elected again. Taking up its old term, it would not know what
        // was committed in it (its reads would be stale), and its log may lack what the others had
        // on their disks before it had.
        enable_leader_restore: Some(false),
        broadcast_submitted_on_append: Some(true),
        backoff: "20ms 40ms 80ms ...500ms".to_owned(),
        ..Config::default()
    };
    let validated = config.validate();
    Ok(Arc::new(
        validated.map_err(|error| StartError::Raft(error.into()))?,
    ))
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        request_bytes_max: settings.request_bytes_max,
        commands_max: settings.waiting_commands_max,
        bytes_max: settings.waiting_bytes_max,
        timeout: settings.request_timeout(),
    }
}

async fn assemble(
    settings: &Settings,
    identity: &Identity,
    storage: LogStorage,
    machine: StateMachine,
    told: &Told,
) -> Result<Arc<Services>, StartError> {
    let peers = Peers::new(
        identity.id,
        identity.cluster_id,
        settings.peer_tls.clone(),
        Arc::clone(&settings.link),
    );
    let network = Network::new(peers.clone(), settings.election_timeout);
    let log = storage.log().clone();
    let raft = Raft::new(
        identity.id,
        config(settings)?,
        network,
        storage,
        machine.clone(),
    )
    .await
    .map_err(|error| StartError::Raft(error.into()))?;
    let room = Room::new(log, machine.store().clone());
    let timeout = settings.request_timeout();
    let status = told.status.subscribe();
    let changer = Changer::new(raft.clone(), machine.clone(), settings.election_timeout * 2);
    let router = Router::new(changer.clone(), peers.clone(), status.clone(), timeout);
    let proposer = Proposer::new(
        raft.clone(),
        peers.clone(),
        room.clone(),
        status.clone(),
        limits(settings),
    );
    let reader = Reader::new(
        raft.clone(),
        peers.clone(),
        status.clone(),
        machine.position().subscribe(),
        told.sole_voter.subscribe(),
        timeout,
    );
    let lease_desk = LeaseDesk::new(
        machine.clone(),
        reader.clone(),
        peers.clone(),
        status,
        timeout,
    );
    Ok(Arc::new(Services {
        name: settings.name.clone(),
        raft,
        peers,
        machine,
        proposer,
        reader,
        changer,
        router,
        lease_desk,
        room,
        incoming_snapshot: settings.data_dir.join(INCOMING_SNAPSHOT),
        received: watch::Sender::new(None),
        receiving: tokio::sync::Mutex::new(()),
    }))
}

fn spawn(
    settings: &Settings,
    services: &Services,
    storage: &LogStorage,
    told: &Told,
) -> Vec<tokio::task::JoinHandle<()>> {
    let (raft, machine) = (services.raft.clone(), services.machine.clone());
    let keeping = housekeeping::run(
        raft.clone(),
        machine.clone(),
        storage.log().clone(),
        settings.snapshot_bytes,
        machine.position().subscribe(),
    );
    let expiring = expiry::run(
        machine.clone(),
        services.proposer.clone(),
        told.status.subscribe(),
    );
    let compacting = compaction::run(
        settings.compaction,
        machine.clone(),
        services.proposer.clone(),
        told.status.subscribe(),
        machine.position().subscribe(),
    );
    vec![
        tokio::spawn(watcher::run(
            raft.clone(),
            services.peers.clone(),
            machine,
            told.clone(),
            settings.election_timeout,
        )),
        tokio::spawn(watcher::promote(raft, services.changer.clone())),
        tokio::spawn(expiring),
        tokio::spawn(keeping),
        tokio::spawn(compacting),
    ]
}

/// Writes the first entry, or has a member that is alone elect itself at once.
async fn begin(
    raft: &Raft,
    initialize: Option<
        std::collections::BTreeMap<crate::member::MemberId, crate::member::NodeData>,
    >,
) -> Result<(), StartError> {
    if let Some(members) = initialize {
        let initialized = raft.initialize(members).await;
        return initialized.map_err(|error| StartError::Raft(error.into()));
    }
    let own = *raft.node_id();
    let voters: Vec<_> = raft.voter_ids().collect();
    if voters == [own] {
        raft.trigger()
            .elect(false)
            .await
            .map_err(|error| StartError::Raft(error.into()))?;
    }
    Ok(())
}

/// A member that hears of its removal must not start again.
async fn remember_removal(told: Told, mut identity: Identity, folder: std::path::PathBuf) {
    let mut status = told.status.subscribe();
    let ended = status.wait_for(|status| status.role == Role::Removed).await;
    if ended.is_err() {
        return;
    }
    drop(ended);
    identity.stage = Stage::Removed;
    if let Err(error) = identity.write(&folder) {
        tracing::error!(error = %io::Error::other(error), "cannot note the removal of this member");
    }
}
