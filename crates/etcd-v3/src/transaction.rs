//! `Txn`: compares and the operations that depend on them, nested as deep as etcd lets them be.
use kv_model::command::{Compare, CompareTarget, Operation, Relation, Transaction};
use kv_model::outcome::{OperationReply, RangeReply, TransactionReply};
use kv_model::{LeaseId, Revision};

use crate::header::inner;
use crate::keys::key_range;
use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget as Target, TargetUnion};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::{
    Compare as ComparePb, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use crate::status::Status;
use crate::{range, write};

/// etcd's `--max-txn-ops`, unless somebody sets it.
pub const OPERATIONS_MAX: usize = 128;

/// What a request does. Each of its lists may have so many entries, those of transactions inside so
/// many fewer.
pub fn transaction(request: TxnRequest, operations_max: usize) -> Result<Transaction, Status> {
    let lists = [request.success.len(), request.failure.len()];
    let longest = lists.into_iter().fold(request.compare.len(), usize::max);
    let Some(left) = operations_max.checked_sub(longest) else {
        return Err(Status::TOO_MANY_OPERATIONS);
    };
    let operations = |list: Vec<RequestOp>| list.into_iter().map(|one| operation(one, left));
    Ok(Transaction {
        compares: (request.compare.into_iter().map(compare)).collect::<Result<_, _>>()?,
        success: operations(request.success).collect::<Result<_, _>>()?,
        failure: operations(request.failure).collect::<Result<_, _>>()?,
    })
}

/// Whether an answer from an old state will do: every read says so.
pub fn is_serializable(request: &TxnRequest) -> bool {
    let mut operations = request.success.iter().chain(&request.failure);
    operations.all(|operation| match &operation.request {
        Some(Request::RequestRange(range)) => range.serializable,
        Some(Request::RequestTxn(inside)) => is_serializable(inside),
        _ => true,
    })
}

fn operation(operation: RequestOp, operations_max: usize) -> Result<Operation, Status> {
    match operation.request {
        Some(Request::RequestRange(request)) => range::query(request).map(Operation::Range),
        Some(Request::RequestPut(request)) => write::put(request),
        Some(Request::RequestDeleteRange(request)) => write::delete(request),
        Some(Request::RequestTxn(request)) => {
            transaction(request, operations_max).map(Operation::Nested)
        }
        None => Err(Status::KEY_NOT_FOUND),
    }
}

fn compare(compare: ComparePb) -> Result<Compare, Status> {
    let relation = match compare.result() {
        CompareResult::Equal => Relation::Equal,
        CompareResult::Greater => Relation::Greater,
        CompareResult::Less => Relation::Less,
        CompareResult::NotEqual => Relation::NotEqual,
    };
    let target = compare.target();
    let keys = key_range(compare.key, compare.range_end)?;
    let given = compare.target_union;
    let (relation, target) = match (target, given) {
        (Target::Version, Some(TargetUnion::Version(given))) => {
            numbered(relation, given, CompareTarget::Version)
        }
        (Target::Create, Some(TargetUnion::CreateRevision(given))) => {
            numbered(relation, given, created)
        }
        (Target::Mod, Some(TargetUnion::ModRevision(given))) => numbered(relation, given, modified),
        (Target::Value, Some(TargetUnion::Value(given))) => (relation, CompareTarget::Value(given)),
        (Target::Lease, Some(TargetUnion::Lease(given))) => (relation, lease(given)),
        // What is not given is 0.
        (Target::Version, _) => (relation, CompareTarget::Version(0)),
        (Target::Create, _) => (relation, created(0)),
        (Target::Mod, _) => (relation, modified(0)),
        (Target::Lease, _) => (relation, lease(0)),
        // Any value is equal to one that is not given.
        (Target::Value, _) if relation == Relation::Equal => {
            (Relation::Greater, CompareTarget::Version(0))
        }
        (Target::Value, _) => NEVER,
    };
    Ok(Compare {
        keys,
        relation,
        target,
    })
}

/// No key fulfils it.
const NEVER: (Relation, CompareTarget) = (Relation::Greater, CompareTarget::Version(u64::MAX));
/// Every key fulfils it, and none at all too.
const ALWAYS: (Relation, CompareTarget) = (Relation::NotEqual, CompareTarget::Version(u64::MAX));

const fn created(given: u64) -> CompareTarget {
    CompareTarget::Created(Revision(given))
}

const fn modified(given: u64) -> CompareTarget {
    CompareTarget::Modified(Revision(given))
}

fn lease(given: i64) -> CompareTarget {
    CompareTarget::Lease((given != 0).then_some(LeaseId(given)))
}

/// The store's numbers have no sign: each is greater than one below 0.
fn numbered(
    relation: Relation,
    given: i64,
    target: impl Fn(u64) -> CompareTarget,
) -> (Relation, CompareTarget) {
    match (u64::try_from(given), relation) {
        (Ok(given), relation) => (relation, target(given)),
        (Err(_), Relation::Greater | Relation::NotEqual) => ALWAYS,
        (Err(_), Relation::Equal | Relation::Less) => NEVER,
    }
}

/// The answer. Answers inside it have only a revision at their head: that of the store at their turn.
pub fn response(reply: TransactionReply, header: Option<ResponseHeader>) -> TxnResponse {
    let revision = reply.revision;
    let before = if changes(&reply) {
        Revision(revision.0.saturating_sub(1))
    } else {
        revision
    };
    let mut turn = Turn {
        at: before,
        after: revision,
    };
    turn.transaction(reply, header)
}

fn changes(reply: &TransactionReply) -> bool {
    reply.replies.iter().any(|reply| match reply {
        OperationReply::Range(_) | OperationReply::Past(_) => false,
        OperationReply::Put(_) => true,
        OperationReply::DeleteRange(count, _) => *count > 0,
        OperationReply::Nested(inside) => changes(inside),
    })
}

/// The store's revision while a transaction is carried out.
struct Turn {
    /// Now.
    at: Revision,
    /// Once something changed.
    after: Revision,
}

impl Turn {
    fn transaction(
        &mut self,
        reply: TransactionReply,
        header: Option<ResponseHeader>,
    ) -> TxnResponse {
        let answer = |reply| ResponseOp {
            response: Some(self.operation(reply)),
        };
        TxnResponse {
            header,
            succeeded: reply.succeeded,
            responses: reply.replies.into_iter().map(answer).collect(),
        }
    }

    fn operation(&mut self, reply: OperationReply) -> Response {
        match reply {
            OperationReply::Range(reply) => {
                Response::ResponseRange(range::response(reply, Some(inner(self.at))))
            }
            // Whoever answers has read it before.
            OperationReply::Past(_) => {
                let header = Some(inner(self.at));
                Response::ResponseRange(range::response(RangeReply::default(), header))
            }
            OperationReply::Put(previous) => {
                self.at = self.after;
                Response::ResponsePut(write::put_response(previous, Some(inner(self.at))))
            }
            OperationReply::DeleteRange(count, previous) => {
                if count > 0 {
                    self.at = self.after;
                }
                let header = Some(inner(self.at));
                Response::ResponseDeleteRange(write::delete_response(count, previous, header))
            }
            // As in etcd 3.4: its transactions inside have a head without a revision.
            OperationReply::Nested(reply) => {
                let header = Some(ResponseHeader::default());
                Response::ResponseTxn(self.transaction(reply, header))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::etcdserverpb::{PutRequest, RangeRequest};

    fn put(key: &'static str) -> RequestOp {
        let request = PutRequest {
            key: key.into(),
            ..PutRequest::default()
        };
        RequestOp {
            request: Some(Request::RequestPut(request)),
        }
    }

    fn nested(success: Vec<RequestOp>) -> RequestOp {
        let request = TxnRequest {
            success,
            ..TxnRequest::default()
        };
        RequestOp {
            request: Some(Request::RequestTxn(request)),
        }
    }

    fn read(success: Vec<RequestOp>, operations_max: usize) -> Result<Transaction, Status> {
        let request = TxnRequest {
            success,
            ..TxnRequest::default()
        };
        transaction(request, operations_max)
    }

    #[test]
    fn operations_are_counted_on_all_levels() {
        assert!(read(vec![put("a"), put("b")], 2).is_ok());
        let refused = Err(Status::TOO_MANY_OPERATIONS);
        assert_eq!(read(vec![put("a"), put("b")], 1), refused);
        assert!(read(vec![put("a"), nested(vec![put("b")])], 3).is_ok());
        assert_eq!(read(vec![put("a"), nested(vec![put("b")])], 2), refused);
    }

    #[test]
    fn what_is_wrong_inside_is_found() {
        assert_eq!(read(vec![nested(vec![put("")])], 9), Err(Status::EMPTY_KEY));
        let nothing = RequestOp { request: None };
        assert_eq!(read(vec![nothing], 9), Err(Status::KEY_NOT_FOUND));
        let range = Request::RequestRange(RangeRequest::default());
        let range = RequestOp {
            request: Some(range),
        };
        assert_eq!(read(vec![range], 9), Err(Status::EMPTY_KEY));
    }

    #[test]
    fn numbers_below_zero_are_less_than_any() {
        let numbered = |relation| numbered(relation, -1, created);
        assert_eq!(numbered(Relation::Greater), ALWAYS);
        assert_eq!(numbered(Relation::NotEqual), ALWAYS);
        assert_eq!(numbered(Relation::Equal), NEVER);
        assert_eq!(numbered(Relation::Less), NEVER);
    }

    #[test]
    fn answers_inside_tell_the_revision_of_their_turn() {
        let range = || OperationReply::Range(RangeReply::default());
        let transaction = |replies| TransactionReply {
            revision: Revision(7),
            succeeded: true,
            replies,
        };
        let heads = |replies| {
            let response = response(transaction(replies), None);
            let heads = response
                .responses
                .into_iter()
                .map(|one| match one.response {
                    Some(Response::ResponseRange(one)) => one.header.unwrap().revision,
                    Some(Response::ResponsePut(one)) => one.header.unwrap().revision,
                    Some(Response::ResponseDeleteRange(one)) => one.header.unwrap().revision,
                    _ => 0,
                });
            heads.collect::<Vec<_>>()
        };
        let delete = |count| OperationReply::DeleteRange(count, Vec::new());
        let put = || OperationReply::Put(None);
        assert_eq!(heads(vec![range(), put(), range()]), [6, 7, 7]);
        assert_eq!(heads(vec![delete(0), delete(2), range()]), [6, 7, 7]);
        assert_eq!(heads(vec![range(), delete(0)]), [7, 7]);
        let inside = OperationReply::Nested(transaction(vec![put()]));
        assert_eq!(heads(vec![range(), inside, range()]), [6, 0, 7]);
    }
}
