//! Errors of everything that is not `/v2/keys`: a status code and `{"message":"…"}`.
//!
//! Which request deserves which is decided elsewhere.

use bytes::Bytes;
use kv_model::{ErrorCode, Refusal};

use crate::json::append_string;

/// An answer that says what was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MessageError {
    /// The HTTP status code.
    pub status: u16,
    /// In etcd's words, where it has some.
    pub message: String,
}

impl MessageError {
    /// An error with this status code and text.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    /// The user is unknown, the password wrong, or the user may not.
    pub fn insufficient_credentials() -> Self {
        Self::new(401, "Insufficient credentials")
    }

    /// No member has this id.
    pub fn no_such_member(id: u64) -> Self {
        Self::new(404, format!("No such member: {id:x}"))
    }

    /// A member with this id was removed; ids never come back.
    pub fn member_removed(id: u64) -> Self {
        Self::new(410, format!("Member permanently removed: {id:x}"))
    }

    /// Another member has this peer URL.
    pub fn peer_url_exists() -> Self {
        Self::new(409, "membership: peerURL exists")
    }

    /// Nobody leads.
    pub fn during_election() -> Self {
        Self::new(503, "During election")
    }

    /// Only the leader knows.
    pub fn not_current_leader() -> Self {
        Self::new(403, "not current leader")
    }

    /// What etcd answers to everything it did not expect.
    pub fn internal() -> Self {
        Self::new(500, "Internal Server Error")
    }

    /// A refusal to change users or roles. Its cause is etcd's text, with or without `auth: `.
    pub fn of_auth(refusal: &Refusal) -> Self {
        let status = match refusal.code {
            ErrorCode::AuthNotFound => 404,
            ErrorCode::AuthConflict => 409,
            ErrorCode::AuthInvalid => 400,
            ErrorCode::AuthForbidden => 403,
            _ => return Self::internal(),
        };
        let cause = &refusal.cause;
        if cause.starts_with("auth: ") {
            Self::new(status, cause)
        } else {
            Self::new(status, format!("auth: {cause}"))
        }
    }

    /// The JSON, without a newline.
    pub fn body(&self) -> Bytes {
        let mut buffer = Vec::with_capacity(self.message.len() + 16);
        buffer.extend_from_slice(b"{\"message\":");
        append_string(&mut buffer, self.message.as_bytes());
        buffer.push(b'}');
        buffer.into()
    }
}

#[cfg(test)]
mod tests {
    use kv_model::{ErrorCode, Refusal, Revision};

    use super::MessageError;

    #[test]
    fn writes_messages_as_etcd_does() {
        let error = MessageError::new(400, "URL must not: \"http://a/<b>\"");
        let json = "{\"message\":\"URL must not: \\\"http://a/\\u003cb\\u003e\\\"\"}";
        assert_eq!(error.body(), json);
        let body = MessageError::no_such_member(0x12).body();
        assert_eq!(body, "{\"message\":\"No such member: 12\"}");
    }

    #[test]
    fn refusals_of_users_and_roles_have_their_status() {
        for (code, cause, status, message) in [
            (
                ErrorCode::AuthConflict,
                "already enabled",
                409,
                "auth: already enabled",
            ),
            (ErrorCode::AuthNotFound, "auth: x", 404, "auth: x"),
            (ErrorCode::AuthInvalid, "x", 400, "auth: x"),
            (ErrorCode::AuthForbidden, "x", 403, "auth: x"),
            (ErrorCode::KeyNotFound, "/a", 500, "Internal Server Error"),
        ] {
            let refusal = Refusal {
                code,
                cause: cause.to_owned(),
                index: Revision(4),
            };
            let error = MessageError::of_auth(&refusal);
            assert_eq!((error.status, &*error.message), (status, message));
        }
    }
}
