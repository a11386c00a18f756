//! `Put` and `DeleteRange`, which to the store are transactions of one operation.
use kv_model::LeaseId;
use kv_model::Node;
use kv_model::command::{LeaseChoice, Operation, Transaction};
use kv_model::outcome::{OperationReply, TransactionReply};

use crate::header::signed;
use crate::keys::{key_range, key_value};
use crate::proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, ResponseHeader,
};
use crate::status::Status;

/// A transaction that does just this.
pub fn alone(operation: Operation) -> Transaction {
    Transaction {
        compares: Vec::new(),
        success: vec![operation],
        failure: Vec::new(),
    }
}

/// What became of the operation of such a transaction.
pub fn only_reply(reply: TransactionReply) -> Option<OperationReply> {
    reply.replies.into_iter().next()
}

/// What a put does.
pub fn put(request: PutRequest) -> Result<Operation, Status> {
    if request.key.is_empty() {
        return Err(Status::EMPTY_KEY);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Status::VALUE_PROVIDED);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Status::LEASE_PROVIDED);
    }
    Ok(Operation::Put {
        key: request.key,
        value: (!request.ignore_value).then_some(request.value),
        lease: match request.lease {
            _ if request.ignore_lease => LeaseChoice::Keep,
            0 => LeaseChoice::None,
            id => LeaseChoice::Lease(LeaseId(id)),
        },
        want_previous: request.prev_kv,
    })
}

/// The answer to a put.
pub fn put_response(previous: Option<Node>, header: Option<ResponseHeader>) -> PutResponse {
    PutResponse {
        header,
        prev_kv: previous.map(key_value),
    }
}

/// What a removal does.
pub fn delete(request: DeleteRangeRequest) -> Result<Operation, Status> {
    Ok(Operation::DeleteRange {
        keys: key_range(request.key, request.range_end)?,
        want_previous: request.prev_kv,
    })
}

/// The answer to a removal.
pub fn delete_response(
    count: u64,
    previous: Vec<Node>,
    header: Option<ResponseHeader>,
) -> DeleteRangeResponse {
    DeleteRangeResponse {
        header,
        deleted: signed(count),
        prev_kvs: previous.into_iter().map(key_value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_cannot_give_and_keep() {
        let request = |value: &'static str, lease, ignore_value, ignore_lease| PutRequest {
            key: "k".into(),
            value: value.into(),
            lease,
            ignore_value,
            ignore_lease,
            ..PutRequest::default()
        };
        assert_eq!(put(PutRequest::default()), Err(Status::EMPTY_KEY));
        assert_eq!(
            put(request("v", 0, true, false)),
            Err(Status::VALUE_PROVIDED)
        );
        assert_eq!(
            put(request("v", 1, false, true)),
            Err(Status::LEASE_PROVIDED)
        );
        let Ok(Operation::Put { value, lease, .. }) = put(request("", 0, true, true)) else {
            panic!("refused");
        };
        assert_eq!((value, lease), (None, LeaseChoice::Keep));
        let Ok(Operation::Put { value, lease, .. }) = put(request("", 7, false, false)) else {
            panic!("refused");
        };
        assert_eq!(value, Some("".into()));
        assert_eq!(lease, LeaseChoice::Lease(LeaseId(7)));
    }
}
