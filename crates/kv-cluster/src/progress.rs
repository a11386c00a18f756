//! What the store keeps beside its tables for replication: how far the log is applied, who the
//! members were then, and who was removed.
//!
//! It is written with every batch, so the part that seldom changes is encoded once.
use std::collections::BTreeSet;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::codec::{decode_log_id, encode_log_id};
use crate::member::MemberId;
use crate::types::{LogId, Membership, StoredMembership};

const LOG_ID_BYTES: usize = 24;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Roll {
    membership: StoredMembership,
    removed: BTreeSet<MemberId>,
}

/// How far the log is applied, and what of it concerns members.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    applied: Option<LogId>,
    roll: Roll,
    encoded_roll: Bytes,
}

impl Progress {
    /// Nothing is applied.
    pub(crate) fn nothing() -> io::Result<Self> {
        let roll = Roll::default();
        Ok(Self {
            applied: None,
            encoded_roll: encode_roll(&roll)?,
            roll,
        })
    }

    /// What [`Progress::encode`] wrote.
    pub(crate) fn decode(bytes: &Bytes) -> io::Result<Self> {
        let applied = match bytes.first() {
            Some(0) => None,
            Some(1) => Some(decode_log_id(&bytes[1..])?),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let encoded_roll = bytes.slice(bytes.len().min(1 + LOG_ID_BYTES)..);
        let roll = postcard::from_bytes(&encoded_roll).map_err(io::Error::other)?;
        Ok(Self {
            applied,
            roll,
            encoded_roll,
        })
    }

    /// For the store.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(1 + LOG_ID_BYTES + self.encoded_roll.len());
        bytes.put_u8(u8::from(self.applied.is_some()));
        match &self.applied {
            Some(applied) => bytes.extend_from_slice(&encode_log_id(applied)),
            None => bytes.extend_from_slice(&[0; LOG_ID_BYTES]),
        }
        bytes.extend_from_slice(&self.encoded_roll);
        bytes.freeze()
    }

    /// The last applied entry.
    pub(crate) fn applied(&self) -> Option<LogId> {
        self.applied
    }

    /// Who the members are, as applied.
    pub(crate) fn membership(&self) -> &StoredMembership {
        &self.roll.membership
    }

    /// Members that were removed.
    pub(crate) fn removed(&self) -> &BTreeSet<MemberId> {
        &self.roll.removed
    }

    /// An entry was applied.
    pub(crate) fn advance(&mut self, to: LogId) {
        self.applied = Some(to);
    }

    /// An entry changed the members. Who is in it no more was removed, for good.
    pub(crate) fn change_members(&mut self, at: LogId, membership: Membership) -> io::Result<()> {
        self.advance(at);
        let before: Vec<MemberId> = (self.roll.membership.nodes().map(|(id, _)| *id)).collect();
        for id in before {
            if membership.get_node(&id).is_none() {
                self.roll.removed.insert(id);
            }
        }
        self.roll.membership = StoredMembership::new(Some(at), membership);
        self.encoded_roll = encode_roll(&self.roll)?;
        Ok(())
    }
}

fn encode_roll(roll: &Roll) -> io::Result<Bytes> {
    let bytes = postcard::to_stdvec(roll).map_err(io::Error::other)?;
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderId;

    fn log_id(index: u64) -> LogId {
        LogId {
            leader_id: LeaderId {
                term: 2,
                node_id: MemberId(1),
            },
            index,
        }
    }

    fn of(ids: &[u64]) -> Membership {
        let voters: BTreeSet<MemberId> = ids.iter().copied().map(MemberId).collect();
        Membership::new_with_defaults(vec![voters.clone()], voters)
    }

    #[test]
    fn who_is_left_out_is_remembered_as_removed() -> io::Result<()> {
        let mut progress = Progress::nothing()?;
        assert_eq!(Progress::decode(&progress.encode())?.applied(), None);
        progress.change_members(log_id(1), of(&[1, 2, 3]))?;
        progress.advance(log_id(2));
        progress.change_members(log_id(3), of(&[1, 3, 4]))?;
        let back = Progress::decode(&progress.encode())?;
        assert_eq!(back.applied(), Some(log_id(3)));
        assert_eq!(back.membership(), progress.membership());
        assert_eq!(back.removed(), &BTreeSet::from([MemberId(2)]));
        assert!(Progress::decode(&progress.encode().slice(..20)).is_err());
        Ok(())
    }
}
