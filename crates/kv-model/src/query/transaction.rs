//! Transactions that only read: answered from one state, without the log.
use super::range::read_whole;
use super::{Queried, refuse};
use crate::apply::transaction::{Plan, Step, checked_plan};
use crate::command::Transaction;
use crate::error_code::ErrorCode;
use crate::outcome::{OperationReply, TransactionReply};
use crate::record::setting;
use crate::tables::{TableError, Tables};

pub(super) fn transaction(
    tables: &dyn Tables,
    transaction: &Transaction,
) -> Queried<TransactionReply> {
    if !transaction.is_read_only() {
        return refuse(tables, ErrorCode::InvalidField, "it writes".to_owned());
    }
    match checked_plan(tables, transaction)? {
        Ok(plan) => Ok(Ok(carry_out(tables, plan)?)),
        Err((code, cause)) => refuse(tables, code, cause),
    }
}

fn carry_out(tables: &dyn Tables, plan: Plan<'_>) -> Result<TransactionReply, TableError> {
    let mut replies = Vec::with_capacity(plan.steps.len());
    for step in plan.steps {
        replies.push(match step {
            Step::Range(query) => OperationReply::Range(read_whole(tables, query, None)?),
            Step::Answered(reply) => reply,
            Step::Nested(plan) => OperationReply::Nested(carry_out(tables, plan)?),
            // It was seen that there are none.
            Step::Put(_) | Step::Delete { .. } => continue,
        });
    }
    Ok(TransactionReply {
        revision: setting::revision(tables)?,
        succeeded: plan.succeeded,
        replies,
    })
}
