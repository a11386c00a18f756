//! Follows what openraft says of this member and of the others, for whoever waits for a change.
//!
//! It decides nothing, except that learners which have caught up are to get their votes.
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::{Instant, ServerState};
use tokio::sync::watch;

use crate::member::MemberId;
use crate::membership::Changer;
use crate::peer::client::{Lane, Peers};
use crate::state_machine::StateMachine;
use crate::status::{Role, Status};
use crate::types::{Membership, Raft, TypeConfig};

/// How often learners are looked at, while there are any.
const LOOK_AT_LEARNERS: Duration = Duration::from_millis(500);

/// What is told of this member.
#[derive(Clone)]
pub(crate) struct Told {
    /// Role, term and leader.
    pub(crate) status: watch::Sender<Status>,
    /// Whether this member is the only one with a vote.
    pub(crate) sole_voter: watch::Sender<bool>,
}

impl Told {
    /// Of a member that has just started.
    pub(crate) fn new() -> Self {
        let status = Status {
            leader: None,
            term: 0,
            role: Role::Follower,
            since: SystemTime::now(),
        };
        Self {
            status: watch::Sender::new(status),
            sole_voter: watch::Sender::new(false),
        }
    }

    fn tell(&self, role: Role, term: u64, leader: Option<MemberId>) {
        self.status.send_if_modified(|status| {
            if status.role == role && status.term == term && status.leader == leader {
                return false;
            }
            *status = Status {
                leader,
                term,
                role,
                since: SystemTime::now(),
            };
            true
        });
    }

    /// This member takes part no more.
    pub(crate) fn end(&self, role: Role) {
        let status = self.status.borrow().clone();
        if !status.has_ended() {
            self.tell(role, status.term, None);
        }
    }
}

/// Runs until the member stops.
pub(crate) async fn run(
    raft: Raft,
    peers: Peers,
    machine: StateMachine,
    told: Told,
    election_timeout: Duration,
) {
    let patience = 2 * election_timeout;
    let mut server = raft.server_metrics();
    let (mut removed, mut silence) = (peers.removed(), peers.silence());
    let mut leader = None;
    loop {
        // All that is told comes from the value whose change woke this up. openraft sends its other
        // metrics a moment later: whoever reads those now may see the past, and is not woken again.
        let metrics = server.borrow_and_update().clone();
        silence.mark_unchanged();
        if metrics.current_leader != leader {
            leader = metrics.current_leader;
            peers.hear_leader();
        }
        let (acknowledged, running_state) = {
            let all = raft.metrics();
            let all = all.borrow_watched();
            (all.last_quorum_acked, all.running_state.clone())
        };
        let is_heard = acknowledged.is_none_or(|last| last.elapsed() < patience);
        publish(&metrics, is_heard, &peers, &told, patience);
        raft.runtime_config().tick(!leads_nobody(&metrics));
        if let Err(fatal) = running_state {
            return told.end(ended(&fatal));
        }
        if *removed.borrow_and_update() || machine.is_removed(peers.own()) {
            return told.end(Role::Removed);
        }
        let changed = tokio::select! {
            changed = server.changed() => changed.is_ok(),
            changed = removed.changed() => changed.is_ok(),
            changed = silence.changed() => changed.is_ok(),
            () = look_again(&metrics, &peers, election_timeout) => true,
        };
        if !changed {
            let state = raft.metrics().borrow_watched().running_state.clone();
            return told.end(state.err().map_or(Role::Stopped, |fatal| ended(&fatal)));
        }
    }
}

/// With others, the leader may fall silent without openraft saying so: this member asks them before
/// it asks for votes, and keeps the leader it had meanwhile. And one that was removed may not have
/// been told: the leader speaks to it no more.
async fn look_again(metrics: &RaftServerMetrics<TypeConfig>, peers: &Peers, after: Duration) {
    let membership = metrics.membership_config.membership();
    let others: Vec<MemberId> = (membership.nodes().map(|(id, _)| *id))
        .filter(|id| *id != metrics.id)
        .collect();
    if others.is_empty() {
        return std::future::pending().await;
    }
    tokio::time::sleep(after).await;
    if membership.get_node(&metrics.id).is_some() {
        return;
    }
    for other in others {
        // What is noted is a refusal.
        let asked = peers.call(other, Lane::Control, "/still-member", Bytes::new(), after);
        asked.await.ok();
    }
}

fn ended(fatal: &openraft::errors::Fatal<TypeConfig>) -> Role {
    match fatal {
        openraft::errors::Fatal::Stopped => Role::Stopped,
        fatal => {
            tracing::error!(error = %fatal, "replication has failed: this member must be restarted");
            Role::Failed(fatal.to_string())
        }
    }
}

/// `is_heard`: whether a majority has answered this member lately, if it leads; one that has just
/// begun has the time.
fn publish(
    metrics: &RaftServerMetrics<TypeConfig>,
    is_heard: bool,
    peers: &Peers,
    told: &Told,
    patience: Duration,
) {
    let membership = metrics.membership_config.membership();
    locate(membership, peers);
    let sole = is_sole_voter(membership, metrics.id);
    told.sole_voter
        .send_if_modified(|was| std::mem::replace(was, sole) != sole);
    let role = match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => return,
    };
    let leader = (metrics.current_leader).filter(|_| {
        sole || match role {
            Role::Leader => is_heard,
            _ => !peers.misses_leader(patience),
        }
    });
    told.tell(role, metrics.vote.leader_id.term, leader);
}

/// Whether this member leads and is alone: it has nobody to send heartbeats to and no election to
/// begin, and openraft need not wake up fifty times a second for them.
fn leads_nobody(metrics: &RaftServerMetrics<TypeConfig>) -> bool {
    metrics.state.is_leader() && metrics.membership_config.membership().nodes().count() == 1
}

/// Whether this member decides alone.
fn is_sole_voter(membership: &Membership, own: MemberId) -> bool {
    let mut voters = membership.voter_ids();
    voters.next() == Some(own) && voters.next().is_none()
}

fn locate(membership: &Membership, peers: &Peers) {
    let ids: Vec<MemberId> = membership.nodes().map(|(id, _)| *id).collect();
    if ids.is_empty() {
        return;
    }
    for (id, node) in membership.nodes() {
        peers.locate(*id, &node.peer_urls);
    }
    peers.keep_only(&ids);
}

/// Looks after learners while this member leads and there are any.
pub(crate) async fn promote(raft: Raft, changer: Changer) {
    let mut server = raft.server_metrics();
    loop {
        let waits_for_votes = {
            let metrics = server.borrow_and_update();
            let membership = metrics.membership_config.membership();
            let unfinished = membership.get_joint_config().len() > 1;
            metrics.state.is_leader() && (unfinished || membership.learner_ids().next().is_some())
        };
        if !waits_for_votes {
            if server.changed().await.is_err() {
                return;
            }
            continue;
        }
        // A change that is under way is given the time to end by itself.
        tokio::time::sleep(LOOK_AT_LEARNERS).await;
        if let Err(error) = changer.promote().await {
            tracing::debug!(%error, "learners did not get their votes yet");
        }
        if raft.metrics().borrow_watched().running_state.is_err() {
            return;
        }
    }
}
