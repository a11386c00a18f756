//! Users and roles: refusals in the words of etcd 3.4.23, asked for once, and who may do what.
//!
//! Passwords are only carried along.
use std::collections::BTreeSet;

use bytes::Bytes;
use kv_model::auth::{Access, AuthChange, Pattern, Permission, Role, Subject, User};
use kv_model::command::KeyRange;
use kv_model::memory_tables::MemoryTables;
use kv_model::{Command, ErrorCode, query};

use crate::fixture::{apply, between, must, refused, revision, single};

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|&name| name.to_owned()).collect()
}

fn create_user(name: &str, roles: &[&str]) -> AuthChange {
    AuthChange::CreateUser(User {
        name: name.to_owned(),
        password_hash: "hash".to_owned(),
        roles: names(roles),
    })
}

fn change_user(name: &str, grant: &[&str], revoke: &[&str]) -> AuthChange {
    AuthChange::ChangeUser {
        name: name.to_owned(),
        password_hash: None,
        grant: names(grant),
        revoke: names(revoke),
    }
}

/// Patterns as v2 writes them.
fn permissions(access: Access, patterns: &[&str]) -> Vec<Permission> {
    let pattern = |text: &&str| match text.strip_suffix('*') {
        Some(prefix) => Pattern::Prefix(prefix.to_owned()),
        None => Pattern::Path((*text).to_owned()),
    };
    let permission = |text| Permission {
        access,
        pattern: pattern(text),
    };
    patterns.iter().map(permission).collect()
}

fn both(read: &[&str], write: &[&str]) -> Vec<Permission> {
    [
        permissions(Access::Read, read),
        permissions(Access::Write, write),
    ]
    .concat()
}

fn create_role(name: &str, permissions: Vec<Permission>) -> AuthChange {
    let name = name.to_owned();
    AuthChange::CreateRole(Role { name, permissions })
}

fn change_role(name: &str, grant: Vec<Permission>, revoke: Vec<Permission>) -> AuthChange {
    let name = name.to_owned();
    AuthChange::ChangeRole {
        name,
        grant,
        revoke,
    }
}

fn done(tables: &mut MemoryTables, change: AuthChange) {
    let before = revision(tables);
    must(tables, &Command::Auth(change));
    assert_eq!(revision(tables), before + 1);
}

fn refusal(tables: &mut MemoryTables, change: AuthChange) -> (ErrorCode, String) {
    refused(apply(tables, &Command::Auth(change)).outcome)
}

/// User `u` with role `r`, both as the requests to etcd made them.
fn tables() -> MemoryTables {
    let mut tables = MemoryTables::default();
    done(&mut tables, create_user("u", &["r"]));
    done(&mut tables, create_role("r", both(&["/z", "/a*"], &["/w"])));
    tables
}

fn enabled() -> MemoryTables {
    let mut tables = tables();
    done(&mut tables, create_user("root", &[]));
    done(&mut tables, AuthChange::Enable);
    tables
}

fn assert_refused<const N: usize>(cases: [(AuthChange, ErrorCode, &str); N]) {
    let mut tables = tables();
    for (change, code, text) in cases {
        assert_eq!(refusal(&mut tables, change), (code, text.to_owned()));
    }
}

#[test]
fn refusals_about_users_are_etcds() {
    use ErrorCode::{AuthConflict, AuthInvalid, AuthNotFound};
    let name = str::to_owned;
    assert_refused([
        (
            AuthChange::Enable,
            AuthConflict,
            "auth: No root user available, please create one",
        ),
        (AuthChange::Disable, AuthConflict, "auth: already disabled"),
        (
            AuthChange::DeleteUser(name("x")),
            AuthNotFound,
            "auth: User x does not exist",
        ),
        (
            change_user("x", &["r"], &[]),
            AuthNotFound,
            "auth: User x does not exist.",
        ),
        (
            create_user("u", &["r"]),
            AuthConflict,
            "auth: User u already exists.",
        ),
        (
            change_user("u", &["r"], &[]),
            AuthConflict,
            "auth: Granting duplicate role r for user u",
        ),
        (
            change_user("u", &[], &["q"]),
            AuthConflict,
            "auth: Revoking ungranted role q for user u",
        ),
        (
            change_user("u", &["q"], &["q"]),
            AuthInvalid,
            "auth: User not updated. Use grant/revoke/password to update the user.",
        ),
    ]);
}

#[test]
fn refusals_about_roles_are_etcds() {
    use ErrorCode::{AuthConflict, AuthForbidden, AuthNotFound};
    let name = str::to_owned;
    let read = |patterns: &[&str]| permissions(Access::Read, patterns);
    let write = |patterns: &[&str]| permissions(Access::Write, patterns);
    let root_role = "auth: Cannot modify role root: is root role.";
    assert_refused([
        (create_role("root", vec![]), AuthForbidden, root_role),
        (
            AuthChange::DeleteRole(name("root")),
            AuthForbidden,
            root_role,
        ),
        (
            change_role("root", read(&["/x"]), vec![]),
            AuthForbidden,
            root_role,
        ),
        (
            AuthChange::DeleteRole(name("x")),
            AuthNotFound,
            "auth: Role x doesn't exist.",
        ),
        (
            change_role("x", read(&["/x"]), vec![]),
            AuthNotFound,
            "auth: Role x does not exist.",
        ),
        (
            create_role("r", vec![]),
            AuthConflict,
            "auth: Role r already exists.",
        ),
        (
            change_role("r", read(&["/z"]), vec![]),
            AuthConflict,
            "auth: Granting duplicate read permission /z",
        ),
        (
            change_role("r", write(&["/w"]), vec![]),
            AuthConflict,
            "auth: Granting duplicate write permission /w",
        ),
    ]);
}

#[test]
fn a_changed_role_is_in_order_and_a_new_one_as_given() {
    let mut tables = tables();
    let role = |tables: &MemoryTables| query::role(tables, "r").unwrap().unwrap().permissions;
    assert_eq!(role(&tables), both(&["/z", "/a*"], &["/w"]));
    // etcd takes the sorting for a change.
    let nothing = || change_role("r", vec![], permissions(Access::Read, &["/nope"]));
    done(&mut tables, nothing());
    assert_eq!(role(&tables), both(&["/a*", "/z"], &["/w"]));
    let text = "auth: Role not updated. Use grant/revoke to update the role.";
    assert_eq!(
        refusal(&mut tables, nothing()),
        (ErrorCode::AuthInvalid, text.to_owned())
    );
    done(
        &mut tables,
        change_role("r", both(&["/b", "/a"], &[]), vec![]),
    );
    assert_eq!(role(&tables), both(&["/a", "/a*", "/b", "/z"], &["/w"]));
}

#[test]
fn root_and_guest() {
    let mut tables = enabled();
    assert_eq!(
        query::user(&tables, "root").unwrap().unwrap().roles,
        names(&["root"])
    );
    let roles = |tables: &MemoryTables| -> Vec<String> {
        let roles = query::roles(tables).unwrap();
        roles.into_iter().map(|role| role.name).collect()
    };
    assert_eq!(roles(&tables), ["guest", "r", "root"]);
    let everything = both(&["/*"], &["/*"]);
    for name in ["root", "guest"] {
        let role = query::role(&tables, name).unwrap().unwrap();
        assert_eq!(role.permissions, everything);
    }
    let conflict = |text: &str| (ErrorCode::AuthConflict, text.to_owned());
    assert_eq!(
        refusal(&mut tables, AuthChange::Enable),
        conflict("auth: already enabled")
    );
    let text = "auth: Cannot delete root user while auth is enabled.";
    let root = || AuthChange::DeleteUser("root".to_owned());
    assert_eq!(
        refusal(&mut tables, root()),
        (ErrorCode::AuthForbidden, text.to_owned())
    );
    done(&mut tables, AuthChange::DeleteRole("guest".to_owned()));
    assert_eq!(roles(&tables), ["r", "root"]);
    assert!(!query::may(&tables, None, Access::Read, &Subject::Path("/a".to_owned())).unwrap());
    done(&mut tables, AuthChange::Disable);
    done(&mut tables, root());
    let users = query::users(&tables).unwrap();
    assert_eq!(
        users.into_iter().map(|user| user.name).collect::<Vec<_>>(),
        ["u"]
    );
}

#[test]
fn a_guest_role_of_ones_own_is_kept() {
    let mut tables = tables();
    let own = permissions(Access::Read, &["/a"]);
    done(&mut tables, create_role("guest", own.clone()));
    done(&mut tables, create_user("root", &[]));
    done(&mut tables, AuthChange::Enable);
    assert_eq!(
        query::role(&tables, "guest").unwrap().unwrap().permissions,
        own
    );
}

#[test]
fn a_removed_role_is_taken_from_its_users() {
    let mut tables = tables();
    done(&mut tables, AuthChange::DeleteRole("r".to_owned()));
    assert!(query::user(&tables, "u").unwrap().unwrap().roles.is_empty());
    done(&mut tables, create_role("r", vec![]));
    assert!(query::user(&tables, "u").unwrap().unwrap().roles.is_empty());
}

#[test]
fn a_new_password_is_a_change() {
    let mut tables = tables();
    let password_hash = Some("other".to_owned());
    let change = AuthChange::ChangeUser {
        name: "u".to_owned(),
        password_hash,
        grant: names(&["q"]),
        revoke: names(&["r"]),
    };
    done(&mut tables, change);
    let user = query::user(&tables, "u").unwrap().unwrap();
    assert_eq!(
        (user.password_hash.as_str(), user.roles),
        ("other", names(&["q"]))
    );
}

#[test]
fn patterns_of_v2() {
    let mut tables = enabled();
    done(
        &mut tables,
        change_role(
            "guest",
            permissions(Access::Read, &["/g"]),
            both(&["/*"], &["/*"]),
        ),
    );
    let path = |path: &str| Subject::Path(path.to_owned());
    let tree = |path: &str| Subject::Tree(path.to_owned());
    let cases = [
        (Some("u"), Access::Read, path("/a"), true),
        (Some("u"), Access::Read, path("/abc/d"), true),
        (Some("u"), Access::Read, tree("/abc"), true),
        (Some("u"), Access::Read, tree("/a"), true),
        (Some("u"), Access::Read, path("/z"), true),
        (Some("u"), Access::Read, path("/z/y"), false),
        (Some("u"), Access::Read, tree("/z"), false),
        (Some("u"), Access::Read, path("/w"), false),
        (Some("u"), Access::Read, tree("/"), false),
        (Some("u"), Access::Write, path("/w"), true),
        (Some("u"), Access::Write, path("/a"), false),
        (Some("root"), Access::Write, tree("/"), true),
        (Some("nobody"), Access::Read, path("/a"), false),
        (None, Access::Read, path("/g"), true),
        // etcd lets a guest: the pattern is not looked at as a whole there.
        (None, Access::Read, tree("/g"), false),
        (None, Access::Write, path("/g"), false),
    ];
    for (user, access, subject, expected) in cases {
        let may = query::may(&tables, user, access, &subject).unwrap();
        assert_eq!(may, expected, "{user:?} {access:?} {subject:?}");
    }
    done(&mut tables, AuthChange::Disable);
    assert!(query::may(&tables, None, Access::Write, &tree("/")).unwrap());
}

#[test]
fn a_prefix_of_all_paths_lets_list_the_root() {
    let tables = enabled();
    let root = Subject::Tree("/".to_owned());
    assert!(query::may(&tables, None, Access::Read, &root).unwrap());
    // But not every key of v3.
    let all = Subject::Keys(KeyRange::From(Bytes::new()));
    assert!(!query::may(&tables, None, Access::Read, &all).unwrap());
    assert!(query::may(&tables, Some("root"), Access::Read, &all).unwrap());
}

#[test]
fn ranges_of_v3() {
    let mut tables = enabled();
    let range = |from: &'static str, to: Option<&'static str>| Permission {
        access: Access::Write,
        pattern: Pattern::Range(from.into(), to.map(Bytes::from)),
    };
    let grant = vec![
        range("b", Some("d")),
        range("d", Some("f")),
        range("x", None),
    ];
    done(&mut tables, change_role("r", grant, vec![]));
    let from = |from: &'static str| KeyRange::From(from.into());
    let cases = [
        (single("b"), true),
        (single("a"), false),
        (between("b", "f"), true),
        (between("c", "e"), true),
        (between("c", "g"), false),
        (from("x"), true),
        (from("e"), false),
        (single("/w"), true),
        (single("/w0"), false),
    ];
    for (keys, expected) in cases {
        let subject = Subject::Keys(keys);
        let may = query::may(&tables, Some("u"), Access::Write, &subject).unwrap();
        assert_eq!(may, expected, "{subject:?}");
    }
}
