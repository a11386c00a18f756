//! Makes the last survivor a cluster of its own: a new cluster id, and an entry in its log that says
//! it is the only member.
//!
//! All entries are kept, also those of which this member does not know whether they were committed:
//! clients may have been told that they were. It is done before replication starts.
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use openraft::EntryPayload;

use crate::codec::{decode_vote, encode_entry, encode_log_id, encode_vote};
use crate::error::StartError;
use crate::identity::{Identity, Stage};
use crate::log_storage::{LogStorage, durably};
use crate::member::{Beginning, ClusterId, NodeData};
use crate::random;
use crate::settings::Settings;
use crate::state_machine::StateMachine;
use crate::types::{Entry, LeaderId, LogId, Membership, Vote};

/// Rewrites identity and log. Interrupted, it can be done again.
pub(crate) async fn force(
    settings: &Settings,
    mut identity: Identity,
    log: &LogStorage,
    machine: &StateMachine,
) -> Result<Identity, StartError> {
    // With the new id nobody of the old cluster is heard any more, whatever the log still says.
    identity.cluster_id = ClusterId(random::number());
    identity.token.clear();
    identity.stage = Stage::Member;
    identity.write(&settings.data_dir)?;
    let node = NodeData {
        name: settings.name.clone(),
        peer_urls: settings.peer_urls.clone(),
        client_urls: settings.client_urls.clone(),
        beginning: Beginning::Started(identity.incarnation),
    };
    append_membership(&identity, node, log, machine)
        .await
        .map_err(|error| StartError::Log {
            folder: settings.data_dir.clone(),
            source: error.into(),
        })?;
    tracing::warn!(
        cluster = %identity.cluster_id,
        "forced a new cluster of this member alone; all others must be added anew"
    );
    Ok(identity)
}

async fn append_membership(
    identity: &Identity,
    node: NodeData,
    log: &LogStorage,
    machine: &StateMachine,
) -> io::Result<()> {
    let applied = machine.progress().applied();
    let mut last = log.last_log_id()?;
    if let Some(applied) = applied.filter(|applied| last < Some(*applied)) {
        let place = encode_log_id(&applied);
        durably(|done| log.log().purge_up_to(applied.index, place, done)).await?;
        last = Some(applied);
    }
    let vote = log
        .log()
        .vote()
        .map(|bytes| decode_vote(&bytes))
        .transpose()?;
    let term = vote.map_or(0, |vote| vote.leader_id().term);
    let term = 1 + term.max(last.map_or(0, |last| last.leader_id.term));
    let voters = vec![BTreeSet::from([identity.id])];
    let nodes = BTreeMap::from([(identity.id, node)]);
    let log_id = LogId {
        leader_id: LeaderId {
            term,
            node_id: identity.id,
        },
        index: last.map_or(0, |last| last.index + 1),
    };
    let membership = Membership::new(voters, nodes).map_err(io::Error::other)?;
    let entry = Entry {
        log_id,
        payload: EntryPayload::Membership(membership),
    };
    let vote = encode_vote(&Vote::new(term, identity.id))?;
    durably(|done| log.log().save_vote(vote, done)).await?;
    let entry = raft_log::Entry {
        index: log_id.index,
        payload: encode_entry(&entry)?,
    };
    durably(|done| log.log().append(vec![entry], done)).await
}
