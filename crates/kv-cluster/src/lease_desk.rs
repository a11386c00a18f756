//! Brings what only the leader knows of leases to whoever asks, from any member.
//!
//! What is asked can be asked again, so it is, until there is an answer or no time.
use std::sync::Arc;
use std::time::Duration;

use kv_model::LeaseId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::ReadError;
use crate::peer::client::{Lane, Peers};
use crate::peer::wire::{decode, encode};
use crate::read_index::Reader;
use crate::state_machine::StateMachine;
use crate::status::{Role, Status};

const RETRY: Duration = Duration::from_millis(50);

/// What is asked of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LeaseQuestion {
    /// Give it its whole time again, and say how much.
    KeepAlive(LeaseId),
    /// How many whole seconds has it left?
    Remaining(LeaseId),
}

/// Seconds, or nothing if there is no such lease; an error from who does not lead.
pub(crate) type LeaseAnswer = Result<Option<i64>, NotLeader>;

/// Who was asked does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotLeader;

/// Finds the leader. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LeaseDesk {
    inner: Arc<Inner>,
}

struct Inner {
    machine: StateMachine,
    reader: Reader,
    peers: Peers,
    status: watch::Receiver<Status>,
    timeout: Duration,
}

impl LeaseDesk {
    /// With what it needs.
    pub(crate) fn new(
        machine: StateMachine,
        reader: Reader,
        peers: Peers,
        status: watch::Receiver<Status>,
        timeout: Duration,
    ) -> Self {
        let inner = Inner {
            machine,
            reader,
            peers,
            status,
            timeout,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Asks the leader, wherever it is.
    pub(crate) async fn ask(&self, question: LeaseQuestion) -> Result<Option<i64>, ReadError> {
        let deadline = Instant::now() + self.inner.timeout;
        loop {
            let status = self.inner.status.borrow().clone();
            let answer = match (&status.role, status.leader) {
                _ if status.has_ended() => return Err(ReadError::Stopped),
                (Role::Leader, _) => self.answer(question).await,
                (_, Some(leader)) => {
                    let called = async {
                        let body = encode(&question).ok()?;
                        let left = deadline.saturating_duration_since(Instant::now());
                        let peers = &self.inner.peers;
                        let called = peers.call(leader, Lane::Control, "/lease", body, left);
                        decode::<LeaseAnswer>(&called.await.ok()?).ok()
                    };
                    called.await.unwrap_or(Err(NotLeader))
                }
                (_, None) => Err(NotLeader),
            };
            match answer {
                Ok(seconds) => return Ok(seconds),
                Err(NotLeader) if Instant::now() + RETRY < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(NotLeader) if status.leader.is_none() => return Err(ReadError::NoLeader),
                Err(NotLeader) => return Err(ReadError::TimedOut),
            }
        }
    }

    /// Answers, if this member leads. A majority must confirm it: a leader that was replaced without
    /// knowing would promise a life that its successor does not know of.
    pub(crate) async fn answer(&self, question: LeaseQuestion) -> LeaseAnswer {
        let confirmed = self.inner.reader.index_for_others().await;
        confirmed.map_err(|_| NotLeader)?;
        let leases = self.inner.machine.leases();
        if !leases.is_kept() {
            return Err(NotLeader);
        }
        let now = Instant::now();
        Ok(match question {
            LeaseQuestion::KeepAlive(id) => leases.keep_alive(id, now),
            LeaseQuestion::Remaining(id) => leases.remaining(id, now).map(whole_seconds),
        })
    }
}

fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
