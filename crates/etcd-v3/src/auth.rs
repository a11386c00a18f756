//! Users and roles as the service `Auth` writes them.
//!
//! Who may change them, and whether a password is right, is decided elsewhere.
use std::collections::BTreeSet;

use bytes::Bytes;
use kv_model::auth::{Access, AuthChange, Pattern, ROOT, Role, User};
use kv_model::{ErrorCode, Refusal};

use crate::proto::authpb::Permission;
use crate::proto::authpb::permission::Type;
use crate::proto::etcdserverpb::{AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest};
use crate::status::Status;

/// The end of a range that has none.
const NO_END: &[u8] = b"\0";

/// What a change is about, which decides what its refusal is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A user.
    User,
    /// A role.
    Role,
    /// What a user has of roles.
    RoleOfUser,
    /// What a role has of permissions.
    Permission,
}

/// A new user; without a hash, one whom only a certificate lets in.
pub fn user_add(name: String, password_hash: Option<String>) -> AuthChange {
    AuthChange::CreateUser(User {
        name,
        password_hash: password_hash.unwrap_or_default(),
        roles: BTreeSet::new(),
    })
}

/// Another password.
pub fn password_change(name: String, hash: String) -> AuthChange {
    AuthChange::ChangeUser {
        name,
        password_hash: Some(hash),
        grant: BTreeSet::new(),
        revoke: BTreeSet::new(),
    }
}

/// A new role that allows nothing yet.
pub fn role_add(name: String) -> AuthChange {
    let permissions = Vec::new();
    AuthChange::CreateRole(Role { name, permissions })
}

/// What a role shall allow.
pub fn permission_grant(request: AuthRoleGrantPermissionRequest) -> Result<AuthChange, Status> {
    let permission = request.perm.ok_or(Status::PERMISSION_NOT_GIVEN)?;
    let access = match permission.perm_type() {
        Type::Read => [Access::Read].into(),
        Type::Write => [Access::Write].into(),
        Type::Readwrite => [Access::Read, Access::Write].into(),
    };
    Ok(AuthChange::GrantPermission {
        role: request.name,
        keys: pattern(permission.key, permission.range_end),
        access,
    })
}

/// What a role shall not allow any more.
pub fn permission_revoke(request: AuthRoleRevokePermissionRequest) -> AuthChange {
    AuthChange::RevokePermission {
        role: request.role,
        keys: pattern(request.key, request.range_end),
    }
}

/// Unlike those of a read, a permission's keys may be none at all.
fn pattern(key: Bytes, range_end: Bytes) -> Pattern {
    match &range_end[..] {
        b"" => Pattern::single(key),
        NO_END => Pattern::Range(key, None),
        _ => Pattern::Range(key, Some(range_end)),
    }
}

/// All that a role allows, by key. The role `root` allows everything and has no list, as in etcd.
pub fn permissions(role: &Role) -> Vec<Permission> {
    if role.name == ROOT {
        return Vec::new();
    }
    let mut shown: Vec<((Bytes, Option<Bytes>), Type)> = Vec::new();
    for permission in &role.permissions {
        let range = permission.pattern.range();
        let access = match permission.access {
            Access::Read => Type::Read,
            Access::Write => Type::Write,
        };
        match shown.iter_mut().find(|(known, _)| *known == range) {
            Some((_, known)) if *known != access => *known = Type::Readwrite,
            Some(_) => {}
            None => shown.push((range, access)),
        }
    }
    shown.sort_by(|(one, _), (other, _)| one.cmp(other));
    let permission = |((key, end), access): ((Bytes, Option<Bytes>), Type)| Permission {
        perm_type: access.into(),
        range_end: match end {
            None => Bytes::from_static(NO_END),
            Some(end) if Pattern::single(key.clone()).range().1.as_ref() == Some(&end) => {
                Bytes::new()
            }
            Some(end) => end,
        },
        key,
    };
    shown.into_iter().map(permission).collect()
}

/// Why a change was refused, as etcd calls it.
pub fn refused(refusal: Refusal, about: About) -> Status {
    match (refusal.code, about) {
        (ErrorCode::AuthNotFound, About::User | About::RoleOfUser) => Status::USER_NOT_FOUND,
        (ErrorCode::AuthNotFound | ErrorCode::AuthRoleNotFound, _) => Status::ROLE_NOT_FOUND,
        (ErrorCode::AuthConflict, About::User) => Status::USER_EXISTS,
        (ErrorCode::AuthConflict, _) => Status::ROLE_EXISTS,
        (ErrorCode::AuthInvalid, About::User) => Status::USER_EMPTY,
        (ErrorCode::AuthInvalid, _) => Status::ROLE_EMPTY,
        (ErrorCode::AuthNotGranted, About::Permission) => Status::PERMISSION_NOT_GRANTED,
        (ErrorCode::AuthNotGranted, _) => Status::ROLE_NOT_GRANTED,
        (ErrorCode::AuthForbidden, _) => Status::INVALID_MANAGEMENT,
        (_, _) => refusal.into(),
    }
}

#[cfg(test)]
mod tests {
    use kv_model::auth::Permission as Allowed;

    use super::*;

    fn shown(permissions: Vec<(Access, Pattern)>) -> Vec<(Type, &'static str, Vec<u8>)> {
        let permissions = permissions.into_iter();
        let role = Role {
            name: "r".to_owned(),
            permissions: permissions
                .map(|(access, pattern)| Allowed { access, pattern })
                .collect(),
        };
        let shown = super::permissions(&role).into_iter();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().leak() as &str;
        shown
            .map(|one| (one.perm_type(), text(&one.key), one.range_end.to_vec()))
            .collect()
    }

    #[test]
    fn permissions_are_shown_by_key_whichever_protocol_gave_them() {
        let of_v3 = |key: &'static str, end: &'static str| pattern(key.into(), end.into());
        let permissions = vec![
            (Access::Read, Pattern::Prefix("/p".to_owned())),
            (Access::Read, of_v3("b", "")),
            (Access::Read, of_v3("a", "\0")),
            (Access::Write, Pattern::Path("/p".to_owned())),
            (Access::Write, of_v3("b", "")),
            (Access::Write, of_v3("a", "c")),
        ];
        let wanted = [
            (Type::Write, "/p", vec![]),
            (Type::Read, "/p", b"/q".to_vec()),
            (Type::Read, "a", b"\0".to_vec()),
            (Type::Write, "a", b"c".to_vec()),
            (Type::Readwrite, "b", vec![]),
        ];
        let mut shown = shown(permissions);
        shown.sort_by(|one, other| (one.1, &one.2).cmp(&(other.1, &other.2)));
        assert_eq!(shown, wanted);
    }

    #[test]
    fn roots_role_has_no_list() {
        let role = Role {
            name: ROOT.to_owned(),
            permissions: vec![Allowed {
                access: Access::Read,
                pattern: Pattern::Prefix("/".to_owned()),
            }],
        };
        assert_eq!(super::permissions(&role), []);
    }
}
