//! What transactions read of earlier revisions.
//!
//! The log does not carry it: a member reads it from its own history, for the client that asked it.
//! An earlier state never changes, so it makes no difference when that is done; but it must not turn
//! out to be missing after the transaction has written something, so it is done before.
use etcd_v3::Status;
use kv_model::command::{RangeQuery, Transaction};
use kv_model::outcome::{RangeReply, TransactionReply};
use kv_model::query;

use super::call::{unexpected, unreadable};
use super::reading::Reading;
use crate::http::state::ServerState;

/// Answers to ranges of the past.
pub(super) type Known = Vec<(RangeQuery, RangeReply)>;

/// What a transaction may read of revisions that are past already. If that is gone here, the
/// transaction is refused, whichever way it would go.
pub(super) async fn known(state: &ServerState, transaction: &Transaction) -> Result<Known, Status> {
    let ranges = transaction.ranges();
    if ranges.iter().all(|query| query.revision.is_none()) {
        return Ok(Known::new());
    }
    let now = query::revision(&*state.backend.view()).map_err(unreadable)?;
    let compacted = query::compacted(&*state.backend.view()).map_err(unreadable)?;
    // What all members know to be gone is refused if it is come to.
    let is_kept = |revision| revision >= compacted;
    let past = ranges.into_iter();
    let past = past.filter(|query| query.earlier_than(now).is_some_and(is_kept));
    read(state, past.cloned().collect()).await
}

/// Puts what was read of the past into an answer.
pub(super) async fn complete(
    state: &ServerState,
    reply: &mut TransactionReply,
    known: &mut Known,
) -> Result<(), Status> {
    // Some became the past only while the transaction was under way.
    let is_known = |query: &&&RangeQuery| known.iter().any(|(one, _)| one == **query);
    let missing = reply.past();
    let missing = missing.iter().filter(|query| !is_known(query));
    let missing = missing.map(|query| (*query).clone()).collect();
    known.extend(read(state, missing).await?);
    reply.fill(&mut |query| {
        let found = known.iter().find(|(one, _)| one == query);
        found.map(|(_, reply)| reply.clone()).ok_or_else(unexpected)
    })
}

/// Carries out a transaction that only reads.
pub(super) async fn read_only(
    state: &ServerState,
    transaction: Transaction,
) -> Result<TransactionReply, Status> {
    let view = state.backend.view();
    // It may be long, and must not keep this worker from everything else.
    let read = tokio::task::spawn_blocking(move || query::transaction(&*view, &transaction));
    let read = read.await.map_err(|_| unexpected())?;
    let mut reply = read.map_err(unreadable)??;
    complete(state, &mut reply, &mut Known::new()).await?;
    Ok(reply)
}

async fn read(state: &ServerState, queries: Vec<RangeQuery>) -> Result<Known, Status> {
    if queries.is_empty() {
        return Ok(Known::new());
    }
    let readings = Reading::open_all(state, queries.clone()).await?;
    let read = tokio::task::spawn_blocking(move || {
        let wholes = readings.iter().map(Reading::whole);
        wholes.collect::<Result<Vec<_>, _>>()
    });
    let wholes = read.await.map_err(|_| unexpected())??;
    Ok(queries.into_iter().zip(wholes).collect())
}
