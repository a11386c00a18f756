//! What can be asked at `/v2/keys`, before and after parsing.
//!
//! Only the types; [`crate::parse_key_request`] fills them.

use bytes::Bytes;
use kv_model::Revision;
use kv_model::auth::{Access, Subject};
use kv_model::command::{KeyAction, KeyWrite};

/// The methods of `/v2/keys`. Any other is answered with 405 and `Allow:` [`Method::ALLOWED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Like GET, without a body.
    Head,
    /// Reads or watches.
    Get,
    /// Creates or changes.
    Put,
    /// Creates an in-order key.
    Post,
    /// Removes.
    Delete,
}

impl Method {
    /// The value of the `Allow` header for another method.
    pub const ALLOWED: &'static str = "HEAD,GET,PUT,POST,DELETE";

    /// The method of this name; they are in upper case.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HEAD" => Self::Head,
            "GET" => Self::Get,
            "PUT" => Self::Put,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Head => "HEAD",
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct RawRequest<'a> {
    /// Its method.
    pub method: Method,
    /// The path after `/v2/keys`, still escaped.
    pub path: &'a str,
    /// The query without the question mark, still escaped.
    pub query: &'a str,
    /// The first `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The first `Accept`.
    pub accept: Option<&'a [u8]>,
    /// The first `Last-Event-ID`, by which a watch as server-sent events goes on.
    pub last_event_id: Option<&'a [u8]>,
    /// The body; it is not copied into a value of raw bytes.
    pub body: &'a Bytes,
}

/// A request as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What is asked for.
    pub request: KeyRequest,
    /// What has no effect although it was asked for: texts for [`crate::warning_header`].
    pub warnings: Vec<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRequest {
    /// A key or a listing.
    Read(ReadRequest),
    /// The next events.
    Watch(WatchRequest),
    /// A change.
    Write(WriteRequest),
}

impl KeyRequest {
    /// What of which keys a user must be allowed to do for it.
    pub fn subject(&self) -> (Access, Subject) {
        let (access, path, recursive) = match self {
            Self::Read(read) => (Access::Read, &read.path, read.recursive),
            Self::Watch(watch) => (Access::Read, &watch.path, watch.recursive),
            Self::Write(write) => {
                let recursive = matches!(
                    write.command.action,
                    KeyAction::Delete {
                        recursive: true,
                        ..
                    }
                );
                (Access::Write, &write.command.path, recursive)
            }
        };
        let subject = if recursive {
            Subject::Tree(path.clone())
        } else {
            Subject::Path(path.clone())
        };
        (access, subject)
    }
}

/// Reads a key, or lists a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadRequest {
    /// Cleaned and absolute.
    pub path: String,
    /// All levels, not only the first.
    pub recursive: bool,
    /// In the order of names. Answers are always sorted here; etcd's only if asked.
    pub sorted: bool,
    /// The answer must be as new as the request.
    pub quorum: bool,
    /// At most so many nodes below the path.
    pub limit: Option<usize>,
    /// Only nodes whose path is after this one, absolute.
    pub after: Option<String>,
    /// How the client wants the answer.
    pub representation: Representation,
}

/// How the answer to a read looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Representation {
    /// As etcd writes it.
    #[default]
    Json,
    /// The bytes of a key's value alone.
    Octets,
}

/// Waits for events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchRequest {
    /// Cleaned and absolute.
    pub path: String,
    /// Also events of what is below it.
    pub recursive: bool,
    /// The first event at or after this one, or else the next.
    pub wait_index: Option<Revision>,
    /// All events until the client goes, not only one.
    pub stream: bool,
    /// As server-sent events; these always are a stream.
    pub server_sent_events: bool,
}

/// Changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteRequest {
    /// What to do.
    pub command: KeyWrite,
    /// Leave the nodes out of the answer.
    pub no_value_on_success: bool,
}
