//! What etcd v3 gives and takes one by one: roles of users, and permissions of roles.
//!
//! It refuses otherwise than v2: a role to be given must exist, and giving twice is no mistake.
use std::collections::BTreeSet;

use super::super::change::Change;
use super::{Checked, Write, changeable_role, refuse, sorted};
use crate::auth::{Access, Pattern, Permission, ROOT, Role, User};
use crate::error_code::ErrorCode;
use crate::record::auth;
use crate::tables::TableError;

fn find_user(change: &Change<'_>, name: &str) -> Result<Option<User>, TableError> {
    auth::user(change.tables(), name)
}

fn user_not_found(name: &str) -> Checked<Write> {
    refuse(
        ErrorCode::AuthNotFound,
        format!("User {name} does not exist."),
    )
}

pub(super) fn grant_role(change: &Change<'_>, name: &str, role: &str) -> Checked<Write> {
    let Some(mut user) = find_user(change, name)? else {
        return user_not_found(name);
    };
    if auth::role(change.tables(), role)?.is_none() {
        let text = format!("Role {role} does not exist.");
        return refuse(ErrorCode::AuthRoleNotFound, text);
    }
    if !user.roles.insert(role.to_owned()) {
        return Ok(Ok(Write::Nothing));
    }
    Ok(Ok(Write::User(user)))
}

pub(super) fn revoke_role(change: &Change<'_>, name: &str, role: &str) -> Checked<Write> {
    let Some(mut user) = find_user(change, name)? else {
        return user_not_found(name);
    };
    if name == ROOT && role == ROOT {
        let text = "The user root always has the role root.";
        return refuse(ErrorCode::AuthForbidden, text);
    }
    if !user.roles.remove(role) {
        let text = format!("Revoking ungranted role {role} for user {name}");
        return refuse(ErrorCode::AuthNotGranted, text);
    }
    Ok(Ok(Write::User(user)))
}

/// What a role allows of other keys than just these; nothing if there is no such role.
fn others(change: &Change<'_>, name: &str, keys: &Pattern) -> Checked<Option<(Role, usize)>> {
    let mut role = match changeable_role(change, name)? {
        Err(refused) => return Ok(Err(refused)),
        Ok(None) => return Ok(Ok(None)),
        Ok(Some(role)) => role,
    };
    let before = role.permissions.len();
    let range = keys.range();
    role.permissions
        .retain(|permission| permission.pattern.range() != range);
    let taken = before - role.permissions.len();
    Ok(Ok(Some((role, taken))))
}

fn role_not_found(name: &str) -> Checked<Write> {
    let text = format!("Role {name} does not exist.");
    refuse(ErrorCode::AuthRoleNotFound, text)
}

pub(super) fn grant_permission(
    change: &Change<'_>,
    name: &str,
    keys: &Pattern,
    access: &BTreeSet<Access>,
) -> Checked<Write> {
    let mut role = match others(change, name, keys)? {
        Err(refused) => return Ok(Err(refused)),
        Ok(None) => return role_not_found(name),
        Ok(Some((role, _))) => role,
    };
    let granted = access.iter().map(|access| Permission {
        access: *access,
        pattern: keys.clone(),
    });
    role.permissions.extend(granted);
    role.permissions = sorted(role.permissions);
    Ok(Ok(Write::Role(role)))
}

pub(super) fn revoke_permission(change: &Change<'_>, name: &str, keys: &Pattern) -> Checked<Write> {
    match others(change, name, keys)? {
        Err(refused) => Ok(Err(refused)),
        Ok(None) => role_not_found(name),
        Ok(Some((_, 0))) => {
            let text = format!("Revoking an ungranted permission of role {name}");
            refuse(ErrorCode::AuthNotGranted, text)
        }
        Ok(Some((role, _))) => Ok(Ok(Write::Role(role))),
    }
}
