//! Finds the point up to which a member must have applied the log for its reads to be the latest.
//!
//! All reads that wait share one round to a majority; those that come during a round share the
//! next. Nothing is written to the log, and no clock is trusted.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::error::ReadError;
use crate::member::MemberId;
use crate::peer::client::{Lane, Peers};
use crate::peer::wire::{ReadIndexAnswer, ReadIndexRefusal, decode};
use crate::replica::Position;
use crate::status::{Role, Status};
use crate::types::Raft;

const RETRY: Duration = Duration::from_millis(20);

type Answer = Result<u64, ReadError>;

/// Those who wait for the next round.
#[derive(Default)]
struct Waiting {
    in_round: bool,
    next: Vec<oneshot::Sender<Answer>>,
}

/// Linearizes reads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    raft: Raft,
    peers: Peers,
    status: watch::Receiver<Status>,
    position: watch::Receiver<Position>,
    sole_voter: watch::Receiver<bool>,
    timeout: Duration,
    waiting: Mutex<Waiting>,
}

impl Reader {
    /// With what it needs. `sole_voter` says whether this member is the only one with a vote.
    pub(crate) fn new(
        raft: Raft,
        peers: Peers,
        status: watch::Receiver<Status>,
        position: watch::Receiver<Position>,
        sole_voter: watch::Receiver<bool>,
        timeout: Duration,
    ) -> Self {
        let inner = Inner {
            raft,
            peers,
            status,
            position,
            sole_voter,
            timeout,
            waiting: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Waits until this member has applied everything that was acknowledged before the call.
    pub(crate) async fn linearize(&self) -> Result<Position, ReadError> {
        if let Some(position) = self.alone() {
            return Ok(position);
        }
        let deadline = Instant::now() + self.inner.timeout;
        let index = self.index(deadline).await?;
        self.applied(index, deadline).await
    }

    /// A member that decides alone has applied whatever it acknowledged, once it has applied an
    /// entry of its own term. Nobody else can lead without its consent, which it would know of.
    fn alone(&self) -> Option<Position> {
        let status = self.inner.status.borrow();
        let leads = status.role == Role::Leader && *self.inner.sole_voter.borrow();
        let position = *self.inner.position.borrow();
        (leads && position.raft_term == status.term).then_some(position)
    }

    /// Waits until an entry is applied here.
    pub(crate) async fn applied(&self, index: u64, until: Instant) -> Result<Position, ReadError> {
        let position = *self.inner.position.borrow();
        if position.raft_index >= index {
            return Ok(position);
        }
        let mut positions = self.inner.position.clone();
        let reached = positions.wait_for(|position| position.raft_index >= index);
        let reached = tokio::time::timeout_at(until, reached).await;
        let position = reached
            .map_err(|_| ReadError::TimedOut)?
            .map_err(|_| ReadError::Stopped)?;
        Ok(*position)
    }

    /// The index for another member, which waits for it itself. Only the leader can say.
    pub(crate) async fn index_for_others(&self) -> ReadIndexAnswer {
        if let Some(position) = self.alone() {
            return Ok(position.raft_index);
        }
        if self.inner.status.borrow().role != Role::Leader {
            return Err(ReadIndexRefusal::NotLeader);
        }
        let deadline = Instant::now() + self.inner.timeout;
        let index = self.index(deadline).await;
        index.map_err(|error| match error {
            ReadError::NoLeader => ReadIndexRefusal::NotLeader,
            ReadError::TimedOut => ReadIndexRefusal::NoQuorum,
            ReadError::Stopped => ReadIndexRefusal::Stopped,
        })
    }

    async fn index(&self, deadline: Instant) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let begin = {
            let mut waiting = self.inner.waiting.lock();
            waiting.next.push(sender);
            !std::mem::replace(&mut waiting.in_round, true)
        };
        if begin {
            tokio::spawn(self.clone().rounds());
        }
        tokio::time::timeout_at(deadline, receiver)
            .await
            .map_err(|_| self.too_late())?
            .map_err(|_| ReadError::Stopped)?
    }

    fn too_late(&self) -> ReadError {
        match self.inner.status.borrow().leader {
            Some(_) => ReadError::TimedOut,
            None => ReadError::NoLeader,
        }
    }

    /// Rounds, as long as somebody waits.
    async fn rounds(self) {
        loop {
            let served = {
                let mut waiting = self.inner.waiting.lock();
                let served = std::mem::take(&mut waiting.next);
                if served.is_empty() {
                    waiting.in_round = false;
                    return;
                }
                served
            };
            let answer = self.round().await;
            for waiting in served {
                waiting.send(answer.clone()).ok();
            }
        }
    }

    async fn round(&self) -> Answer {
        let deadline = Instant::now() + self.inner.timeout;
        loop {
            let status = self.inner.status.borrow().clone();
            let index = match (&status.role, status.leader) {
                _ if status.has_ended() => return Err(ReadError::Stopped),
                (Role::Leader, _) => self.own_index().await?,
                (_, Some(leader)) => self.ask(leader).await?,
                (_, None) => None,
            };
            if let Some(index) = index {
                return Ok(index);
            }
            if Instant::now() + RETRY > deadline {
                return Err(self.too_late());
            }
            // Whichever comes first: a change, or the time for another attempt.
            let mut changes = self.inner.status.clone();
            changes.mark_unchanged();
            tokio::time::timeout(RETRY, changes.changed()).await.ok();
        }
    }

    /// Nothing if a majority did not confirm that this member leads.
    async fn own_index(&self) -> Result<Option<u64>, ReadError> {
        match self
            .inner
            .raft
            .get_read_linearizer(ReadPolicy::ReadIndex)
            .await
        {
            Ok(linearizer) => Ok(Some(linearizer.read_log_id().index())),
            Err(RaftError::APIError(
                LinearizableReadError::ForwardToLeader(_)
                | LinearizableReadError::QuorumNotEnough(_),
            )) => Ok(None),
            Err(RaftError::Fatal(_)) => Err(ReadError::Stopped),
        }
    }

    async fn ask(&self, leader: MemberId) -> Result<Option<u64>, ReadError> {
        let (peers, timeout) = (&self.inner.peers, self.inner.timeout);
        let answer = peers
            .call(leader, Lane::Control, "/read-index", Bytes::new(), timeout)
            .await;
        let answer = answer
            .ok()
            .and_then(|bytes| decode::<ReadIndexAnswer>(&bytes).ok());
        match answer {
            Some(Ok(index)) => Ok(Some(index)),
            Some(Err(_)) | None => Ok(None),
        }
    }
}
