//! What came of a command.
//!
//! Only values; rendering them for a protocol is elsewhere.
use serde::{Deserialize, Serialize};

use crate::command::RangeQuery;
use crate::error_code::ErrorCode;
use crate::event::{Event, Node};
use crate::units::{LeaseEpoch, LeaseId, Revision};

/// What applying one command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// For whoever asked.
    pub outcome: Outcome,
    /// For watchers and history, in order; empty if nothing changed.
    pub events: Vec<Event>,
}

/// For whoever asked: an answer, or why not.
pub type Outcome = Result<Reply, Refusal>;

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// Nearly every reply is the large one; a box would be one more allocation for each write.
#[allow(clippy::large_enum_variant)]
pub enum Reply {
    /// A v2 write.
    Written(Event),
    /// A v3 transaction.
    Transaction(TransactionReply),
    /// A lease was granted.
    LeaseGranted(LeaseId, LeaseEpoch),
    /// A lease was revoked; the revision is that of its keys' removal, or of the change before it if
    /// there was none.
    LeaseRevoked(Revision),
    /// So many nodes of v2 and leases expired.
    Expired(u64),
    /// Users or roles changed.
    AuthChanged,
    /// The history was forgotten.
    Compacted(Revision),
}

/// The answer to a v3 transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionReply {
    /// The revision after it.
    pub revision: Revision,
    /// Whether all compares held.
    pub succeeded: bool,
    /// One for each operation of the list that was done.
    pub replies: Vec<OperationReply>,
}

/// The answer to one operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationReply {
    /// What was read.
    Range(RangeReply),
    /// What shall be read of an earlier revision, which the tables do not hold: whoever asked reads
    /// it from the history. That it may be read was checked.
    Past(RangeQuery),
    /// What was there before, if asked for.
    Put(Option<Node>),
    /// How many were removed, and what was there before, if asked for.
    DeleteRange(u64, Vec<Node>),
    /// A transaction inside.
    Nested(TransactionReply),
}

impl TransactionReply {
    /// Puts what was read of earlier revisions into its place, on all levels.
    pub fn fill<E>(
        &mut self,
        read: &mut impl FnMut(&RangeQuery) -> Result<RangeReply, E>,
    ) -> Result<(), E> {
        for reply in &mut self.replies {
            match reply {
                OperationReply::Past(query) => *reply = OperationReply::Range(read(query)?),
                OperationReply::Nested(inside) => inside.fill(read)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What is still to be read of earlier revisions.
    pub fn past(&self) -> Vec<&RangeQuery> {
        let queries = self.replies.iter().map(|reply| match reply {
            OperationReply::Past(query) => vec![query],
            OperationReply::Nested(inside) => inside.past(),
            _ => Vec::new(),
        });
        queries.flatten().collect()
    }
}

/// The answer to a v3 range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeReply {
    /// The keys.
    pub nodes: Vec<Node>,
    /// Whether there are more than the limit allowed.
    pub more: bool,
    /// How many there are in all.
    pub count: u64,
}

/// Why a command was not carried out. The state is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {cause}")]
pub struct Refusal {
    /// What kind of reason.
    pub code: ErrorCode,
    /// The path or figures it is about, in etcd's words.
    pub cause: String,
    /// The revision at which it was refused.
    pub index: Revision,
}
