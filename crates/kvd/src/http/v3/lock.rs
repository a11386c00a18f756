//! The service `Lock`: the place in a queue whose turn it is.
//!
//! As with etcd, a lock is a promise among those who ask for it: whoever changes something under it
//! names its key's creation in a transaction, lest the lease has ended meanwhile.
use bytes::Bytes;
use etcd_v3::proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use etcd_v3::{Status, write};
use kv_model::command::{KeyRange, Operation};

use super::call::Call;
use super::queue::{Queue, session};
use super::{kv, reply};
use crate::http::answer::Answer;

/// The place is gone before its turn came.
const EXPIRED: &str = "mutex: session is expired";

/// `Lock`: waits for the turn.
pub(super) async fn lock(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<LockRequest>().await?;
    let lease = session(door, request.lease).await?;
    let queue = Queue::new(&request.name);
    let mut place = queue.enter(door, &caller, lease, Bytes::new()).await?;
    let revision = queue.wait(door, &caller, &mut place, EXPIRED).await?;
    let key = place.key.clone();
    place.keep();
    let header = door.place().header(revision);
    Ok(reply::single(&LockResponse { header, key }))
}

/// `Unlock`.
pub(super) async fn unlock(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<UnlockRequest>().await?;
    if request.key.is_empty() {
        return Err(Status::EMPTY_KEY);
    }
    let remove = Operation::DeleteRange {
        keys: KeyRange::Single(request.key),
        want_previous: false,
    };
    let done = kv::carry_out(door, &caller, write::alone(remove)).await?;
    let header = door.place().header(done.revision);
    Ok(reply::single(&UnlockResponse { header }))
}
