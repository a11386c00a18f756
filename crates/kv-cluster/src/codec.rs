//! How entries, log ids and votes lie in the log.
//!
//! An entry is a head of fixed size and the commands as they came, so that neither writing nor
//! reading copies them more than once. Frames and check sums are the log's affair.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind: 0 blank, 1 commands, 2 membership |
//! | 8 | term, little endian |
//! | 8 | the leader of that term, little endian |
//! | rest | nothing; postcard of the commands; postcard of the membership |
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::EntryPayload;

use crate::member::MemberId;
use crate::types::{Batch, Entry, LeaderId, LogId, Vote};

const HEAD_BYTES: usize = 17;
const BLANK: u8 = 0;
const COMMANDS: u8 = 1;
const MEMBERSHIP: u8 = 2;

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn head(kind: u8, leader: LeaderId, room: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + room);
    bytes.put_u8(kind);
    bytes.put_u64_le(leader.term);
    bytes.put_u64_le(leader.node_id.0);
    bytes
}

/// An entry as the log's payload.
pub(crate) fn encode_entry(entry: &Entry) -> io::Result<Bytes> {
    let leader = entry.log_id.leader_id;
    Ok(match &entry.payload {
        EntryPayload::Blank => head(BLANK, leader, 0).freeze(),
        EntryPayload::Normal(batch) => {
            let mut bytes = head(COMMANDS, leader, batch.0.len());
            bytes.extend_from_slice(&batch.0);
            bytes.freeze()
        }
        EntryPayload::Membership(membership) => {
            let body = postcard::to_stdvec(membership).map_err(io::Error::other)?;
            let mut bytes = head(MEMBERSHIP, leader, body.len());
            bytes.extend_from_slice(&body);
            bytes.freeze()
        }
    })
}

/// The place of an entry, from its payload.
pub(crate) fn decode_entry_id(index: u64, payload: &[u8]) -> io::Result<LogId> {
    let head = payload
        .get(1..HEAD_BYTES)
        .ok_or_else(|| damaged("log entry is shorter than its head"))?;
    Ok(LogId {
        leader_id: decode_leader(head)?,
        index,
    })
}

/// An entry from the log's payload. Commands are not copied.
pub(crate) fn decode_entry(index: u64, payload: &Bytes) -> io::Result<Entry> {
    let log_id = decode_entry_id(index, payload)?;
    let body = payload.slice(HEAD_BYTES..);
    let payload = match payload[0] {
        BLANK => EntryPayload::Blank,
        COMMANDS => EntryPayload::Normal(Batch(body)),
        MEMBERSHIP => {
            EntryPayload::Membership(postcard::from_bytes(&body).map_err(io::Error::other)?)
        }
        _ => return Err(damaged("log entry of an unknown kind")),
    };
    Ok(Entry { log_id, payload })
}

fn decode_leader(bytes: &[u8]) -> io::Result<LeaderId> {
    let number = |from: usize| -> io::Result<u64> {
        let eight = bytes
            .get(from..from + 8)
            .ok_or_else(|| damaged("leader id is too short"))?;
        Ok(u64::from_le_bytes(
            eight.try_into().map_err(io::Error::other)?,
        ))
    };
    Ok(LeaderId {
        term: number(0)?,
        node_id: MemberId(number(8)?),
    })
}

/// A log id: term, leader, index, 8 bytes each.
pub(crate) fn encode_log_id(log_id: &LogId) -> Bytes {
    let mut bytes = BytesMut::with_capacity(24);
    bytes.put_u64_le(log_id.leader_id.term);
    bytes.put_u64_le(log_id.leader_id.node_id.0);
    bytes.put_u64_le(log_id.index);
    bytes.freeze()
}

/// What [`encode_log_id`] wrote.
pub(crate) fn decode_log_id(bytes: &[u8]) -> io::Result<LogId> {
    let index = bytes
        .get(16..24)
        .ok_or_else(|| damaged("log id is too short"))?;
    Ok(LogId {
        leader_id: decode_leader(bytes)?,
        index: u64::from_le_bytes(index.try_into().map_err(io::Error::other)?),
    })
}

/// A vote.
pub(crate) fn encode_vote(vote: &Vote) -> io::Result<Bytes> {
    let bytes = postcard::to_stdvec(vote).map_err(io::Error::other)?;
    Ok(Bytes::from(bytes))
}

/// What [`encode_vote`] wrote.
pub(crate) fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    postcard::from_bytes(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::types::Membership;

    fn log_id(term: u64, index: u64) -> LogId {
        LogId {
            leader_id: LeaderId {
                term,
                node_id: MemberId(0xabc),
            },
            index,
        }
    }

    #[test]
    fn entries_come_back_as_they_were() -> io::Result<()> {
        let voters = BTreeSet::from([MemberId(7)]);
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Batch(Bytes::from_static(b"commands"))),
            EntryPayload::Membership(Membership::new_with_defaults(vec![voters.clone()], voters)),
        ];
        for payload in payloads {
            let entry = Entry {
                log_id: log_id(3, 9),
                payload,
            };
            let bytes = encode_entry(&entry)?;
            assert_eq!(decode_entry(9, &bytes)?, entry);
            assert_eq!(decode_entry_id(9, &bytes)?, entry.log_id);
        }
        Ok(())
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_an_error() -> io::Result<()> {
        let entry = Entry {
            log_id: log_id(3, 9),
            payload: EntryPayload::Blank,
        };
        let bytes = encode_entry(&entry)?;
        assert!(decode_entry(9, &bytes.slice(..16)).is_err());
        let mut unknown = bytes.to_vec();
        unknown[0] = 9;
        assert!(decode_entry(9, &Bytes::from(unknown)).is_err());
        let id = encode_log_id(&log_id(4, 5));
        assert_eq!(decode_log_id(&id)?, log_id(4, 5));
        assert!(decode_log_id(&id[..23]).is_err());
        Ok(())
    }
}
