//! How a call ended: gRPC's codes, and the texts by which etcd's clients tell errors apart.
//!
//! When each of them is due is decided elsewhere.
use std::borrow::Cow;

use kv_model::{ErrorCode, Refusal};

/// gRPC's codes, as many as etcd uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All went well.
    Ok = 0,
    /// Somebody gave up.
    Canceled = 1,
    /// An error without a code.
    Unknown = 2,
    /// The request makes no sense.
    InvalidArgument = 3,
    /// What it is about does not exist.
    NotFound = 5,
    /// The caller may not do that.
    PermissionDenied = 7,
    /// There is no room, or too much to do.
    ResourceExhausted = 8,
    /// The state does not allow it.
    FailedPrecondition = 9,
    /// Beyond what is there.
    OutOfRange = 11,
    /// There is no such method.
    Unimplemented = 12,
    /// A fault of the server.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
    /// Nobody knows who calls.
    Unauthenticated = 16,
}

impl Code {
    /// The code of that number; those that etcd does not use are [`Code::Unknown`].
    pub fn from_number(number: u16) -> Self {
        const ALL: [Code; 13] = [
            Code::Ok,
            Code::Canceled,
            Code::Unknown,
            Code::InvalidArgument,
            Code::NotFound,
            Code::PermissionDenied,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::OutOfRange,
            Code::Unimplemented,
            Code::Internal,
            Code::Unavailable,
            Code::Unauthenticated,
        ];
        let found = ALL.into_iter().find(|code| *code as u16 == number);
        found.unwrap_or(Self::Unknown)
    }
}

/// How a call ended, if not well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// gRPC's code.
    pub code: Code,
    /// etcd's text.
    pub message: Cow<'static, str>,
}

impl Status {
    /// With a text that never changes.
    pub const fn new(code: Code, message: &'static str) -> Self {
        Self {
            code,
            message: Cow::Borrowed(message),
        }
    }

    /// With a text made for the occasion.
    pub const fn of(code: Code, message: String) -> Self {
        Self {
            code,
            message: Cow::Owned(message),
        }
    }

    /// No key is given.
    pub const EMPTY_KEY: Self = Self::new(Code::InvalidArgument, "etcdserver: key is not provided");
    /// The value shall be kept, of a key that is not there; or an operation says nothing.
    pub const KEY_NOT_FOUND: Self = Self::new(Code::InvalidArgument, "etcdserver: key not found");
    /// A value, and that the present one shall be kept.
    pub const VALUE_PROVIDED: Self =
        Self::new(Code::InvalidArgument, "etcdserver: value is provided");
    /// A lease, and that the present one shall be kept.
    pub const LEASE_PROVIDED: Self =
        Self::new(Code::InvalidArgument, "etcdserver: lease is provided");
    /// A transaction of too many operations.
    pub const TOO_MANY_OPERATIONS: Self = Self::new(
        Code::InvalidArgument,
        "etcdserver: too many operations in txn request",
    );
    /// A transaction writes a key twice.
    pub const DUPLICATE_KEY: Self = Self::new(
        Code::InvalidArgument,
        "etcdserver: duplicate key given in txn request",
    );
    /// The history was forgotten.
    pub const COMPACTED: Self = Self::new(
        Code::OutOfRange,
        "etcdserver: mvcc: required revision has been compacted",
    );
    /// There is no such revision yet.
    pub const FUTURE_REVISION: Self = Self::new(
        Code::OutOfRange,
        "etcdserver: mvcc: required revision is a future revision",
    );
    /// There is no such lease.
    pub const LEASE_NOT_FOUND: Self =
        Self::new(Code::NotFound, "etcdserver: requested lease not found");
    /// There is such a lease already.
    pub const LEASE_EXISTS: Self =
        Self::new(Code::FailedPrecondition, "etcdserver: lease already exists");
    /// A lease of centuries.
    pub const LEASE_TTL_TOO_LARGE: Self =
        Self::new(Code::OutOfRange, "etcdserver: too large lease TTL");
    /// Users matter, and nobody said who calls.
    pub const USER_EMPTY: Self = Self::new(Code::InvalidArgument, "etcdserver: user name is empty");
    /// Users shall matter, and there is no root.
    pub const ROOT_USER_NOT_FOUND: Self = Self::new(
        Code::FailedPrecondition,
        "etcdserver: root user does not exist",
    );
    /// There is such a user already.
    pub const USER_EXISTS: Self = Self::new(
        Code::FailedPrecondition,
        "etcdserver: user name already exists",
    );
    /// There is no such user.
    pub const USER_NOT_FOUND: Self =
        Self::new(Code::FailedPrecondition, "etcdserver: user name not found");
    /// There is such a role already.
    pub const ROLE_EXISTS: Self = Self::new(
        Code::FailedPrecondition,
        "etcdserver: role name already exists",
    );
    /// There is no such role.
    pub const ROLE_NOT_FOUND: Self =
        Self::new(Code::FailedPrecondition, "etcdserver: role name not found");
    /// A role without a name.
    pub const ROLE_EMPTY: Self = Self::new(Code::InvalidArgument, "etcdserver: role name is empty");
    /// The user does not have the role that is to be taken.
    pub const ROLE_NOT_GRANTED: Self = Self::new(
        Code::FailedPrecondition,
        "etcdserver: role is not granted to the user",
    );
    /// The role does not have the permission that is to be taken.
    pub const PERMISSION_NOT_GRANTED: Self = Self::new(
        Code::FailedPrecondition,
        "etcdserver: permission is not granted to the role",
    );
    /// A grant of nothing. etcd 3.4 crashes; this is what later ones say.
    pub const PERMISSION_NOT_GIVEN: Self =
        Self::new(Code::InvalidArgument, "etcdserver: permission not given");
    /// Root and its role are fixed.
    pub const INVALID_MANAGEMENT: Self =
        Self::new(Code::InvalidArgument, "etcdserver: invalid auth management");
    /// Name and password do not fit.
    pub const AUTHENTICATION_FAILED: Self = Self::new(
        Code::InvalidArgument,
        "etcdserver: authentication failed, invalid user ID or password",
    );
    /// Users do not matter, so nobody needs a token.
    pub const AUTH_NOT_ENABLED: Self = Self::new(
        Code::FailedPrecondition,
        "etcdserver: authentication is not enabled",
    );
    /// A token that is none, or not any more.
    pub const INVALID_TOKEN: Self =
        Self::new(Code::Unauthenticated, "etcdserver: invalid auth token");
    /// Users and roles change faster than it can be found out who may.
    pub const AUTH_OLD_REVISION: Self = Self::new(
        Code::InvalidArgument,
        "etcdserver: revision of auth store is old",
    );
    /// The user may not do that.
    pub const PERMISSION_DENIED: Self =
        Self::new(Code::PermissionDenied, "etcdserver: permission denied");
    /// Nobody leads.
    pub const NO_LEADER: Self = Self::new(Code::Unavailable, "etcdserver: no leader");
    /// Only a leader can do that.
    pub const NOT_LEADER: Self = Self::new(Code::FailedPrecondition, "etcdserver: not leader");
    /// It took too long.
    pub const TIMED_OUT: Self = Self::new(Code::Unavailable, "etcdserver: request timed out");
    /// It may or may not have been done.
    pub const OUTCOME_UNKNOWN: Self = Self::new(
        Code::Unavailable,
        "etcdserver: request timed out, possibly due to previous leader failure",
    );
    /// Too much is waiting.
    pub const TOO_MANY_REQUESTS: Self =
        Self::new(Code::ResourceExhausted, "etcdserver: too many requests");
    /// More than one command may have.
    pub const TOO_LARGE: Self =
        Self::new(Code::InvalidArgument, "etcdserver: request is too large");
    /// The disk is full.
    pub const NO_SPACE: Self = Self::new(
        Code::ResourceExhausted,
        "etcdserver: mvcc: database space exceeded",
    );
    /// The server ends.
    pub const STOPPED: Self = Self::new(Code::Unavailable, "etcdserver: server stopped");
    /// The store cannot be read; why is in the server's log.
    pub const STORAGE: Self = Self::new(Code::Internal, "etcdserver: storage cannot be read");
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal.code {
            ErrorCode::Compacted => Self::COMPACTED,
            ErrorCode::FutureRevision => Self::FUTURE_REVISION,
            ErrorCode::DuplicateKey => Self::DUPLICATE_KEY,
            ErrorCode::LeaseNotFound => Self::LEASE_NOT_FOUND,
            ErrorCode::LeaseExists => Self::LEASE_EXISTS,
            ErrorCode::KeyNotFound => Self::KEY_NOT_FOUND,
            ErrorCode::InvalidField => Self::of(
                Code::InvalidArgument,
                format!("etcdserver: {}", refusal.cause),
            ),
            _ => Self::of(Code::Unknown, format!("etcdserver: {refusal}")),
        }
    }
}
