//! `HashKV` and `Hash`: one number for all keys, to see whether members agree.
//!
//! It is kvd's own, not etcd's: the CRC-32C of all keys in order with their numbers and values, as they
//! are at a revision. So it is the same on all members that are right, whatever of the past each of them
//! still has. Directories and users, which v3 does not see, are not in it.
use etcd_v3::Status;
use etcd_v3::header::{revision, signed};
use etcd_v3::proto::etcdserverpb::{HashKvRequest, HashKvResponse, HashRequest, HashResponse};
use kv_model::command::{Direction, KeyRange, Order, OrderBy, RangeQuery};
use kv_model::query::listing::Cursor;
use kv_model::{Content, Node, Revision, query};

use super::call::{Call, Door, unexpected, unreadable};
use super::reading::Reading;
use super::reply;
use crate::http::answer::Answer;

/// So many bytes are read at once.
const PAGE_BYTES: usize = 256 << 10;

/// `HashKV`. Only root may have it: all keys are read for it.
pub(super) async fn hash_kv(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<HashKvRequest>().await?;
    door.check_root(&caller)?;
    let asked = revision(request.revision);
    let (hash, now) = hash(door, asked).await?;
    let at = if asked == Revision(0) { now } else { asked };
    let compacted = query::compacted(&*door.state.backend.view()).map_err(unreadable)?;
    Ok(reply::single(&HashKvResponse {
        header: door.place().header(now),
        hash,
        compact_revision: signed(compacted.0),
        hash_revision: signed(at.0),
    }))
}

/// `Hash`: the same of the present.
pub(super) async fn hash_now(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<HashRequest>().await?;
    door.check_root(&caller)?;
    let (hash, now) = hash(door, Revision(0)).await?;
    let header = door.place().header(now);
    Ok(reply::single(&HashResponse { header, hash }))
}

/// The hash of all keys at a revision, and the present revision.
async fn hash(door: Door<'_>, at: Revision) -> Result<(u32, Revision), Status> {
    let reading = Reading::open(door.state, all(at)).await?;
    let now = reading.revision;
    let hash = tokio::task::spawn_blocking(move || hash_of(&reading));
    Ok((hash.await.map_err(|_| unexpected())??, now))
}

fn all(at: Revision) -> RangeQuery {
    let none = (Revision(0), Revision(0));
    RangeQuery {
        keys: KeyRange::From(bytes::Bytes::new()),
        limit: 0,
        revision: Some(at),
        order: Order {
            by: OrderBy::Key,
            direction: Direction::Ascending,
        },
        keys_only: false,
        count_only: false,
        modified: none,
        created: none,
    }
}

fn hash_of(reading: &Reading) -> Result<u32, Status> {
    let listing = reading.listing(|_| 0)?;
    let mut cursor = Cursor::default();
    let mut hash = 0;
    loop {
        let page = reading.page(&listing, &mut cursor, PAGE_BYTES);
        let page = page.map_err(unreadable)?;
        if page.is_empty() {
            return Ok(hash);
        }
        hash = page.iter().fold(hash, add);
    }
}

/// Lengths come first, so that no two lists of keys are the same bytes.
fn add(hash: u32, node: &Node) -> u32 {
    let value = match &node.content {
        Content::Value(value) => &value[..],
        _ => &[],
    };
    let numbers = [
        node.key.len() as u64,
        value.len() as u64,
        node.created_index.0,
        node.create_revision.0,
        node.modified.0,
        node.version,
        u64::from(node.expires.is_some()),
        node.expires.map_or(0, |at| at.0.cast_unsigned()),
        node.lease.map_or(0, |lease| lease.0.cast_unsigned()),
    ];
    let numbers = numbers.map(u64::to_le_bytes).concat();
    let parts = [&numbers, &node.key[..], value];
    let append = |hash, part: &&[u8]| crc32c::crc32c_append(hash, part);
    parts.iter().fold(hash, append)
}
