//! How an engine is doing, for metrics and for people.
//!
//! Nothing is decided by it.

use std::time::Duration;

use fleet_model::MachineId;
use systemd_unit::UnitName;
use tokio::time::Instant;

/// What an engine does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Role {
    /// Nothing yet, or it cannot reach the store.
    #[default]
    Starting,
    /// Another one leads.
    Following {
        /// Its machine; nothing if that cannot be read.
        leader: Option<MachineId>,
    },
    /// It leads.
    Leading {
        /// Since when.
        since: Instant,
    },
}

/// How it is doing. Counts are of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub role: Role,
    /// How often it decided.
    pub rounds: u64,
    /// How long the last decision took, without writing it.
    pub last_round: Duration,
    /// Decisions made.
    pub decisions: u64,
    /// Transactions that were carried out.
    pub committed: u64,
    /// Transactions that came too late, because something had changed.
    pub overtaken: u64,
    /// Transactions that failed otherwise.
    pub failed: u64,
    /// Units that are wanted and that no machine can take.
    pub unplaced: Vec<UnitName>,
    /// Units that wait until they are surely gone from a machine.
    pub waiting: Vec<UnitName>,
    /// What in the store cannot be read, and why.
    pub unreadable: Vec<String>,
}
