//! `/v2/members` and `/v2/machines`: requests parsed, answers written.
//!
//! Whether a member exists, and who may ask, is checked elsewhere, after the method and before the
//! rest of the request.

use bytes::Bytes;

use crate::go_json::{Cursor, Mismatch};
use crate::json::{append_array, append_string, append_strings};
use crate::message::MessageError;

mod peer_url;

/// The value of the `Allow` header for a method that `/v2/members` does not have.
pub const METHODS: &str = "GET,POST,DELETE,PUT";
/// The value of the `Allow` header for a method that `/v2/machines` does not have.
pub const MACHINES_METHODS: &str = "GET,HEAD";

/// A member as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// Shown in hexadecimal.
    pub id: u64,
    /// Empty until it has started.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    pub client_urls: Vec<String>,
}

/// What is asked of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberRequest {
    /// All members: 200.
    List,
    /// The one that leads: 200.
    Leader,
    /// A new one: 201, with the member.
    Add {
        /// In alphabetical order.
        peer_urls: Vec<String>,
    },
    /// Removes one: 204.
    Remove {
        /// Which.
        id: u64,
    },
    /// Gives one other addresses: 204.
    Update {
        /// Which.
        id: u64,
        /// In alphabetical order.
        peer_urls: Vec<String>,
    },
}

/// Why a request about members is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberRequestError {
    /// Any method but those in [`METHODS`]: 405, in plain text, with `Allow`.
    #[error("Method Not Allowed")]
    Method,
    /// A member is to be changed or removed and none is named: 405, in plain text, without `Allow`.
    #[error("Method Not Allowed")]
    NoMember,
    /// Anything else.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Parses a request. `path` is what comes after `/v2/members`, unescaped.
pub fn parse_member_request(
    method: &str,
    path: &str,
    content_type: Option<&[u8]>,
    body: &[u8],
) -> Result<MemberRequest, MemberRequestError> {
    let name = path.strip_prefix('/').unwrap_or(path);
    match method {
        "GET" => match name {
            "" => Ok(MemberRequest::List),
            "leader" => Ok(MemberRequest::Leader),
            _ => Err(MessageError::new(404, "Not found").into()),
        },
        "POST" => Ok(MemberRequest::Add {
            peer_urls: parse_peer_urls(content_type, body)?,
        }),
        "DELETE" => Ok(MemberRequest::Remove {
            id: parse_id(name)?,
        }),
        "PUT" => Ok(MemberRequest::Update {
            id: parse_id(name)?,
            peer_urls: parse_peer_urls(content_type, body)?,
        }),
        _ => Err(MemberRequestError::Method),
    }
}

fn parse_id(name: &str) -> Result<u64, MemberRequestError> {
    if name.is_empty() {
        return Err(MemberRequestError::NoMember);
    }
    let is_hexadecimal = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u64::from_str_radix(name, 16)
        .ok()
        .filter(|_| is_hexadecimal);
    id.ok_or_else(|| MessageError::new(404, format!("No such member: {name}")).into())
}

fn parse_peer_urls(content_type: Option<&[u8]>, body: &[u8]) -> Result<Vec<String>, MessageError> {
    check_content_type(content_type.unwrap_or_default())?;
    let bad_request = |text: String| MessageError::new(400, text);
    let mut cursor = Cursor::whole(body).map_err(bad_request)?;
    let mut urls = Vec::new();
    let result = cursor.each_field(
        |mismatch| mismatch_of_whole(&mismatch),
        |name, cursor| {
            if name == "peerurls" {
                let strings = cursor.strings().map_err(|m| mismatch_of_urls(&m))?;
                urls = strings.unwrap_or_default();
            } else {
                cursor.skip_value();
            }
            Ok(())
        },
    );
    result.map_err(bad_request)?;
    peer_url::check(&urls).map_err(bad_request)
}

fn check_content_type(content_type: &[u8]) -> Result<(), MessageError> {
    let text = String::from_utf8_lossy(content_type);
    // etcd lowers and trims the type only if there are parameters.
    let media_type = match text.split_once(';') {
        Some((media_type, _)) => media_type.to_lowercase().trim().to_owned(),
        None => text.into_owned(),
    };
    if media_type == crate::JSON {
        return Ok(());
    }
    let message = format!("Bad Content-Type {media_type}, accept application/json");
    Err(MessageError::new(415, message))
}

fn mismatch_of_whole(mismatch: &Mismatch) -> String {
    let structure = "struct { PeerURLs []string \"json:\\\"peerURLs\\\"\" }";
    let found = mismatch.found;
    format!("json: cannot unmarshal {found} into Go value of type {structure}")
}

fn mismatch_of_urls(mismatch: &Mismatch) -> String {
    let Mismatch { found, expected } = mismatch;
    format!("json: cannot unmarshal {found} into Go struct field .peerURLs of type {expected}")
}

/// The answer to [`MemberRequest::List`].
pub fn write_members(members: &[Member]) -> Bytes {
    let mut buffer = b"{\"members\":".to_vec();
    append_array(&mut buffer, members, append_member);
    buffer.extend_from_slice(b"}\n");
    buffer.into()
}

/// The answer to [`MemberRequest::Leader`] and [`MemberRequest::Add`].
pub fn write_member(member: &Member) -> Bytes {
    let mut buffer = Vec::new();
    append_member(&mut buffer, member);
    buffer.push(b'\n');
    buffer.into()
}

/// The answer of `/v2/machines`: client URLs in plain text.
pub fn write_machines(client_urls: &[String]) -> Bytes {
    client_urls.join(", ").into()
}

fn append_member(buffer: &mut Vec<u8>, member: &Member) {
    buffer.extend_from_slice(format!("{{\"id\":\"{:x}\",\"name\":", member.id).as_bytes());
    append_string(buffer, member.name.as_bytes());
    buffer.extend_from_slice(b",\"peerURLs\":");
    append_strings(buffer, &member.peer_urls);
    buffer.extend_from_slice(b",\"clientURLs\":");
    append_strings(buffer, &member.client_urls);
    buffer.push(b'}');
}

#[cfg(test)]
mod tests;
