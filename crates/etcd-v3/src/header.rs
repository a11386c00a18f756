//! What stands at the head of every answer.
use kv_model::Revision;

use crate::proto::etcdserverpb::ResponseHeader;

/// Who answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The cluster's id.
    pub cluster_id: u64,
    /// The member's id.
    pub member_id: u64,
    /// The term it knows.
    pub raft_term: u64,
}

impl Place {
    /// The head of an answer as of a revision.
    pub fn header(&self, revision: Revision) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision: signed(revision.0),
            raft_term: self.raft_term,
        })
    }
}

/// The head of an answer inside another: only the revision.
pub(crate) fn inner(revision: Revision) -> ResponseHeader {
    ResponseHeader {
        revision: signed(revision.0),
        ..ResponseHeader::default()
    }
}

/// etcd's numbers have a sign. The store's never get so large that it matters.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A revision that somebody names. Less than 1 means "now" or "no bound", wherever etcd takes one.
pub fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}
