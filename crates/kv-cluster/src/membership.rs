//! Changes of the members, made by the leader, one at a time.
//!
//! A change that would leave too few members that answer is refused. Ids are random; one that was
//! removed never comes back.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant, RaftMetrics};

use crate::error::MembershipError;
use crate::member::{Beginning, Member, MemberId, NodeData};
use crate::peer::wire::{Join, MembershipAnswer, MembershipChange};
use crate::random;
use crate::state_machine::StateMachine;
use crate::types::{Membership, Raft, TypeConfig};

type Changes = ChangeMembers<MemberId, NodeData>;
type Changed = Result<(), MembershipError>;

/// How far behind a learner may be to be given its vote.
const CAUGHT_UP_ENTRIES: u64 = 500;

/// Makes changes on the leader. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Changer {
    raft: Raft,
    machine: StateMachine,
    /// A member that has not answered for so long does not count.
    patience: Duration,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

impl Changer {
    /// With what it needs.
    pub(crate) fn new(raft: Raft, machine: StateMachine, patience: Duration) -> Self {
        Self {
            raft,
            machine,
            patience,
            one_at_a_time: Arc::default(),
        }
    }

    /// Makes a change. [`MembershipError::NoLeader`] if this member does not lead: nothing was done.
    pub(crate) async fn change(&self, change: MembershipChange) -> MembershipAnswer {
        let _alone = self.one_at_a_time.lock().await;
        if !self.raft.is_leader() {
            return Err(MembershipError::NoLeader);
        }
        match change {
            MembershipChange::Add { name, peer_urls } => {
                let added = self.add(name, peer_urls, Beginning::Announced).await;
                added.map(Some)
            }
            MembershipChange::AddLearner { peer_urls } => {
                let (name, beginning) = (String::new(), Beginning::AnnouncedToLearn);
                self.add(name, peer_urls, beginning).await.map(Some)
            }
            MembershipChange::Promote(id) => self.promote_member(id).await.map(|()| None),
            MembershipChange::Remove(id) => self.remove(id).await.map(|()| None),
            MembershipChange::Update { id, peer_urls } => {
                self.update(id, peer_urls).await.map(|()| None)
            }
            MembershipChange::Replace { id, peer_urls } => {
                self.replace(id, peer_urls).await.map(Some)
            }
            MembershipChange::Publish {
                id,
                name,
                client_urls,
            } => self.publish(id, name, client_urls).await.map(|()| None),
            MembershipChange::Join(join) => self.join(join).await.map(Some),
        }
    }

    /// Gives a vote to learners that have started and caught up.
    pub(crate) async fn promote(&self) -> Changed {
        let _alone = self.one_at_a_time.lock().await;
        let metrics = self.metrics();
        // A leader that was lost between the two steps of a change leaves the second to the next.
        if metrics
            .membership_config
            .membership()
            .get_joint_config()
            .len()
            > 1
        {
            return self
                .write(ChangeMembers::AddVoterIds(BTreeSet::new()), false)
                .await;
        }
        let ready: BTreeSet<MemberId> = (metrics.membership_config.membership().learner_ids())
            .filter(|id| is_caught_up(&metrics, *id) && !waits_for_vote(&metrics, *id))
            .collect();
        if ready.is_empty() {
            return Ok(());
        }
        tracing::info!(members = ?ready, "learners have caught up and get their votes");
        self.write(ChangeMembers::AddVoterIds(ready), false).await
    }

    fn metrics(&self) -> RaftMetrics<TypeConfig> {
        self.raft.metrics().borrow_watched().clone()
    }

    fn membership(&self) -> Membership {
        self.metrics().membership_config.membership().clone()
    }

    /// Gives a vote to a learner that nobody else would give one.
    async fn promote_member(&self, id: MemberId) -> Changed {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        self.find(membership, id)?;
        if !membership.learner_ids().any(|learner| learner == id) {
            return Err(MembershipError::NotLearner(id));
        }
        if !is_caught_up(&metrics, id) {
            return Err(MembershipError::NotReady(id));
        }
        let ids = BTreeSet::from([id]);
        self.write(ChangeMembers::AddVoterIds(ids), false).await
    }

    async fn add(
        &self,
        name: String,
        peer_urls: Vec<String>,
        beginning: Beginning,
    ) -> Result<Member, MembershipError> {
        let membership = self.membership();
        check_urls(&membership, None, &peer_urls)?;
        check_name(&membership, None, &name)?;
        let id = MemberId(random::number());
        let node = NodeData {
            name,
            peer_urls,
            beginning,
            ..NodeData::default()
        };
        let nodes = BTreeMap::from([(id, node.clone())]);
        self.write(ChangeMembers::AddNodes(nodes), true).await?;
        Ok(node.member(id, true))
    }

    fn find(&self, membership: &Membership, id: MemberId) -> Result<NodeData, MembershipError> {
        if let Some(node) = membership.get_node(&id) {
            return Ok(node.clone());
        }
        if self.machine.is_removed(id) {
            return Err(MembershipError::Removed(id));
        }
        Err(MembershipError::NotFound(id))
    }

    async fn remove(&self, id: MemberId) -> Changed {
        let membership = self.membership();
        self.find(&membership, id)?;
        let ids = BTreeSet::from([id]);
        if membership.learner_ids().any(|learner| learner == id) {
            return self.write(ChangeMembers::RemoveNodes(ids), false).await;
        }
        self.check_quorum_without(id)?;
        self.write(ChangeMembers::RemoveVoters(ids), false).await
    }

    async fn update(&self, id: MemberId, peer_urls: Vec<String>) -> Changed {
        let membership = self.membership();
        let node = self.find(&membership, id)?;
        check_urls(&membership, Some(id), &peer_urls)?;
        self.set(id, NodeData { peer_urls, ..node }).await
    }

    async fn replace(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Result<Member, MembershipError> {
        let membership = self.membership();
        let node = self.find(&membership, id)?;
        let peer_urls = if peer_urls.is_empty() {
            node.peer_urls
        } else {
            check_urls(&membership, Some(id), &peer_urls)?;
            peer_urls
        };
        self.remove(id).await?;
        // It says its name when it starts. Not to be repeated as a whole: the old one is gone.
        self.add(String::new(), peer_urls, Beginning::Announced)
            .await
            .map_err(|error| match error {
                MembershipError::NoLeader | MembershipError::InProgress => {
                    MembershipError::TimedOut
                }
                error => error,
            })
    }

    async fn publish(&self, id: MemberId, name: String, client_urls: Vec<String>) -> Changed {
        let membership = self.membership();
        let node = self.find(&membership, id)?;
        check_name(&membership, Some(id), &name)?;
        let new = NodeData {
            name,
            client_urls,
            ..node.clone()
        };
        if new == node {
            return Ok(());
        }
        self.set(id, new).await
    }

    async fn join(&self, join: Join) -> Result<Member, MembershipError> {
        let membership = self.membership();
        let same_urls = |node: &NodeData| {
            node.peer_urls.iter().collect::<BTreeSet<_>>()
                == join.peer_urls.iter().collect::<BTreeSet<_>>()
        };
        let found = membership.nodes().find(|(_, node)| same_urls(node));
        let Some((id, node)) = found.map(|(id, node)| (*id, node.clone())) else {
            return Err(MembershipError::NotFound(MemberId(0)));
        };
        let is_learner = membership.learner_ids().any(|learner| learner == id);
        match node.beginning.incarnation() {
            Some(known) if known == join.incarnation => return Ok(node.member(id, is_learner)),
            Some(_) => return Err(MembershipError::AlreadyStarted(id)),
            None => {}
        }
        check_name(&membership, Some(id), &join.name)?;
        let node = NodeData {
            name: join.name,
            beginning: node.beginning.started(join.incarnation),
            ..node
        };
        self.set(id, node.clone()).await?;
        Ok(node.member(id, is_learner))
    }

    async fn set(&self, id: MemberId, node: NodeData) -> Changed {
        let nodes = BTreeMap::from([(id, node)]);
        self.write(ChangeMembers::SetNodes(nodes), true).await
    }

    async fn write(&self, changes: Changes, retain: bool) -> Changed {
        match self.raft.change_membership(changes, retain).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(MembershipError::NoLeader)
            }
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                Err(MembershipError::TimedOut)
            }
            Err(RaftError::APIError(error)) => {
                tracing::info!(%error, "a change of the members was not made");
                Err(MembershipError::InProgress)
            }
            Err(RaftError::Fatal(_)) => Err(MembershipError::Stopped),
        }
    }

    /// Whether a majority of those that are left answers.
    fn check_quorum_without(&self, id: MemberId) -> Changed {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        let left: Vec<MemberId> = membership
            .voter_ids()
            .filter(|voter| *voter != id)
            .collect();
        if left.is_empty() {
            return Err(MembershipError::LastMember(id));
        }
        let healthy = (left.iter())
            .filter(|voter| self.answers(&metrics, **voter))
            .count();
        let needed = left.len() / 2 + 1;
        if healthy < needed {
            return Err(MembershipError::WouldLoseQuorum {
                healthy,
                voters: left.len(),
                needed,
            });
        }
        Ok(())
    }

    fn answers(&self, metrics: &RaftMetrics<TypeConfig>, id: MemberId) -> bool {
        if id == metrics.id {
            return true;
        }
        let heartbeats = metrics.heartbeat.as_ref();
        let last = heartbeats
            .and_then(|beats| beats.get(&id))
            .and_then(Option::as_ref);
        last.is_some_and(|last| last.elapsed() < self.patience)
    }
}

fn is_caught_up(metrics: &RaftMetrics<TypeConfig>, id: MemberId) -> bool {
    let started = (metrics.membership_config.membership().get_node(&id))
        .is_some_and(|node| node.beginning.incarnation().is_some());
    let matched = (metrics.replication.as_ref()).and_then(|matched| matched.get(&id)?.as_ref());
    let last = metrics.last_log_index.unwrap_or(0);
    started && matched.is_some_and(|matched| matched.index + CAUGHT_UP_ENTRIES >= last)
}

fn waits_for_vote(metrics: &RaftMetrics<TypeConfig>, id: MemberId) -> bool {
    let node = metrics.membership_config.membership().get_node(&id);
    node.is_some_and(|node| node.beginning.waits_for_vote())
}

fn check_urls(membership: &Membership, own: Option<MemberId>, urls: &[String]) -> Changed {
    if urls.is_empty() || !urls.iter().all(|url| is_peer_url(url)) {
        return Err(MembershipError::InvalidUrls);
    }
    for (id, node) in membership.nodes().filter(|(id, _)| Some(**id) != own) {
        if let Some(url) = urls.iter().find(|url| node.peer_urls.contains(url)) {
            let (url, id) = (url.clone(), *id);
            return Err(MembershipError::UrlInUse { url, id });
        }
    }
    Ok(())
}

/// Whether it is `http://HOST:PORT` or `https://HOST:PORT`.
pub(crate) fn is_peer_url(url: &str) -> bool {
    url.parse::<hyper::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.port_u16().is_some()
            && matches!(
                uri.path_and_query().map_or("/", |path| path.as_str()),
                "/" | ""
            )
    })
}

fn check_name(membership: &Membership, own: Option<MemberId>, name: &str) -> Changed {
    if name.is_empty() {
        return Ok(());
    }
    let taken = (membership.nodes()).find(|(id, node)| Some(**id) != own && node.name == name);
    match taken {
        Some((id, _)) => Err(MembershipError::NameInUse {
            name: name.to_owned(),
            id: *id,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        let node = NodeData {
            name: "a".to_owned(),
            peer_urls: vec!["http://a:2380".to_owned()],
            ..NodeData::default()
        };
        let voters = vec![BTreeSet::from([MemberId(1)])];
        let nodes = BTreeMap::from([(MemberId(1), node)]);
        Membership::new(voters, nodes).expect("every voter has a node")
    }

    #[test]
    fn urls_must_be_peer_urls_that_nobody_else_has() {
        let check = |own, url: &str| check_urls(&membership(), own, &[url.to_owned()]);
        assert_eq!(check(None, "http://b:2380"), Ok(()));
        assert_eq!(check(Some(MemberId(1)), "http://a:2380"), Ok(()));
        assert!(matches!(
            check(None, "http://a:2380"),
            Err(MembershipError::UrlInUse {
                id: MemberId(1),
                ..
            })
        ));
        for url in [
            "",
            "a:2380",
            "http://a",
            "ftp://a:1",
            "http://a:1/path",
            "http://:1",
        ] {
            assert_eq!(check(None, url), Err(MembershipError::InvalidUrls), "{url}");
        }
        assert_eq!(
            check_urls(&membership(), None, &[]),
            Err(MembershipError::InvalidUrls)
        );
    }

    #[test]
    fn names_are_unique_but_may_be_empty() {
        assert_eq!(check_name(&membership(), None, ""), Ok(()));
        assert_eq!(check_name(&membership(), None, "b"), Ok(()));
        assert_eq!(check_name(&membership(), Some(MemberId(1)), "a"), Ok(()));
        assert!(check_name(&membership(), None, "a").is_err());
    }
}
