//! etcd's v2 API as text: requests parsed into the store's commands, answers written as etcd 3.4.23
//! writes them, byte for byte.
//!
//! What etcd takes from Go's standard library is done as Go does it: forms, booleans, paths, media
//! types, JSON. Where etcd accepts something silently that was surely not meant, the request is still
//! accepted, with a text for a `Warning` header. Beyond etcd there are values of raw bytes
//! (`application/octet-stream`), listings in pages (`limit`, `after`) and watches as server-sent events.
//!
//! Three things etcd allows are refused: paths that are no UTF-8, paths deeper than
//! [`kv_model::path::DEPTH_MAX`], and a `limit` or `after` that cannot be used. A time to live beyond the
//! year 2262, which etcd lets overflow, means "permanent".
//!
//! It opens no socket, reads no clock, and decides neither what a command does nor who may send it.

mod form;
mod go_json;
mod json;
pub mod key_answer;
pub mod key_request;
mod media_type;
pub mod members;
pub mod message;
mod parse;
pub mod path;
mod quote;
pub mod server;
pub mod server_sent_events;
pub mod statistics;
mod time;
pub mod users;
mod warning;

pub use key_answer::{event_status, write_event, write_refusal, write_tree};
pub use key_request::{
    KeyRequest, Method, Parsed, RawRequest, ReadRequest, Representation, WatchRequest, WriteRequest,
};
pub use message::MessageError;
pub use parse::parse_key_request;
pub use warning::warning_header;

/// Content type of every answer about keys, members and users.
pub const JSON: &str = "application/json";
/// Content type of a value as raw bytes.
pub const OCTETS: &str = "application/octet-stream";
/// Content type of a watch as server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";
