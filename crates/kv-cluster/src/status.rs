//! How a member stands: its role, and whom it follows.
//!
//! Only what changes seldom; how far the log is applied is asked of the replica.
use std::time::SystemTime;

use crate::member::MemberId;

/// How a member stands. A new one is published when something of it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The leader, if one is known.
    pub leader: Option<MemberId>,
    /// The term of the last vote.
    pub term: u64,
    /// What this member is.
    pub role: Role,
    /// Since when this role, term and leader are as they are, by this member's clock.
    pub since: SystemTime,
}

impl Status {
    /// Whether this member takes part no more, whatever the reason.
    pub fn has_ended(&self) -> bool {
        matches!(self.role, Role::Removed | Role::Failed(_) | Role::Stopped)
    }
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Decides the order of commands.
    Leader,
    /// Follows a leader, and votes.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Follows without a vote until it has caught up.
    Learner,
    /// Was removed from the cluster. It must exit and not start again with this data folder.
    Removed,
    /// Its storage failed. Nothing works any more but reads of what was applied; it must exit.
    Failed(String),
    /// Was told to stop.
    Stopped,
}
