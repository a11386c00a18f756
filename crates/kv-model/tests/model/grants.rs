//! Users and roles as v3 changes them, and commands that only somebody allowed may have carried out.
//!
//! What v2 does with them is in [`crate::auth`].
use std::collections::BTreeSet;

use kv_model::auth::{Access, AuthChange, Pattern, Role, Subject, User};
use kv_model::command::KeyRange;
use kv_model::memory_tables::MemoryTables;
use kv_model::{Command, ErrorCode, Revision, query};

use crate::fixture::{apply, must, refused, revision, set};

fn done(tables: &mut MemoryTables, change: AuthChange) {
    must(tables, &Command::Auth(change));
}

fn refusal(tables: &mut MemoryTables, change: AuthChange) -> ErrorCode {
    let before = revision(tables);
    let (code, _) = refused(apply(tables, &Command::Auth(change)).outcome);
    assert_eq!(revision(tables), before);
    code
}

fn create_user(name: &str) -> AuthChange {
    AuthChange::CreateUser(User {
        name: name.to_owned(),
        password_hash: String::new(),
        roles: BTreeSet::new(),
    })
}

fn grant_role(user: &str, role: &str) -> AuthChange {
    AuthChange::GrantRole {
        user: user.to_owned(),
        role: role.to_owned(),
    }
}

fn revoke_role(user: &str, role: &str) -> AuthChange {
    AuthChange::RevokeRole {
        user: user.to_owned(),
        role: role.to_owned(),
    }
}

fn grant(role: &str, keys: Pattern, access: &[Access]) -> AuthChange {
    AuthChange::GrantPermission {
        role: role.to_owned(),
        keys,
        access: access.iter().copied().collect(),
    }
}

fn revoke(role: &str, keys: Pattern) -> AuthChange {
    let role = role.to_owned();
    AuthChange::RevokePermission { role, keys }
}

fn tables() -> MemoryTables {
    let mut tables = MemoryTables::default();
    for name in ["root", "u"] {
        done(&mut tables, create_user(name));
    }
    let (name, permissions) = ("r".to_owned(), Vec::new());
    done(
        &mut tables,
        AuthChange::CreateRole(Role { name, permissions }),
    );
    tables
}

fn may(tables: &MemoryTables, access: Access, key: &'static str) -> bool {
    let subject = Subject::Keys(KeyRange::Single(key.into()));
    query::may(tables, Some("u"), access, &subject).unwrap()
}

#[test]
fn only_roles_that_exist_are_given_and_only_given_ones_taken() {
    let mut tables = tables();
    for (change, code) in [
        (grant_role("x", "r"), ErrorCode::AuthNotFound),
        (grant_role("u", "x"), ErrorCode::AuthRoleNotFound),
        (revoke_role("x", "r"), ErrorCode::AuthNotFound),
        (revoke_role("u", "r"), ErrorCode::AuthNotGranted),
        (revoke_role("root", "root"), ErrorCode::AuthForbidden),
    ] {
        assert_eq!(refusal(&mut tables, change), code);
    }
    done(&mut tables, grant_role("u", "r"));
    let before = revision(&tables);
    done(&mut tables, grant_role("u", "r"));
    assert_eq!(revision(&tables), before, "nothing has changed");
    done(&mut tables, revoke_role("u", "r"));
    assert!(query::user(&tables, "u").unwrap().unwrap().roles.is_empty());
}

#[test]
fn a_permission_replaces_the_one_of_the_same_keys() {
    let mut tables = tables();
    done(&mut tables, grant_role("u", "r"));
    done(&mut tables, AuthChange::EnableForUsers);
    let one = || Pattern::single("a".into());
    let many = || Pattern::Range("a".into(), Some("c".into()));
    done(
        &mut tables,
        grant("r", one(), &[Access::Read, Access::Write]),
    );
    assert!(may(&tables, Access::Read, "a") && may(&tables, Access::Write, "a"));
    assert!(!may(&tables, Access::Read, "b"));
    done(&mut tables, grant("r", many(), &[Access::Read]));
    done(&mut tables, grant("r", one(), &[Access::Write]));
    assert!(may(&tables, Access::Read, "b") && may(&tables, Access::Write, "a"));
    done(&mut tables, revoke("r", many()));
    assert!(!may(&tables, Access::Read, "a") && may(&tables, Access::Write, "a"));
    assert_eq!(
        refusal(&mut tables, revoke("r", many())),
        ErrorCode::AuthNotGranted
    );
    for change in [grant("x", one(), &[]), revoke("x", one())] {
        assert_eq!(refusal(&mut tables, change), ErrorCode::AuthRoleNotFound);
    }
    let root = refusal(&mut tables, grant("root", one(), &[]));
    assert_eq!(root, ErrorCode::AuthForbidden);
}

#[test]
fn what_v2_gave_v3_takes() {
    let mut tables = tables();
    let role = Role {
        name: "of-v2".to_owned(),
        permissions: vec![kv_model::auth::Permission {
            access: Access::Read,
            pattern: Pattern::Prefix("/a".to_owned()),
        }],
    };
    done(&mut tables, AuthChange::CreateRole(role));
    let keys = Pattern::Range("/a".into(), Some("/b".into()));
    done(&mut tables, revoke("of-v2", keys));
    let role = query::role(&tables, "of-v2").unwrap().unwrap();
    assert_eq!(role.permissions, []);
}

#[test]
fn enabling_by_v3_lets_no_guests_in() {
    let mut tables = tables();
    done(&mut tables, AuthChange::EnableForUsers);
    let path = Subject::Path("/a".to_owned());
    assert!(!query::may(&tables, None, Access::Read, &path).unwrap());
    let since = query::auth_enabled_since(&tables).unwrap();
    assert_eq!(since, Some(Revision(revision(&tables))));
    let again = refusal(&mut tables, AuthChange::EnableForUsers);
    assert_eq!(again, ErrorCode::AuthConflict);
    done(&mut tables, AuthChange::Disable);
    assert_eq!(query::auth_enabled_since(&tables).unwrap(), None);
}

#[test]
fn what_was_permitted_under_other_users_is_refused() {
    let mut tables = tables();
    let as_of = query::auth_revision(&tables).unwrap();
    assert_eq!(as_of, Revision(revision(&tables)));
    let permitted = |as_of| Command::Permitted {
        as_of,
        command: Box::new(set("/a", "b")),
    };
    must(&mut tables, &permitted(as_of));
    // A key is no user.
    must(&mut tables, &permitted(as_of));
    done(&mut tables, grant_role("u", "r"));
    let before = revision(&tables);
    let (code, _) = refused(apply(&mut tables, &permitted(as_of)).outcome);
    assert_eq!((code, revision(&tables)), (ErrorCode::AuthChanged, before));
    must(&mut tables, &permitted(Revision(before)));
}
