//! Decides who this member is: restarted, new, joining, or the only one left.
//!
//! Nothing is replicated yet. A start that could make an old id vote with an empty log is refused.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StartError;
use crate::forming::{self, Formed, Forming, InitialMembers};
use crate::identity::{Identity, Stage};
use crate::log_storage::LogStorage;
use crate::member::{Beginning, ClusterId, MemberId, NodeData};
use crate::peer::connect::ask;
use crate::peer::server::{Door, Phase};
use crate::peer::wire::{Hello, Join, JoinAnswer, decode, encode};
use crate::random;
use crate::settings::{Settings, Start};

const AGAIN: Duration = Duration::from_millis(500);

/// Who this member is, and what it has to begin with.
pub(crate) struct Decided {
    /// Who it is; on the disk already.
    pub(crate) identity: Identity,
    /// The members to write as the first entry, if it is this member who does.
    pub(crate) initialize: Option<BTreeMap<MemberId, NodeData>>,
}

/// Checks what can be checked before anything is opened.
pub(crate) fn check(settings: &Settings) -> Result<Option<Identity>, StartError> {
    let folder = &settings.data_dir;
    let identity = Identity::read(folder)?;
    if let Start::NewCluster { members } = &settings.start {
        forming::check(members, &settings.name, &settings.peer_urls)?;
    }
    let Some(found) = &identity else {
        if settings.start == Start::ForceNew {
            let folder = folder.clone();
            return Err(StartError::NothingToForce { folder });
        }
        return Ok(None);
    };
    if found.name != settings.name {
        return Err(StartError::OtherMember {
            folder: folder.clone(),
            found: found.name.clone(),
            name: settings.name.clone(),
        });
    }
    if found.stage == Stage::Removed {
        return Err(removed(settings, found.id));
    }
    if let Start::NewCluster { members } = &settings.start
        && !found.token.is_empty()
        && found.token != settings.cluster_token
    {
        return Err(StartError::OtherCluster {
            folder: folder.clone(),
            found: found.cluster_id,
            expected: forming::cluster_id(members, &settings.cluster_token),
        });
    }
    Ok(identity)
}

/// The error for a member that was removed.
pub(crate) fn removed(settings: &Settings, id: MemberId) -> StartError {
    StartError::Removed {
        id,
        name: settings.name.clone(),
        folder: settings.data_dir.clone(),
    }
}

/// Decides, asking other members if the folder is empty.
pub(crate) async fn decide(
    settings: &Settings,
    found: Option<Identity>,
    log: &LogStorage,
    door: &Door,
) -> Result<Decided, StartError> {
    if let Some(identity) = &found
        && (identity.stage == Stage::Member || !log.is_empty())
    {
        return restart(identity.clone(), &settings.data_dir, log, settings);
    }
    match &settings.start {
        Start::Single => {
            let members = vec![(settings.name.clone(), settings.peer_urls.clone())];
            let identity = begin(settings, found, ClusterId(random::number()), Stage::Forming)?;
            settle(settings, &members, identity, None)
        }
        Start::NewCluster { members } => new_cluster(settings, found, members, door).await,
        Start::JoinExisting { peers } => join(settings, found, peers).await,
        Start::ForceNew => Err(StartError::NothingToForce {
            folder: settings.data_dir.clone(),
        }),
    }
}

/// A folder that was in use. If the first entry was not written, it still has to be.
fn restart(
    mut identity: Identity,
    folder: &Path,
    log: &LogStorage,
    settings: &Settings,
) -> Result<Decided, StartError> {
    if identity.stage != Stage::Member {
        identity.stage = Stage::Member;
        identity.write(folder)?;
    }
    // A member alone may have stopped between saying so and writing its first entry.
    let alone = match &settings.start {
        Start::Single => true,
        Start::NewCluster { members } => members.len() == 1,
        Start::JoinExisting { .. } | Start::ForceNew => false,
    };
    if log.is_empty() && alone {
        let members = vec![(settings.name.clone(), settings.peer_urls.clone())];
        return settle(settings, &members, identity, None);
    }
    Ok(Decided {
        identity,
        initialize: None,
    })
}

/// Takes up what an interrupted start wrote, or writes a new identity.
fn begin(
    settings: &Settings,
    found: Option<Identity>,
    cluster_id: ClusterId,
    stage: Stage,
) -> Result<Identity, StartError> {
    if let Some(identity) = found
        && identity.stage == stage
        && (stage == Stage::Joining || identity.cluster_id == cluster_id)
    {
        return Ok(identity);
    }
    let number = random::number();
    let joins = stage == Stage::Joining;
    let identity = Identity {
        name: settings.name.clone(),
        id: MemberId(if joins { 0 } else { number }),
        cluster_id: ClusterId(if joins { 0 } else { cluster_id.0 }),
        token: match settings.start {
            Start::NewCluster { .. } => settings.cluster_token.clone(),
            _ => String::new(),
        },
        incarnation: number,
        stage,
    };
    identity.write(&settings.data_dir)?;
    Ok(identity)
}

/// Of a member that belongs to a cluster which nobody has heard of yet. It is not written.
pub(crate) fn new_identity(settings: &Settings) -> Identity {
    Identity {
        name: settings.name.clone(),
        id: MemberId(random::number()),
        cluster_id: ClusterId(random::number()),
        token: String::new(),
        incarnation: random::number(),
        stage: Stage::Member,
    }
}

/// The member belongs to its cluster from now on.
fn settle(
    settings: &Settings,
    members: &InitialMembers,
    mut identity: Identity,
    initialize: Option<BTreeMap<MemberId, NodeData>>,
) -> Result<Decided, StartError> {
    let alone = members.len() == 1;
    let own = || {
        let node = NodeData {
            name: settings.name.clone(),
            peer_urls: settings.peer_urls.clone(),
            client_urls: settings.client_urls.clone(),
            beginning: Beginning::Started(identity.incarnation),
        };
        BTreeMap::from([(identity.id, node)])
    };
    let initialize = if alone { Some(own()) } else { initialize };
    // One that writes the first entry stays on the way until it is written.
    if initialize.is_none() || alone {
        identity.stage = Stage::Member;
        identity.write(&settings.data_dir)?;
    }
    Ok(Decided {
        identity,
        initialize,
    })
}

async fn new_cluster(
    settings: &Settings,
    found: Option<Identity>,
    members: &InitialMembers,
    door: &Door,
) -> Result<Decided, StartError> {
    let cluster_id = forming::cluster_id(members, &settings.cluster_token);
    let identity = begin(settings, found, cluster_id, Stage::Forming)?;
    if members.len() == 1 {
        return settle(settings, members, identity, None);
    }
    let me = Hello {
        name: settings.name.clone(),
        id: identity.id,
        cluster_id,
    };
    door.enter(Phase::Forming(Arc::new(Forming::new(me.clone()))));
    match forming::form(&me, members, settings.peer_tls.as_ref()).await? {
        Formed::Initialize(nodes) => settle(settings, members, identity, Some(nodes)),
        // The stage stays: until the first entry has arrived, a restart asks again.
        Formed::Wait => Ok(Decided {
            identity,
            initialize: None,
        }),
    }
}

async fn join(
    settings: &Settings,
    found: Option<Identity>,
    peers: &[String],
) -> Result<Decided, StartError> {
    let mut identity = begin(settings, found, ClusterId(0), Stage::Joining)?;
    let others: Vec<&String> = (peers.iter())
        .filter(|url| !settings.peer_urls.contains(url))
        .collect();
    let message = Join {
        name: settings.name.clone(),
        peer_urls: settings.peer_urls.clone(),
        incarnation: identity.incarnation,
    };
    let mut told = String::new();
    loop {
        for url in &others {
            match ask_to_join(settings, url, &message).await? {
                Asked::Joined(id, cluster_id) => {
                    identity.id = id;
                    identity.cluster_id = cluster_id;
                    identity.stage = Stage::Member;
                    identity.write(&settings.data_dir)?;
                    return Ok(Decided {
                        identity,
                        initialize: None,
                    });
                }
                Asked::NotYet(reason) if reason == told => {}
                Asked::NotYet(reason) => {
                    tracing::info!(url, reason, "cannot join yet");
                    told = reason;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

enum Asked {
    Joined(MemberId, ClusterId),
    NotYet(String),
}

async fn ask_to_join(settings: &Settings, url: &str, join: &Join) -> Result<Asked, StartError> {
    let body = match encode(join) {
        Ok(body) => body,
        Err(error) => return Ok(Asked::NotYet(error.to_string())),
    };
    let patience = settings.request_timeout();
    let answer = ask(url, settings.peer_tls.as_ref(), "/join", body, patience).await;
    let bytes = match answer {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Asked::NotYet(error.to_string())),
    };
    let name = settings.name.clone();
    let first_url = settings.peer_urls.first().cloned().unwrap_or_default();
    let url = url.to_owned();
    match decode(&bytes) {
        Ok(JoinAnswer::Joined(id, cluster_id)) => Ok(Asked::Joined(id, cluster_id)),
        Ok(JoinAnswer::NotAdded) => Err(StartError::NotAdded {
            url,
            name,
            peer_urls: settings.peer_urls.clone(),
            first_url,
        }),
        Ok(JoinAnswer::LostData(id)) => Err(StartError::LostData {
            url,
            name,
            id,
            peer_url: first_url,
        }),
        Ok(JoinAnswer::NameInUse(id)) => Err(StartError::NameInUse { url, name, id }),
        Ok(JoinAnswer::Later(error)) => Ok(Asked::NotYet(error.to_string())),
        Err(error) => Ok(Asked::NotYet(error.to_string())),
    }
}
