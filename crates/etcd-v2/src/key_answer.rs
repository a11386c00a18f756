//! Answers of `/v2/keys`: events, trees and errors as JSON, with their status codes.
//!
//! Headers such as `X-Etcd-Index` are written by whoever knows the figures; their names are here.

use bytes::Bytes;
use kv_model::query::Tree;
use kv_model::{Action, Content, ErrorCode, Event, Node, Refusal, Revision, UnixNanoseconds};

use crate::json::{append_signed, append_string, append_unsigned};
use crate::time::{append_timestamp, seconds_left};

/// Name of the header with the cluster's id, in hexadecimal; on every answer about keys and members.
pub const CLUSTER_ID_HEADER: &str = "X-Etcd-Cluster-Id";
/// Name of the header with the index of the store when the request was answered or the watch began.
pub const INDEX_HEADER: &str = "X-Etcd-Index";
/// Name of the header with raft's index; not on errors.
pub const RAFT_INDEX_HEADER: &str = "X-Raft-Index";
/// Name of the header with raft's term; not on errors.
pub const RAFT_TERM_HEADER: &str = "X-Raft-Term";

/// 201 if a key was created, 200 else.
pub fn event_status(event: &Event) -> u16 {
    match (event.action, &event.previous) {
        (Action::Create, _) | (Action::Set, None) => 201,
        _ => 200,
    }
}

/// A change as JSON, one line. `no_value` leaves the nodes out, unless something was removed.
pub fn write_event(event: &Event, now: UnixNanoseconds, no_value: bool) -> Bytes {
    let mut buffer = Vec::with_capacity(capacity(event));
    append_event(&mut buffer, event, now, no_value);
    buffer.into()
}

/// Appends a change as JSON, one line.
pub fn append_event(buffer: &mut Vec<u8>, event: &Event, now: UnixNanoseconds, no_value: bool) {
    buffer.extend_from_slice(b"{\"action\":\"");
    buffer.extend_from_slice(action_name(event.action).as_bytes());
    buffer.push(b'"');
    if !(no_value && may_leave_value_out(event.action)) {
        buffer.extend_from_slice(b",\"node\":");
        append_node(buffer, &event.node, now);
        if let Some(previous) = &event.previous {
            buffer.extend_from_slice(b",\"prevNode\":");
            append_node(buffer, previous, now);
        }
    }
    buffer.extend_from_slice(b"}\n");
}

/// What was read, as JSON, one line.
pub fn write_tree(tree: &Tree, now: UnixNanoseconds) -> Bytes {
    let mut buffer = Vec::with_capacity(256);
    buffer.extend_from_slice(b"{\"action\":\"get\",\"node\":");
    append_tree(&mut buffer, tree, now);
    buffer.extend_from_slice(b"}\n");
    buffer.into()
}

/// The value alone, for a client that asked for raw bytes.
///
/// # Errors
/// Etcd's "Not a file" for a directory.
pub fn value_octets(tree: &Tree, index: Revision) -> Result<Bytes, Refusal> {
    match &tree.node.content {
        Content::Value(value) => Ok(value.clone()),
        _ => Err(Refusal {
            code: ErrorCode::NotAFile,
            cause: String::from_utf8_lossy(&tree.node.key).into_owned(),
            index,
        }),
    }
}

/// The value of a `Link` header (RFC 8288) to the next page of a listing.
pub fn next_page_link(path: &str, recursive: bool, limit: usize, after: &str) -> String {
    let after: String = form_urlencoded::byte_serialize(after.as_bytes()).collect();
    let path = crate::path::escape(path.trim_end_matches('/'));
    format!("</v2/keys{path}?recursive={recursive}&limit={limit}&after={after}>; rel=\"next\"")
}

/// A refusal's status code and its JSON, one line. A code that v2 has no number for counts as 300.
pub fn write_refusal(refusal: &Refusal) -> (u16, Bytes) {
    let number = refusal.code.v2_number().unwrap_or(300);
    let mut buffer = Vec::with_capacity(128 + refusal.cause.len());
    buffer.extend_from_slice(b"{\"errorCode\":");
    append_unsigned(&mut buffer, number.into());
    buffer.extend_from_slice(b",\"message\":");
    append_string(&mut buffer, refusal.code.to_string().as_bytes());
    if !refusal.cause.is_empty() {
        buffer.extend_from_slice(b",\"cause\":");
        append_string(&mut buffer, refusal.cause.as_bytes());
    }
    buffer.extend_from_slice(b",\"index\":");
    append_unsigned(&mut buffer, refusal.index.0);
    buffer.extend_from_slice(b"}\n");
    (refusal_status(number), buffer.into())
}

/// What a user may not do is refused without an index.
pub fn unauthorized() -> Refusal {
    Refusal {
        code: ErrorCode::Unauthorized,
        cause: "Insufficient credentials".to_owned(),
        index: Revision::default(),
    }
}

const fn refusal_status(number: u16) -> u16 {
    match number {
        100 => 404,
        101 | 105 => 412,
        102 | 108 => 403,
        110 => 401,
        300 | 301 => 500,
        _ => 400,
    }
}

/// The action's name in JSON.
pub const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Set => "set",
        Action::Create => "create",
        Action::Update => "update",
        Action::CompareAndSwap => "compareAndSwap",
        Action::Delete => "delete",
        Action::CompareAndDelete => "compareAndDelete",
        Action::Expire => "expire",
    }
}

const fn may_leave_value_out(action: Action) -> bool {
    matches!(
        action,
        Action::Set | Action::Create | Action::Update | Action::CompareAndSwap
    )
}

fn capacity(event: &Event) -> usize {
    let node = |node: &Node| {
        let value = match &node.content {
            Content::Value(value) => value.len(),
            _ => 0,
        };
        node.key.len() + value + 160
    };
    32 + node(&event.node) + event.previous.as_ref().map_or(0, node)
}

/// The root, which has neither name nor indexes in answers.
fn is_root(node: &Node) -> bool {
    matches!(&node.key[..], b"" | b"/")
}

fn append_node(buffer: &mut Vec<u8>, node: &Node, now: UnixNanoseconds) {
    open_node(buffer, node, now);
    close_node(buffer, node);
}

/// Everything of a node up to its children, which stand before its indexes.
fn open_node(buffer: &mut Vec<u8>, node: &Node, now: UnixNanoseconds) {
    buffer.push(b'{');
    if !is_root(node) {
        buffer.extend_from_slice(b"\"key\":");
        append_string(buffer, &node.key);
    }
    match &node.content {
        Content::Value(value) => {
            append_name(buffer, "value");
            append_string(buffer, value);
        }
        Content::Directory | Content::DirectoryGone => {
            append_name(buffer, "dir");
            buffer.extend_from_slice(b"true");
        }
        Content::Gone => {}
    }
    if let Some(expires) = node.expires {
        append_name(buffer, "expiration");
        buffer.push(b'"');
        append_timestamp(buffer, expires);
        buffer.push(b'"');
        let seconds = seconds_left(expires, now);
        if seconds != 0 {
            append_name(buffer, "ttl");
            append_signed(buffer, seconds);
        }
    }
}

fn close_node(buffer: &mut Vec<u8>, node: &Node) {
    if !is_root(node) {
        let indexes = [
            ("modifiedIndex", node.modified),
            ("createdIndex", node.created_index),
        ];
        for (name, index) in indexes.into_iter().filter(|(_, index)| index.0 > 0) {
            append_name(buffer, name);
            append_unsigned(buffer, index.0);
        }
    }
    buffer.push(b'}');
}

/// Appends a field's name, after a comma unless it is the object's first.
fn append_name(buffer: &mut Vec<u8>, name: &str) {
    buffer.extend_from_slice(if buffer.ends_with(b"{") {
        b"\""
    } else {
        b",\""
    });
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(b"\":");
}

/// A node with its children. The stack is on the heap: trees may be deep.
fn append_tree(buffer: &mut Vec<u8>, tree: &Tree, now: UnixNanoseconds) {
    let mut open: Vec<(&Tree, std::slice::Iter<'_, Tree>)> = Vec::new();
    let mut next = Some(tree);
    loop {
        if let Some(tree) = next.take() {
            open_node(buffer, &tree.node, now);
            if !tree.children.is_empty() {
                append_name(buffer, "nodes");
                buffer.push(b'[');
            }
            open.push((tree, tree.children.iter()));
        }
        let Some((tree, children)) = open.last_mut() else {
            return;
        };
        if let Some(child) = children.next() {
            if !buffer.ends_with(b"[") {
                buffer.push(b',');
            }
            next = Some(child);
            continue;
        }
        if !tree.children.is_empty() {
            buffer.push(b']');
        }
        close_node(buffer, &tree.node);
        open.pop();
    }
}

#[cfg(test)]
mod tests;
