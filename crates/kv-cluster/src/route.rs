//! Brings changes of members to the leader, from any member.
//!
//! A change is sent again only if it certainly was not begun.
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::MembershipError;
use crate::membership::Changer;
use crate::peer::client::{Lane, Peers};
use crate::peer::connect::CallError;
use crate::peer::wire::{MembershipAnswer, MembershipChange, decode, encode};
use crate::status::{Role, Status};

const RETRY: Duration = Duration::from_millis(100);

/// Finds the leader. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Router {
    changer: Changer,
    peers: Peers,
    status: watch::Receiver<Status>,
    timeout: Duration,
}

impl Router {
    /// With what it needs.
    pub(crate) fn new(
        changer: Changer,
        peers: Peers,
        status: watch::Receiver<Status>,
        timeout: Duration,
    ) -> Self {
        Self {
            changer,
            peers,
            status,
            timeout,
        }
    }

    /// Makes a change, wherever the leader is.
    pub(crate) async fn change(&self, change: MembershipChange) -> MembershipAnswer {
        let deadline = Instant::now() + self.timeout;
        loop {
            let answer = self.attempt(&change, deadline).await;
            let again = Instant::now() + RETRY;
            match answer {
                Err(MembershipError::NoLeader | MembershipError::InProgress)
                    if again < deadline =>
                {
                    tokio::time::sleep_until(again).await;
                }
                answer => return answer,
            }
        }
    }

    async fn attempt(&self, change: &MembershipChange, deadline: Instant) -> MembershipAnswer {
        let status = self.status.borrow().clone();
        if status.has_ended() {
            return Err(MembershipError::Stopped);
        }
        if status.role == Role::Leader {
            let changing = self.changer.change(change.clone());
            return tokio::time::timeout_at(deadline, changing)
                .await
                .unwrap_or(Err(MembershipError::TimedOut));
        }
        let Some(leader) = status.leader else {
            return Err(MembershipError::NoLeader);
        };
        let body = encode(change).map_err(|_| MembershipError::NoLeader)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let called = (self.peers).call(leader, Lane::Forward, "/membership", body, left);
        match called.await {
            Ok(bytes) => decode(&bytes).unwrap_or(Err(MembershipError::TimedOut)),
            Err(
                CallError::NotConnected { .. } | CallError::NoAddress | CallError::Refused { .. },
            ) => Err(MembershipError::NoLeader),
            Err(CallError::Broken(_) | CallError::TimedOut) => Err(MembershipError::TimedOut),
        }
    }
}
