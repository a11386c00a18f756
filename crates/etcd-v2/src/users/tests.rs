//! Requests about users and roles read and answered as etcd 3.4.23 did.

use bytes::Bytes;
use kv_model::auth::{Access, AuthChange, Pattern, Permission, Role, User};
use proptest::prelude::{any, proptest};

use super::{
    RoleRequest, Target, UserRequest, parse_role, parse_target, parse_user, write_enabled,
    write_new_role, write_role, write_roles, write_user, write_user_with_roles, write_users,
};

fn permission(access: Access, pattern: Pattern) -> Permission {
    Permission { access, pattern }
}

fn path(path: &str) -> Pattern {
    Pattern::Path(path.to_owned())
}

fn prefix(prefix: &str) -> Pattern {
    Pattern::Prefix(prefix.to_owned())
}

fn role(name: &str, permissions: Vec<Permission>) -> Role {
    let name = name.to_owned();
    Role { name, permissions }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&string| string.to_owned()).collect()
}

#[test]
fn finds_who_is_meant() {
    let named = |name: &str| Ok(Target::Named(name.to_owned()));
    assert_eq!(parse_target(""), Ok(Target::All));
    assert_eq!(parse_target("/"), Ok(Target::All));
    assert_eq!(parse_target("/a"), named("a"));
    assert_eq!(parse_target("/a/"), named("a"));
    let error = parse_target("/s/x").expect_err("it names two");
    assert_eq!((error.status, &*error.message), (400, "Invalid path"));
}

#[test]
fn a_user_is_created_or_changed() {
    let parse = |body: &str| parse_user("a", body.as_bytes()).expect(body);
    let UserRequest::CreateOrChange(user) = parse("{\"user\":\"a\",\"password\":\"p\"} xx") else {
        panic!("it has no roles");
    };
    let hash = || "hash".to_owned();
    let created = user.into_creation(hash()).expect("it has a password");
    let wanted = User {
        name: "a".to_owned(),
        password_hash: hash(),
        roles: [].into(),
    };
    assert_eq!(created, AuthChange::CreateUser(wanted));

    let UserRequest::Create(user) = parse("{\"USER\":\"a\",\"roles\":[\"r\",\"b\"]}") else {
        panic!("it has roles");
    };
    let error = user.into_creation(hash()).expect_err("it has no password");
    let text = "auth: Cannot create user a with an empty password";
    assert_eq!((error.status, &*error.message), (400, text));

    let UserRequest::Change(user) = parse("{\"user\":\"a\",\"grant\":[\"r\"],\"revoke\":[\"s\"]}")
    else {
        panic!("it grants");
    };
    let change = AuthChange::ChangeUser {
        name: "a".to_owned(),
        password_hash: None,
        grant: ["r".to_owned()].into(),
        revoke: ["s".to_owned()].into(),
    };
    assert_eq!(user.into_change(None), change);
}

#[test]
fn the_user_root_has_the_role_root() {
    let body = b"{\"user\":\"root\",\"password\":\"p\"}";
    let Ok(UserRequest::CreateOrChange(mut user)) = parse_user("root", body) else {
        panic!("it has no roles");
    };
    user.attach_root_role();
    user.attach_root_role();
    let answer = write_user("root", user.roles.as_deref());
    assert_eq!(answer, "{\"user\":\"root\",\"roles\":[\"root\"]}\n");
}

#[test]
fn a_role_is_created_or_changed() {
    let body = br#"{"role":"s","permissions":{"kv":{"read":["/a/*"],"write":["/b"]}}}"#;
    let Ok(RoleRequest::Create(document)) = parse_role("s", body) else {
        panic!("it is new");
    };
    let answer = write_new_role(&document);
    assert_eq!(answer, [&body[..], b"\n"].concat());
    let read = permission(Access::Read, prefix("/a/"));
    let write = permission(Access::Write, path("/b"));
    let wanted = role("s", vec![read.clone(), write]);
    assert_eq!(document.into_creation(), AuthChange::CreateRole(wanted));

    let body = br#"{"role":"s","grant":{"kv":{"read":["/a/*"]}},"revoke":null}"#;
    let Ok(RoleRequest::Change(document)) = parse_role("s", body) else {
        panic!("it grants");
    };
    let change = AuthChange::ChangeRole {
        name: "s".to_owned(),
        grant: vec![read],
        revoke: Vec::new(),
    };
    assert_eq!(document.into_change(), change);

    let Ok(RoleRequest::Create(document)) = parse_role("r", b"{\"role\":\"r\"}") else {
        panic!("it is new");
    };
    let json = "{\"role\":\"r\",\"permissions\":{\"kv\":{\"read\":null,\"write\":null}}}\n";
    assert_eq!(write_new_role(&document), json);
}

#[test]
fn refuses_documents_as_etcd_does() {
    let invalid = "Invalid JSON in request body.";
    for (body, text) in [
        ("", invalid),
        ("{", invalid),
        ("[]", invalid),
        ("{\"user\":5}", invalid),
        ("{\"user\":\"a\",\"roles\":\"r\"}", invalid),
        ("{}", "User JSON name does not match the name in the URL"),
        ("null", "User JSON name does not match the name in the URL"),
        (
            "{\"user\":\"a\",\"revoke\":[\"r\"],\"roles\":[\"x\"]}",
            "User JSON contains both roles and grant/revoke",
        ),
    ] {
        let error = parse_user("a", body.as_bytes()).expect_err(body);
        assert_eq!((error.status, &*error.message), (400, text), "{body}");
    }
    for (body, text) in [
        ("{\"role\":\"r\",\"grant\":[]}", invalid),
        (
            "{\"role\":\"q\"}",
            "Role JSON name does not match the name in the URL",
        ),
        (
            r#"{"role":"r","grant":{"kv":{"read":["/x"]}},"permissions":{"kv":{"read":["/z"]}}}"#,
            "Role JSON contains both permissions and grant/revoke",
        ),
    ] {
        let error = parse_role("r", body.as_bytes()).expect_err(body);
        assert_eq!((error.status, &*error.message), (400, text), "{body}");
    }
}

#[test]
fn writes_users_and_roles_as_etcd_does() {
    let root = || {
        let both = [Access::Read, Access::Write];
        role("root", both.map(|a| permission(a, prefix("/"))).to_vec())
    };
    let root_json = r#"{"role":"root","permissions":{"kv":{"read":["/*"],"write":["/*"]}}}"#;
    let empty = role("r", Vec::new());
    let empty_json = r#"{"role":"r","permissions":{"kv":{"read":null,"write":null}}}"#;
    let one = role("r", vec![permission(Access::Read, path("/x"))]);
    let one_json = r#"{"role":"r","permissions":{"kv":{"read":["/x"],"write":[]}}}"#;
    assert_eq!(write_role(&one), format!("{one_json}\n"));
    assert_eq!(
        write_roles(&[empty, root()]),
        format!("{{\"roles\":[{empty_json},{root_json}]}}\n")
    );
    assert_eq!(write_user("a", None), "{\"user\":\"a\",\"roles\":null}\n");
    assert_eq!(
        write_user("a", Some(&[])),
        "{\"user\":\"a\",\"roles\":[]}\n"
    );
    let roles = strings(&["r", "a"]);
    let json = "{\"user\":\"b\",\"roles\":[\"r\",\"a\"]}\n";
    assert_eq!(write_user("b", Some(&roles)), json);
    let user_json = format!("{{\"user\":\"a\",\"roles\":[{one_json}]}}");
    assert_eq!(
        write_user_with_roles("a", std::slice::from_ref(&one)),
        format!("{user_json}\n")
    );
    assert_eq!(write_users(&[]), "{\"users\":null}\n");
    let users = [("a".to_owned(), vec![one]), ("b".to_owned(), Vec::new())];
    assert_eq!(
        write_users(&users),
        format!("{{\"users\":[{user_json},{{\"user\":\"b\"}}]}}\n")
    );
    assert_eq!(write_enabled(false), "{\"enabled\":false}\n");
}

#[test]
fn shows_what_v2_can_say_of_permissions_of_v3() {
    let range = |from: &'static str, to: &'static str| {
        let to = (!to.is_empty()).then(|| Bytes::from_static(to.as_bytes()));
        permission(
            Access::Read,
            Pattern::Range(Bytes::from_static(from.as_bytes()), to),
        )
    };
    let ranges = [("/z", "/z\0"), ("/a/", "/a0"), ("/b", "/d"), ("/c", "")];
    let of_v3 = role("r", ranges.map(|(from, to)| range(from, to)).to_vec());
    let json =
        "{\"role\":\"r\",\"permissions\":{\"kv\":{\"read\":[\"/a/*\",\"/z\"],\"write\":[]}}}\n";
    assert_eq!(write_role(&of_v3), json);
}

proptest! {
    #[test]
    fn never_panics(name in ".{0,4}", body in any::<Vec<u8>>(), text in "[{}\\[\\]\":,a-z]{0,30}") {
        for body in [&body[..], text.as_bytes()] {
            drop(parse_user(&name, body));
            drop(parse_role(&name, body));
        }
        drop(parse_target(&name));
    }
}
