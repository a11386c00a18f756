//! The kinds of refusal: etcd v2's numbered errors, and those of v3 that v2 has no number for.
//!
//! Status codes of HTTP and gRPC are not here.
use serde::{Deserialize, Serialize};

/// A kind of refusal. The text is etcd's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum ErrorCode {
    /// 100.
    #[error("Key not found")]
    KeyNotFound,
    /// 101.
    #[error("Compare failed")]
    CompareFailed,
    /// 102.
    #[error("Not a file")]
    NotAFile,
    /// 104.
    #[error("Not a directory")]
    NotADirectory,
    /// 105.
    #[error("Key already exists")]
    KeyAlreadyExists,
    /// 107.
    #[error("Root is read only")]
    RootReadOnly,
    /// 108.
    #[error("Directory not empty")]
    DirectoryNotEmpty,
    /// 110.
    #[error("The request requires user authentication")]
    Unauthorized,
    /// 201.
    #[error("PrevValue is Required in POST form")]
    PreviousValueRequired,
    /// 202.
    #[error("The given TTL in POST form is not a number")]
    TtlNotANumber,
    /// 203.
    #[error("The given index in POST form is not a number")]
    IndexNotANumber,
    /// 209.
    #[error("Invalid field")]
    InvalidField,
    /// 210.
    #[error("Invalid POST form")]
    InvalidForm,
    /// 211.
    #[error("Value provided on refresh")]
    RefreshWithValue,
    /// 212.
    #[error("A TTL must be provided on refresh")]
    RefreshWithoutTtl,
    /// 300.
    #[error("Raft Internal Error")]
    RaftInternal,
    /// 301.
    #[error("During Leader Election")]
    LeaderElection,
    /// 401.
    #[error("The event in requested index is outdated and cleared")]
    EventCleared,
    /// v3: the lease does not exist.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// v3: the lease exists already.
    #[error("lease already exists")]
    LeaseExists,
    /// v3: the history of that revision was forgotten.
    #[error("required revision has been compacted")]
    Compacted,
    /// v3: there is no such revision yet.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// v3: one transaction writes a key twice.
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// Users and roles: it does not exist.
    #[error("not found")]
    AuthNotFound,
    /// Users and roles: it exists already, or is so already.
    #[error("already exists")]
    AuthConflict,
    /// Users and roles: it cannot be so.
    #[error("bad request")]
    AuthInvalid,
    /// Users and roles: root and its role are fixed.
    #[error("forbidden")]
    AuthForbidden,
    /// Users and roles, v3: the role to be given does not exist.
    #[error("role not found")]
    AuthRoleNotFound,
    /// Users and roles, v3: what is to be taken away was not given.
    #[error("not granted")]
    AuthNotGranted,
    /// Users and roles are not as they were when somebody was found to be allowed.
    #[error("users or roles have changed")]
    AuthChanged,
}

impl ErrorCode {
    /// etcd v2's number, if it has one.
    pub const fn v2_number(self) -> Option<u16> {
        Some(match self {
            Self::KeyNotFound => 100,
            Self::CompareFailed => 101,
            Self::NotAFile => 102,
            Self::NotADirectory => 104,
            Self::KeyAlreadyExists => 105,
            Self::RootReadOnly => 107,
            Self::DirectoryNotEmpty => 108,
            Self::Unauthorized => 110,
            Self::PreviousValueRequired => 201,
            Self::TtlNotANumber => 202,
            Self::IndexNotANumber => 203,
            Self::InvalidField => 209,
            Self::InvalidForm => 210,
            Self::RefreshWithValue => 211,
            Self::RefreshWithoutTtl => 212,
            Self::RaftInternal => 300,
            Self::LeaderElection => 301,
            Self::EventCleared => 401,
            _ => return None,
        })
    }
}
