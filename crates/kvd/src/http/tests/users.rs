//! Users and roles, and what they may do.
use super::client::{Client, Reply};
use super::{Fixture, HttpOptions};

const JSON: &str = "application/json";
/// root:secret
const ROOT: &str = "Authorization: Basic cm9vdDpzZWNyZXQ=\r\n";
/// root:wrong
const WRONG: &str = "Authorization: Basic cm9vdDp3cm9uZw==\r\n";
/// u:pass
const USER: &str = "Authorization: Basic dTpwYXNz\r\n";

async fn with(client: &mut Client, user: &str, method: &str, path: &str, body: &str) -> Reply {
    let form = if body.starts_with('{') {
        "Content-Type: application/json\r\n"
    } else {
        "Content-Type: application/x-www-form-urlencoded\r\n"
    };
    client
        .with_headers(method, path, &format!("{form}{user}"), body)
        .await
}

/// A server where users matter: root, and u, who may read and write below /u/.
async fn guarded() -> (Fixture, Client) {
    let fixture = Fixture::with_options(HttpOptions {
        client_cert_auth: true,
        ..HttpOptions::default()
    });
    let mut client = fixture.client();
    let root = r#"{"user":"root","password":"secret"}"#;
    let put = client.request("PUT", "/v2/auth/users/root", JSON, root);
    let put = put.await;
    assert_eq!(put.status, 201);
    assert_eq!(put.text(), "{\"user\":\"root\",\"roles\":[\"root\"]}\n");
    let role = r#"{"role":"r","permissions":{"kv":{"read":["/u/*"],"write":["/u/*"]}}}"#;
    let put = client.request("PUT", "/v2/auth/roles/r", JSON, role).await;
    assert_eq!(put.status, 201, "{}", put.text());
    let user = r#"{"user":"u","password":"pass","roles":["r"]}"#;
    let put = client.request("PUT", "/v2/auth/users/u", JSON, user).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let enabled = client.form("PUT", "/v2/auth/enable", "").await;
    assert_eq!((enabled.status, enabled.text()), (200, ""));
    let guest = r#"{"role":"guest","revoke":{"kv":{"read":[],"write":["/*"]}}}"#;
    let put = with(&mut client, ROOT, "PUT", "/v2/auth/roles/guest", guest).await;
    assert_eq!(put.status, 200, "{}", put.text());
    (fixture, client)
}

#[tokio::test]
async fn everybody_may_only_do_what_their_roles_allow() {
    let (_fixture, mut client) = guarded().await;
    let cases = [
        (ROOT, "PUT", "/v2/keys/x", "value=1", 201),
        (ROOT, "GET", "/v2/keys/?recursive=true", "", 200),
        (WRONG, "GET", "/v2/keys/x", "", 401),
        (USER, "GET", "/v2/keys/x", "", 401),
        (USER, "PUT", "/v2/keys/u/a", "value=1", 201),
        (USER, "DELETE", "/v2/keys/u/a", "", 200),
        (
            USER,
            "GET",
            "/v2/keys/u?wait=true&recursive=true&waitIndex=1",
            "",
            401,
        ),
        ("", "GET", "/v2/keys/x", "", 200),
        ("", "PUT", "/v2/keys/x", "value=2", 401),
        ("Authorization: Basic !\r\n", "GET", "/v2/keys/x", "", 401),
        ("Authorization: Bearer x\r\n", "GET", "/v2/keys/x", "", 401),
    ];
    for (user, method, path, body, status) in cases {
        let reply = with(&mut client, user, method, path, body).await;
        assert_eq!(
            reply.status,
            status,
            "{user} {method} {path}: {}",
            reply.text()
        );
        if status == 401 {
            let json = r#"{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}"#;
            assert_eq!(reply.text().trim_end(), json);
            assert_eq!(reply.header("X-Etcd-Cluster-Id"), Some("c1"));
        }
    }
}

#[tokio::test]
async fn a_certificate_names_a_user_unless_a_password_is_given() {
    let (fixture, _) = guarded().await;
    let mut user = fixture.client_with_certificate(Some("u"));
    assert_eq!(
        user.form("PUT", "/v2/keys/u/a", "value=1").await.status,
        201
    );
    assert_eq!(user.form("PUT", "/v2/keys/x", "value=1").await.status, 401);
    let reply = with(&mut user, ROOT, "PUT", "/v2/keys/x", "value=1").await;
    assert_eq!(reply.status, 201);
    let reply = with(&mut user, WRONG, "PUT", "/v2/keys/u/a", "value=1").await;
    assert_eq!(reply.status, 401);
    let mut root = fixture.client_with_certificate(Some("root"));
    assert_eq!(root.get("/v2/auth/users").await.status, 200);
    let mut stranger = fixture.client_with_certificate(Some("stranger"));
    assert_eq!(stranger.get("/v2/keys/x").await.status, 200, "as a guest");
    assert_eq!(stranger.get("/v2/auth/users").await.status, 401);
}

#[tokio::test]
async fn only_root_changes_users_roles_and_members() {
    let (_fixture, mut client) = guarded().await;
    let paths = [
        ("GET", "/v2/auth/users"),
        ("GET", "/v2/auth/users/u"),
        ("GET", "/v2/auth/roles"),
        ("GET", "/v2/auth/roles/r"),
        ("DELETE", "/v2/auth/users/u"),
        ("DELETE", "/v2/auth/enable"),
        ("DELETE", "/v2/members/b2"),
        ("GET", "/kvd/snapshot"),
    ];
    for (method, path) in paths {
        for user in ["", USER, WRONG] {
            let reply = with(&mut client, user, method, path, "").await;
            assert_eq!(reply.status, 401, "{user} {method} {path}");
            assert_eq!(reply.text(), r#"{"message":"Insufficient credentials"}"#);
        }
    }
    let replace = "/kvd/members/a1/replace";
    for user in ["", USER, WRONG] {
        let reply = with(&mut client, user, "POST", replace, "{}").await;
        assert_eq!(reply.status, 401, "{user} {replace}");
    }
    let reply = with(&mut client, ROOT, "POST", replace, "{}").await;
    assert_eq!(reply.status, 400, "it was let in, and names no URL");
    assert_eq!(client.get("/v2/members").await.status, 200);
    let enabled = client.get("/v2/auth/enable").await;
    assert_eq!(enabled.text(), "{\"enabled\":true}\n");
    for (method, path) in paths {
        let reply = with(&mut client, ROOT, method, path, "").await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_changed_password_replaces_the_old_at_once() {
    let (_fixture, mut client) = guarded().await;
    let path = "/v2/keys/u/a";
    let before = with(&mut client, USER, "PUT", path, "value=1").await;
    assert_eq!(before.status, 201);
    let change = r#"{"user":"u","password":"other"}"#;
    let put = with(&mut client, ROOT, "PUT", "/v2/auth/users/u", change).await;
    assert_eq!(
        (put.status, put.text()),
        (200, "{\"user\":\"u\",\"roles\":[\"r\"]}\n")
    );
    let after = with(&mut client, USER, "PUT", path, "value=1").await;
    assert_eq!(after.status, 401);
}

#[tokio::test]
async fn users_and_roles_are_told_as_etcd_tells_them() {
    let fixture = Fixture::new();
    let mut client = fixture.client();
    assert_eq!(
        client.get("/v2/auth/users").await.text(),
        "{\"users\":null}\n"
    );
    let cases = [
        ("PUT", "/v2/auth/enable", "", 409, "No root user available"),
        (
            "DELETE",
            "/v2/auth/enable",
            "",
            409,
            "auth: already disabled",
        ),
        ("PUT", "/v2/auth/users/a", "{", 400, "Invalid JSON"),
        (
            "PUT",
            "/v2/auth/users/a",
            r#"{"user":"b"}"#,
            400,
            "does not match",
        ),
        (
            "PUT",
            "/v2/auth/users/a",
            r#"{"user":"a"}"#,
            400,
            "empty password",
        ),
        (
            "GET",
            "/v2/auth/users/a",
            "",
            404,
            "auth: User a does not exist.",
        ),
        (
            "GET",
            "/v2/auth/roles/a",
            "",
            404,
            "auth: Role a does not exist.",
        ),
        ("GET", "/v2/auth/users/a/b", "", 400, "Invalid path"),
        ("PUT", "/v2/auth/users", "", 405, "Method Not Allowed"),
        ("POST", "/v2/auth/roles/a", "", 405, "Method Not Allowed"),
        ("POST", "/v2/auth/enable", "", 405, "Method Not Allowed"),
    ];
    for (method, path, body, status, text) in cases {
        let reply = client.request(method, path, JSON, body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        assert!(reply.text().contains(text), "{}", reply.text());
    }
}
