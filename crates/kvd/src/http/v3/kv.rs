//! The service `KV`: reads, writes, transactions, and forgetting the history.
//!
//! What they do is the store's affair.
use etcd_v3::proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest,
};
use etcd_v3::transaction::OPERATIONS_MAX;
use etcd_v3::{Status, permission, range as ranges, transaction as transactions, write};
use kv_model::auth::{Access, Subject};
use kv_model::command::{KeyRange, Transaction};
use kv_model::outcome::{OperationReply, TransactionReply};
use kv_model::{Command, Reply, Revision};

use super::call::{Call, Door, unexpected};
use super::caller::Caller;
use super::reading::Reading;
use super::{lease, long_range, past, reply};
use crate::http::answer::Answer;

/// `Range`.
pub(super) async fn range(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<RangeRequest>().await?;
    let is_serializable = request.serializable;
    let wanted = ranges::query(request)?;
    if !is_serializable {
        door.linearize().await?;
    }
    if !matches!(caller, Caller::Anybody) {
        door.check(
            &caller,
            [(Access::Read, Subject::Keys(wanted.keys.clone()))],
        )?;
    }
    let is_single = matches!(wanted.keys, KeyRange::Single(_));
    let reading = Reading::open(door.state, wanted).await?;
    let header = door.place().header(reading.revision);
    if is_single {
        return Ok(reply::single(&ranges::response(reading.whole()?, header)));
    }
    // It may be long, and must not keep this worker from everything else.
    let long = tokio::task::spawn_blocking(move || long_range::answer(reading, header));
    long.await.map_err(|_| unexpected())?
}

/// `Put`.
pub(super) async fn put(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<PutRequest>().await?;
    let transaction = write::alone(write::put(request)?);
    let done = carry_out(door, &caller, transaction).await?;
    let header = door.place().header(done.revision);
    match write::only_reply(done) {
        Some(OperationReply::Put(previous)) => {
            Ok(reply::single(&write::put_response(previous, header)))
        }
        _ => Err(unexpected()),
    }
}

/// `DeleteRange`.
pub(super) async fn delete_range(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<DeleteRangeRequest>().await?;
    let transaction = write::alone(write::delete(request)?);
    let done = carry_out(door, &caller, transaction).await?;
    let header = door.place().header(done.revision);
    match write::only_reply(done) {
        Some(OperationReply::DeleteRange(count, previous)) => Ok(reply::single(
            &write::delete_response(count, previous, header),
        )),
        _ => Err(unexpected()),
    }
}

/// `Txn`. One that only reads is no entry of the log.
pub(super) async fn transaction(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<TxnRequest>().await?;
    let is_serializable = transactions::is_serializable(&request);
    let transaction = transactions::transaction(request, OPERATIONS_MAX)?;
    let done = if transaction.is_read_only() {
        if !is_serializable {
            door.linearize().await?;
        }
        door.check(&caller, permission::needed(&transaction))?;
        past::read_only(door.state, transaction).await?
    } else {
        // What it reads of the past does not change, and must be there before it does anything.
        let mut known = past::known(door.state, &transaction).await?;
        let mut done = carry_out(door, &caller, transaction).await?;
        past::complete(door.state, &mut done, &mut known).await?;
        done
    };
    let header = door.place().header(done.revision);
    Ok(reply::single(&transactions::response(done, header)))
}

pub(super) async fn carry_out(
    door: Door<'_>,
    caller: &Caller,
    transaction: Transaction,
) -> Result<TransactionReply, Status> {
    let (keys, leases) = match caller {
        Caller::Anybody => Default::default(),
        _ => (
            permission::needed(&transaction),
            permission::leases(&transaction),
        ),
    };
    // Who hangs a key on a lease may revoke it, and so remove what hangs on it already.
    let needed = || {
        let mut needed = keys.clone();
        for id in &leases {
            needed.extend(lease::needed(door, *id, Access::Write)?);
        }
        Ok(needed)
    };
    let command = Command::Transaction(transaction);
    let committed = door.propose_as(caller, needed, command).await?;
    match committed.outcome? {
        Reply::Transaction(done) => Ok(done),
        _ => Err(unexpected()),
    }
}

/// `Compact`. Whether `physical` is asked for makes no difference: nothing is done later. What v2's
/// watchers may still ask for stays until its own window ends.
pub(super) async fn compact(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<CompactionRequest>().await?;
    door.check_root(&caller)?;
    let revision = Revision(u64::try_from(request.revision).unwrap_or(0));
    let committed = door.propose(Command::Compact(revision)).await?;
    committed.outcome?;
    let header = door.place().header(door.revision()?);
    Ok(reply::single(&CompactionResponse { header }))
}
