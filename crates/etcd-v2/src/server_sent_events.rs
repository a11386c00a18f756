//! Events of a watch framed as server-sent events (the `text/event-stream` of WHATWG's HTML).
//!
//! A client that comes back sends the last `id` as `Last-Event-ID`; the parser goes on after it.

use bytes::Bytes;
use kv_model::{Event, UnixNanoseconds};

use crate::json::append_unsigned;
use crate::key_answer::{action_name, append_event};

/// A comment, to be sent now and then: it keeps proxies from closing the connection.
pub const KEEP_ALIVE: &[u8] = b":\n\n";

/// One event: `id` is its index, `event` its action, `data` the JSON that a long poll would get.
pub fn write(event: &Event, now: UnixNanoseconds) -> Bytes {
    let mut buffer = Vec::with_capacity(256);
    buffer.extend_from_slice(b"id: ");
    append_unsigned(&mut buffer, event.revision.0);
    buffer.extend_from_slice(b"\nevent: ");
    buffer.extend_from_slice(action_name(event.action).as_bytes());
    buffer.extend_from_slice(b"\ndata: ");
    // It ends with the newline that ends `data`.
    append_event(&mut buffer, event, now, false);
    buffer.push(b'\n');
    buffer.into()
}
