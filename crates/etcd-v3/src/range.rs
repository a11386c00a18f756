//! `Range`: reads. An answer that is too large to be built is written in parts.
use bytes::Bytes;
use kv_model::command::{Direction, Order, OrderBy, RangeQuery};
use kv_model::outcome::RangeReply;
use kv_model::{Node, Revision};
use prost::Message as _;

use crate::frame;
use crate::header::{revision, signed};
use crate::keys::{key_range, key_value};
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use crate::status::{Code, Status};

/// What a request asks for. Whether it may be answered from an old state is in its `serializable`.
pub fn query(request: RangeRequest) -> Result<RangeQuery, Status> {
    let order = order(&request);
    let asked = revision(request.revision);
    Ok(RangeQuery {
        limit: u64::try_from(request.limit).unwrap_or(0),
        revision: (asked != Revision(0)).then_some(asked),
        order,
        keys_only: request.keys_only,
        count_only: request.count_only,
        modified: (
            revision(request.min_mod_revision),
            revision(request.max_mod_revision),
        ),
        created: (
            revision(request.min_create_revision),
            revision(request.max_create_revision),
        ),
        keys: key_range(request.key, request.range_end)?,
    })
}

/// An order that etcd does not know is none.
fn order(request: &RangeRequest) -> Order {
    let by = match request.sort_target() {
        SortTarget::Key => OrderBy::Key,
        SortTarget::Version => OrderBy::Version,
        SortTarget::Create => OrderBy::Created,
        SortTarget::Mod => OrderBy::Modified,
        SortTarget::Value => OrderBy::Value,
    };
    let direction = match request.sort_order() {
        SortOrder::None => Direction::Unstated,
        SortOrder::Ascend => Direction::Ascending,
        SortOrder::Descend => Direction::Descending,
    };
    Order { by, direction }
}

/// The answer.
pub fn response(reply: RangeReply, header: Option<ResponseHeader>) -> RangeResponse {
    RangeResponse {
        header,
        kvs: reply.nodes.into_iter().map(key_value).collect(),
        more: reply.more,
        count: signed(reply.count),
    }
}

/// What stands around the keys of an answer that is written in parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Edges {
    /// Before the keys: the frame's head, and the answer's header.
    pub head: Bytes,
    /// After them.
    pub tail: Bytes,
    /// Bytes of all of it, keys included.
    pub bytes: u64,
}

/// The edges of an answer whose keys take so many bytes.
pub fn edges(
    header: Option<ResponseHeader>,
    more: bool,
    count: u64,
    keys_bytes: u64,
) -> Result<Edges, Status> {
    let header = RangeResponse {
        header,
        ..RangeResponse::default()
    };
    let tail = RangeResponse {
        more,
        count: signed(count),
        ..RangeResponse::default()
    };
    let (header, tail) = (header.encode_to_vec(), tail.encode_to_vec());
    let length = (header.len() + tail.len()) as u64 + keys_bytes;
    let head = frame::head(length).ok_or(Status::new(
        Code::ResourceExhausted,
        "etcdserver: the answer is larger than a message can be: read it in parts, with a limit",
    ))?;
    Ok(Edges {
        bytes: head.len() as u64 + length,
        head: [&head[..], &header].concat().into(),
        tail: tail.into(),
    })
}

/// The bytes that a key takes in an answer.
pub fn node_bytes(node: &Node) -> u64 {
    let length = key_value(node.clone()).encoded_len();
    // The field's number comes before its length.
    (1 + prost::length_delimiter_len(length) + length) as u64
}

/// Keys as they stand in an answer.
pub fn nodes(nodes: Vec<Node>) -> Bytes {
    let keys = RangeResponse {
        kvs: nodes.into_iter().map(key_value).collect(),
        ..RangeResponse::default()
    };
    keys.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use kv_model::Content;

    use super::*;

    fn node(key: &'static str, value: Vec<u8>) -> Node {
        Node {
            key: key.into(),
            content: Content::Value(value.into()),
            created_index: Revision(1),
            create_revision: Revision(2),
            modified: Revision(300),
            version: 4,
            expires: None,
            lease: None,
        }
    }

    #[test]
    fn an_answer_in_parts_is_the_same_as_a_whole_one() {
        let all = [
            node("a", vec![1; 7]),
            node("b", vec![2; 70_000]),
            node("c", vec![]),
        ];
        let header = Some(ResponseHeader {
            revision: 300,
            ..ResponseHeader::default()
        });
        for (count, more) in [(3, false), (4000, true)] {
            let reply = RangeReply {
                nodes: all.to_vec(),
                more,
                count,
            };
            let whole = frame::write(&response(reply, header));
            let bytes = all.iter().map(node_bytes).sum();
            let edges = edges(header, more, count, bytes).unwrap();
            assert_eq!(edges.bytes, whole.len() as u64);
            let [a, b, c] = all.clone();
            let parts = [edges.head, nodes(vec![a, b]), nodes(vec![c]), edges.tail];
            assert_eq!(parts.concat(), whole);
        }
        assert!(edges(None, false, 0, 1 << 32).is_err());
    }
}
