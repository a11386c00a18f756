//! Changes of users and roles, refused where etcd v2 refuses and in its words.
//!
//! Each takes a revision, and makes no event. What v3 changes otherwise is in [`grant`].
mod grant;

use std::collections::BTreeSet;

use super::change::Change;
use crate::auth::{Access, AuthChange, GUEST, Pattern, Permission, ROOT, Role, User};
use crate::error_code::ErrorCode;
use crate::outcome::Reply;
use crate::query::Queried;
use crate::record::{auth, setting};
use crate::tables::{Table, TableError};

/// Done, or code and text of the refusal.
type Judged<T> = Result<T, (ErrorCode, String)>;
/// Judged, on storage that may fail.
type Checked<T> = Result<Judged<T>, TableError>;

/// What is to be written.
enum Write {
    Nothing,
    Enable { with_guest: bool },
    Disable,
    User(User),
    NoUser(String),
    Role(Role),
    NoRole(String),
}

pub(super) fn apply(change: &mut Change<'_>, auth_change: &AuthChange) -> Queried<Reply> {
    let write = match check(change, auth_change)? {
        Ok(write) => write,
        Err((code, text)) => return change.refuse(code, format!("auth: {text}")),
    };
    if matches!(write, Write::Nothing) {
        return Ok(Ok(Reply::AuthChanged));
    }
    let revision = change.advance();
    let tables = change.tables_mut();
    setting::set_auth_revision(tables, revision);
    match write {
        Write::Nothing => {}
        Write::Enable { with_guest } => {
            if with_guest {
                auth::put_role(tables, &auth::all_powerful(GUEST));
            }
            setting::set_auth_enabled(tables, Some(revision));
        }
        Write::Disable => setting::set_auth_enabled(tables, None),
        Write::User(user) => auth::put_user(tables, &user),
        Write::NoUser(name) => tables.remove(Table::Users, name.as_bytes()),
        Write::Role(role) => auth::put_role(tables, &role),
        Write::NoRole(name) => {
            tables.remove(Table::Roles, name.as_bytes());
            auth::take_role_from_users(tables, &name)?;
        }
    }
    Ok(Ok(Reply::AuthChanged))
}

// It comes back as every check does, so that callers can return it as it is.
#[allow(clippy::unnecessary_wraps)]
fn refuse<T>(code: ErrorCode, text: impl Into<String>) -> Checked<T> {
    Ok(Err((code, text.into())))
}

fn check(change: &Change<'_>, auth_change: &AuthChange) -> Checked<Write> {
    match auth_change {
        AuthChange::Enable => {
            let with_guest = auth::role(change.tables(), GUEST)?.is_none();
            enable(change, with_guest)
        }
        AuthChange::EnableForUsers => enable(change, false),
        AuthChange::Disable if setting::is_auth_enabled(change.tables())? => Ok(Ok(Write::Disable)),
        AuthChange::Disable => refuse(ErrorCode::AuthConflict, "already disabled"),
        AuthChange::CreateUser(user) => create_user(change, user),
        AuthChange::DeleteUser(name) => delete_user(change, name),
        AuthChange::ChangeUser {
            name,
            password_hash,
            grant,
            revoke,
        } => change_user(change, name, password_hash.as_ref(), grant, revoke),
        AuthChange::CreateRole(role) => create_role(change, role),
        AuthChange::DeleteRole(name) => delete_role(change, name),
        AuthChange::ChangeRole {
            name,
            grant,
            revoke,
        } => change_role(change, name, grant, revoke),
        AuthChange::GrantRole { user, role } => grant::grant_role(change, user, role),
        AuthChange::RevokeRole { user, role } => grant::revoke_role(change, user, role),
        AuthChange::GrantPermission { role, keys, access } => {
            grant::grant_permission(change, role, keys, access)
        }
        AuthChange::RevokePermission { role, keys } => grant::revoke_permission(change, role, keys),
    }
}

fn enable(change: &Change<'_>, with_guest: bool) -> Checked<Write> {
    if setting::is_auth_enabled(change.tables())? {
        return refuse(ErrorCode::AuthConflict, "already enabled");
    }
    if auth::user(change.tables(), ROOT)?.is_none() {
        let text = "No root user available, please create one";
        return refuse(ErrorCode::AuthConflict, text);
    }
    Ok(Ok(Write::Enable { with_guest }))
}

fn create_user(change: &Change<'_>, user: &User) -> Checked<Write> {
    let name = &user.name;
    if name.is_empty() {
        return refuse(ErrorCode::AuthInvalid, "user name is empty");
    }
    if auth::user(change.tables(), name)?.is_some() {
        let text = format!("User {name} already exists.");
        return refuse(ErrorCode::AuthConflict, text);
    }
    let mut user = user.clone();
    if user.name == ROOT {
        user.roles.insert(ROOT.to_owned());
    }
    Ok(Ok(Write::User(user)))
}

fn delete_user(change: &Change<'_>, name: &str) -> Checked<Write> {
    if name == ROOT && setting::is_auth_enabled(change.tables())? {
        let text = "Cannot delete root user while auth is enabled.";
        return refuse(ErrorCode::AuthForbidden, text);
    }
    if auth::user(change.tables(), name)?.is_none() {
        // Without a full stop, other than where a user is read.
        let text = format!("User {name} does not exist");
        return refuse(ErrorCode::AuthNotFound, text);
    }
    Ok(Ok(Write::NoUser(name.to_owned())))
}

fn change_user(
    change: &Change<'_>,
    name: &str,
    password_hash: Option<&String>,
    grant: &BTreeSet<String>,
    revoke: &BTreeSet<String>,
) -> Checked<Write> {
    let Some(old) = auth::user(change.tables(), name)? else {
        let text = format!("User {name} does not exist.");
        return refuse(ErrorCode::AuthNotFound, text);
    };
    let mut user = old.clone();
    if let Some(hash) = password_hash {
        user.password_hash.clone_from(hash);
    }
    for role in grant {
        if !user.roles.insert(role.clone()) {
            let text = format!("Granting duplicate role {role} for user {name}");
            return refuse(ErrorCode::AuthConflict, text);
        }
    }
    for role in revoke {
        if !user.roles.remove(role) {
            let text = format!("Revoking ungranted role {role} for user {name}");
            return refuse(ErrorCode::AuthConflict, text);
        }
    }
    if user == old {
        let text = "User not updated. Use grant/revoke/password to update the user.";
        return refuse(ErrorCode::AuthInvalid, text);
    }
    Ok(Ok(Write::User(user)))
}

/// The role, if it exists and is not root's.
fn changeable_role(change: &Change<'_>, name: &str) -> Checked<Option<Role>> {
    if name == ROOT {
        let text = format!("Cannot modify role {name}: is root role.");
        return refuse(ErrorCode::AuthForbidden, text);
    }
    Ok(Ok(auth::role(change.tables(), name)?))
}

fn create_role(change: &Change<'_>, role: &Role) -> Checked<Write> {
    let name = &role.name;
    if name.is_empty() {
        return refuse(ErrorCode::AuthInvalid, "role name is empty");
    }
    Ok(match changeable_role(change, name)? {
        Err(refused) => Err(refused),
        Ok(None) => Ok(Write::Role(role.clone())),
        Ok(Some(_)) => {
            let text = format!("Role {name} already exists.");
            Err((ErrorCode::AuthConflict, text))
        }
    })
}

fn delete_role(change: &Change<'_>, name: &str) -> Checked<Write> {
    Ok(match changeable_role(change, name)? {
        Err(refused) => Err(refused),
        Ok(Some(_)) => Ok(Write::NoRole(name.to_owned())),
        Ok(None) => {
            let text = format!("Role {name} doesn't exist.");
            Err((ErrorCode::AuthNotFound, text))
        }
    })
}

fn change_role(
    change: &Change<'_>,
    name: &str,
    grant: &[Permission],
    revoke: &[Permission],
) -> Checked<Write> {
    let old = match changeable_role(change, name)? {
        Err(refused) => return Ok(Err(refused)),
        Ok(Some(role)) => role,
        Ok(None) => {
            let text = format!("Role {name} does not exist.");
            return refuse(ErrorCode::AuthNotFound, text);
        }
    };
    let mut permissions: BTreeSet<_> = old.permissions.iter().cloned().collect();
    // etcd looks at all it shall grant for reading before those for writing.
    let mut grant: Vec<_> = grant.iter().collect();
    grant.sort_by_key(|permission| permission.access);
    for permission in grant {
        if !permissions.insert(permission.clone()) {
            let text = duplicate_permission(permission);
            return refuse(ErrorCode::AuthConflict, text);
        }
    }
    // What is to be revoked and was never granted does not trouble etcd.
    for permission in revoke {
        permissions.remove(permission);
    }
    let permissions = sorted(permissions);
    if permissions == old.permissions {
        let text = "Role not updated. Use grant/revoke to update the role.";
        return refuse(ErrorCode::AuthInvalid, text);
    }
    let name = old.name;
    Ok(Ok(Write::Role(Role { name, permissions })))
}

/// In the order in which etcd v2 shows them.
fn sorted(permissions: impl IntoIterator<Item = Permission>) -> Vec<Permission> {
    let mut permissions: Vec<_> = permissions.into_iter().collect();
    permissions.sort_by_key(|permission| (permission.access, text_of(&permission.pattern)));
    permissions
}

fn duplicate_permission(permission: &Permission) -> String {
    let access = match permission.access {
        Access::Read => "read",
        Access::Write => "write",
    };
    let pattern = text_of(&permission.pattern);
    format!("Granting duplicate {access} permission {pattern}")
}

/// A pattern as v2 writes it; a range of v3 by its first key and its last.
fn text_of(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Path(path) => path.clone(),
        Pattern::Prefix(prefix) => format!("{prefix}*"),
        Pattern::Range(from, to) => {
            let to = to.as_deref().unwrap_or_default();
            let (from, to) = (String::from_utf8_lossy(from), String::from_utf8_lossy(to));
            format!("[{from}, {to})")
        }
    }
}
