//! What members say to each other, and how it is framed.
//!
//! No sockets here.
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::MembershipError;
use crate::member::{ClusterId, Member, MemberId};
use crate::replica::Committed;
use crate::types::{LogId, StoredMembership, Vote};

/// The header that names the cluster.
pub(crate) const CLUSTER_HEADER: &str = "kv-cluster";
/// The header that names the sender.
pub(crate) const FROM_HEADER: &str = "kv-from";
/// The header that names whom it is for.
pub(crate) const TO_HEADER: &str = "kv-to";

/// No body and no frame is larger: an append carries about a mebibyte, or one entry.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;

/// What cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// Not postcard of what was expected.
    #[error("a message between members cannot be understood")]
    Encoding(#[from] postcard::Error),
    /// Larger than any message.
    #[error("a message of {0} bytes, more than any may have")]
    TooLarge(usize),
}

/// A message's bytes.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Bytes, WireError> {
    Ok(Bytes::from(postcard::to_stdvec(message)?))
}

/// The message of these bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    Ok(postcard::from_bytes(bytes)?)
}

/// A message with its length before it.
pub(crate) fn frame<T: Serialize>(message: &T) -> Result<Bytes, WireError> {
    let mut bytes = postcard::to_extend(message, vec![0; 4])?;
    let length = bytes.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(WireError::TooLarge(length));
    }
    let length = u32::try_from(length).map_err(|_| WireError::TooLarge(length))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(Bytes::from(bytes))
}

/// Puts frames together again from pieces of a body.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    held: BytesMut,
}

impl Frames {
    /// Takes a piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.held.put_slice(piece);
    }

    /// The next frame, if all of it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(head) = self.held.get(..4) else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(WireError::TooLarge(length));
        }
        if self.held.len() < 4 + length {
            return Ok(None);
        }
        self.held.advance(4);
        Ok(Some(self.held.split_to(length).freeze()))
    }

    /// What came after the last frame that was taken.
    pub(crate) fn rest(self) -> Bytes {
        self.held.freeze()
    }
}

/// A member of a new cluster that starts with an empty folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Its name.
    pub(crate) name: String,
    /// The id it gave itself, already on its disk.
    pub(crate) id: MemberId,
    /// The cluster that it would form.
    pub(crate) cluster_id: ClusterId,
}

/// The answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HelloAnswer {
    /// Forms the cluster too.
    Forming(Hello),
    /// Already in a cluster.
    Running(Acquaintance),
    /// Has met another under that name.
    NameTaken,
    /// Is not ready to say.
    NotYet,
}

/// What a member of a running cluster tells one that has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acquaintance {
    /// Who answers.
    pub(crate) me: Hello,
    /// The members; none if it does not know them yet.
    pub(crate) members: Vec<Member>,
    /// Members that were removed.
    pub(crate) removed: Vec<MemberId>,
}

/// A member that joins with an empty folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Join {
    /// Its name.
    pub(crate) name: String,
    /// Where it is reached: how the cluster knows it.
    pub(crate) peer_urls: Vec<String>,
    /// Random, already on its disk.
    pub(crate) incarnation: u64,
}

/// The answer to [`Join`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JoinAnswer {
    /// It is this member.
    Joined(MemberId, ClusterId),
    /// Nobody was announced with these URLs.
    NotAdded,
    /// The member with these URLs has run before.
    LostData(MemberId),
    /// Another member has this name.
    NameInUse(MemberId),
    /// Ask again.
    Later(MembershipError),
}

/// A change of the membership, for the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MembershipChange {
    /// Announce a member.
    Add {
        /// Its name, or nothing.
        name: String,
        /// Where it will be reached.
        peer_urls: Vec<String>,
    },
    /// Take a member out.
    Remove(MemberId),
    /// Change where a member is reached.
    Update {
        /// Which.
        id: MemberId,
        /// Where it is reached now.
        peer_urls: Vec<String>,
    },
    /// Take a member out and announce another in its place.
    Replace {
        /// Which.
        id: MemberId,
        /// Where the new one will be reached; nothing for the same.
        peer_urls: Vec<String>,
    },
    /// What a member says of itself.
    Publish {
        /// Which.
        id: MemberId,
        /// Its name.
        name: String,
        /// Where clients reach it.
        client_urls: Vec<String>,
    },
    /// A member with an empty folder takes its place.
    Join(Join),
    /// Announce a member that stays a learner until it is promoted.
    AddLearner {
        /// Where it will be reached.
        peer_urls: Vec<String>,
    },
    /// Give a learner its vote.
    Promote(MemberId),
}

/// What came of a change; a member for those that make one.
pub(crate) type MembershipAnswer = Result<Option<Member>, MembershipError>;

/// The answer to forwarded commands.
pub(crate) type ForwardAnswer = Result<Vec<Committed>, ForwardRefusal>;

/// Why forwarded commands have no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ForwardRefusal {
    /// Not the leader; nothing was done.
    NotLeader,
    /// Too much is waiting; nothing was done.
    TooManyRequests,
    /// No room on the disk; nothing was done.
    NoSpace,
    /// Not to be understood; nothing was done.
    Invalid,
    /// It may have been done.
    Unknown,
}

/// The answer to a request for the read index.
pub(crate) type ReadIndexAnswer = Result<u64, ReadIndexRefusal>;

/// Why there is no read index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReadIndexRefusal {
    /// Not the leader.
    NotLeader,
    /// A majority did not answer.
    NoQuorum,
    /// Stopped.
    Stopped,
}

/// One answer in the stream of appends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendAnswer {
    /// Holds everything up to here.
    Matched(Option<LogId>),
    /// Does not have the entry before.
    Conflict(LogId),
    /// Knows a higher vote.
    HigherVote(Vote),
    /// Has no room for it now.
    NoSpace,
    /// Is stopping.
    Stopped,
}

/// What goes before a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    /// The leader's vote.
    pub(crate) vote: Vote,
    /// The last entry that is in it.
    pub(crate) last_log_id: Option<LogId>,
    /// The membership as of then.
    pub(crate) membership: StoredMembership,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_together_from_any_pieces() -> Result<(), WireError> {
        let mut bytes = frame(&"first".to_owned())?.to_vec();
        bytes.extend_from_slice(&frame(&"second".to_owned())?);
        bytes.extend_from_slice(b"rest");
        for size in [1, 3, bytes.len()] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while found.len() < 2
                    && let Some(frame) = frames.next()?
                {
                    found.push(decode::<String>(&frame)?);
                }
            }
            assert_eq!(found, ["first", "second"]);
            assert_eq!(frames.rest().as_ref(), b"rest");
        }
        Ok(())
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_before_it_is_read() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_le_bytes());
        assert!(matches!(frames.next(), Err(WireError::TooLarge(_))));
    }
}
