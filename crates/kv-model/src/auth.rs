//! Users, roles and what they may do: one set for etcd v2 and v3.
//!
//! Passwords come hashed; nothing here can check one.
use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::KeyRange;

/// The user and the role that may do everything.
pub const ROOT: &str = "root";
/// The role of requests without a user.
pub const GUEST: &str = "guest";

/// A change of users, roles, or whether they matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthChange {
    /// Requests need a user who may.
    Enable,
    /// Everybody may do everything.
    Disable,
    /// A new user.
    CreateUser(User),
    /// Removes a user.
    DeleteUser(String),
    /// Changes a user.
    ChangeUser {
        /// Which.
        name: String,
        /// The new password's hash.
        password_hash: Option<String>,
        /// Roles to give.
        grant: BTreeSet<String>,
        /// Roles to take away.
        revoke: BTreeSet<String>,
    },
    /// A new role.
    CreateRole(Role),
    /// Removes a role, from its users too (etcd v2 leaves its name with them).
    DeleteRole(String),
    /// Changes a role.
    ChangeRole {
        /// Which.
        name: String,
        /// Permissions to add.
        grant: Vec<Permission>,
        /// Permissions to remove.
        revoke: Vec<Permission>,
    },
    /// v3: requests need a user who may. Other than by [`AuthChange::Enable`], no role is made for
    /// those without.
    EnableForUsers,
    /// v3: gives a user a role, which must exist. One that the user has is no change.
    GrantRole {
        /// Whom.
        user: String,
        /// Which.
        role: String,
    },
    /// v3: takes a role from a user who has it.
    RevokeRole {
        /// Whom.
        user: String,
        /// Which.
        role: String,
    },
    /// v3: allows a role just this of these keys, whatever of just these it allowed before.
    GrantPermission {
        /// Which.
        role: String,
        /// The keys.
        keys: Pattern,
        /// What may be done.
        access: BTreeSet<Access>,
    },
    /// v3: takes from a role all that it allows of just these keys.
    RevokePermission {
        /// Which.
        role: String,
        /// The keys.
        keys: Pattern,
    },
}

/// Somebody who can be asked for a password, or comes with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name; a certificate's common name.
    pub name: String,
    /// bcrypt's text; empty if only a certificate lets this user in.
    pub password_hash: String,
    /// Names of roles.
    pub roles: BTreeSet<String>,
}

/// A set of permissions with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The name.
    pub name: String,
    /// What it allows.
    pub permissions: Vec<Permission>,
}

/// What a role allows on which keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permission {
    /// What may be done.
    pub access: Access,
    /// The keys.
    pub pattern: Pattern,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Reading and watching.
    Read,
    /// Changing and removing.
    Write,
}

/// The keys of a permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pattern {
    /// v2: this path alone.
    Path(String),
    /// v2: every path that begins so; written with a `*` at the end.
    Prefix(String),
    /// v3: from this key up to the other, exclusive; up to the end without one.
    Range(Bytes, Option<Bytes>),
}

impl Pattern {
    /// Its keys as a range of v3: from one on, to before another if there is one.
    pub fn range(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Path(path) => (path.clone().into(), Some(successor(path.as_bytes()))),
            Self::Prefix(prefix) => (prefix.clone().into(), after_prefix(prefix.as_bytes())),
            Self::Range(from, to) => (from.clone(), to.clone()),
        }
    }

    /// This key of v3 alone.
    pub fn single(key: Bytes) -> Self {
        let end = successor(&key);
        Self::Range(key, Some(end))
    }
}

/// The bytes right after a key in order.
pub(crate) fn successor(key: &[u8]) -> Bytes {
    [key, b"\0"].concat().into()
}

/// The first bytes after all that begin so, if there are any.
fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

/// Keys that somebody wants to use, for [`crate::query`] to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A v2 path.
    Path(String),
    /// A v2 path and all below it.
    Tree(String),
    /// Keys of v3.
    Keys(KeyRange),
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn ends_of_prefixes() {
        assert_eq!(after_prefix(b"/a"), Some("/b".into()));
        assert_eq!(after_prefix(b"a\xff"), Some("b".into()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
