//! Users, roles and tokens: etcdctl driven against kvd and against etcd, and what tokens are worth.

use anyhow::{Context, Result, ensure};
use etcd_client::{Client, ConnectOptions, Permission, PermissionType, UserAddOptions};

use super::etcdctl::{Etcdctl, compare};
use crate::raw_http::Connection;
use crate::server::Server;

#[test]
fn users_and_roles_are_managed_as_with_etcd() -> Result<()> {
    compare(&[
        (&["auth", "disable"], ""),
        (&["auth", "enable"], ""),
        (&["user", "add", "root:r"], ""),
        (&["user", "add", "root:r"], ""),
        (&["user", "add", "ann:a"], ""),
        (&["user", "add", "cn", "--no-password"], ""),
        (&["user", "list"], ""),
        (&["user", "get", "ann"], ""),
        (&["user", "get", "nobody"], ""),
        (&["user", "delete", "nobody"], ""),
        (&["user", "delete", "cn"], ""),
        (&["user", "passwd", "ann", "--interactive=false"], "b\n"),
        (&["user", "passwd", "nobody", "--interactive=false"], "b\n"),
        (&["role", "add", "root"], ""),
        (&["role", "add", "r"], ""),
        (&["role", "add", "r"], ""),
        (&["role", "list"], ""),
        (&["role", "get", "nothing"], ""),
        (&["role", "delete", "nothing"], ""),
        (&["role", "grant-permission", "nothing", "read", "k"], ""),
        (
            &["role", "grant-permission", "r", "readwrite", "a", "b"],
            "",
        ),
        (&["role", "grant-permission", "r", "read", "a", "b"], ""),
        (&["role", "grant-permission", "r", "write", "one"], ""),
        (
            &["role", "grant-permission", "r", "read", "/p/", "--prefix"],
            "",
        ),
        (
            &["role", "grant-permission", "r", "read", "x", "--from-key"],
            "",
        ),
        (&["role", "get", "r"], ""),
        (&["role", "revoke-permission", "r", "a"], ""),
        (&["role", "revoke-permission", "r", "a", "b"], ""),
        (&["role", "revoke-permission", "nothing", "a"], ""),
        (&["user", "grant-role", "ann", "nothing"], ""),
        (&["user", "grant-role", "nobody", "r"], ""),
        (&["user", "grant-role", "ann", "r"], ""),
        (&["user", "grant-role", "ann", "r"], ""),
        (&["user", "get", "ann", "--detail"], ""),
        (&["user", "revoke-role", "ann", "nothing"], ""),
        (&["user", "revoke-role", "nobody", "r"], ""),
        (&["user", "revoke-role", "ann", "r"], ""),
        (&["user", "grant-role", "root", "root"], ""),
    ])
}

#[test]
fn what_users_may_is_what_they_may_with_etcd() -> Result<()> {
    let (root, ann) = ("--user=root:r", "--user=ann:a");
    compare(&[
        (&["user", "add", "root:r"], ""),
        (&["user", "add", "ann:a"], ""),
        (&["role", "add", "root"], ""),
        (&["role", "add", "r"], ""),
        (
            &["role", "grant-permission", "r", "readwrite", "a", "c"],
            "",
        ),
        (&["role", "grant-permission", "r", "read", "seen"], ""),
        (&["user", "grant-role", "ann", "r"], ""),
        (&["user", "grant-role", "root", "root"], ""),
        (&["put", "seen", "1"], ""),
        (&["put", "unseen", "1"], ""),
        (&["auth", "enable"], ""),
        (&["get", "seen"], ""),
        (&["put", "seen", "2"], ""),
        (&["user", "list"], ""),
        (&["auth", "enable"], ""),
        (&["member", "remove", "1"], ""),
        (&["get", "seen", "--user=ann:wrong"], ""),
        (&["get", "seen", "--user=nobody:a"], ""),
        (&["get", "seen", ann], ""),
        (&["get", "unseen", ann], ""),
        (&["get", "", "--prefix", ann], ""),
        (&["get", "a", "c", ann], ""),
        (&["get", "a", "d", ann], ""),
        (&["put", "a", "1", ann], ""),
        (&["put", "b", "1", "--prev-kv", ann], ""),
        (&["put", "seen", "2", ann], ""),
        (&["put", "unseen", "2", "--prev-kv", ann], ""),
        (&["del", "a", ann], ""),
        (&["del", "seen", ann], ""),
        (&["del", "", "--prefix", ann], ""),
        (&["txn", ann], "\nput a 1\nget seen\n\nput b 1\n\n"),
        (&["txn", ann], "\nput a 1\n\nput unseen 1\n\n"),
        (&["txn", ann], "value(\"unseen\") = \"1\"\n\nput a 1\n\n\n"),
        (&["user", "list", ann], ""),
        (&["user", "get", "ann", ann], ""),
        (&["user", "get", "root", ann], ""),
        (&["role", "get", "r", ann], ""),
        (&["role", "list", ann], ""),
        (&["user", "add", "eve:e", ann], ""),
        (&["auth", "disable", ann], ""),
        (&["member", "remove", "1", ann], ""),
        (&["member", "remove", "1", root], ""),
        (&["user", "delete", "root", root], ""),
        (&["role", "delete", "root", root], ""),
        (&["user", "revoke-role", "root", "root", root], ""),
        (&["role", "revoke-permission", "r", "seen", root], ""),
        (&["get", "seen", ann], ""),
        (&["role", "delete", "r", root], ""),
        (&["get", "a", ann], ""),
        (&["get", "unseen", root], ""),
        (
            &["user", "passwd", "ann", "--interactive=false", root],
            "z\n",
        ),
        (&["get", "a", ann], ""),
        (&["user", "delete", "ann", root], ""),
        (&["get", "a", "--user=ann:z"], ""),
        (&["auth", "disable", root], ""),
        (&["get", "unseen"], ""),
    ])
}

/// A user whose token the client keeps.
async fn user(server: &Server, name: &str, password: &str) -> Result<Client> {
    let options = ConnectOptions::new().with_user(name, password);
    let client = Client::connect([server.address.to_string()], Some(options)).await;
    Ok(client?)
}

async fn with_ann(server: &Server) -> Result<Client> {
    let mut client = Client::connect([server.address.to_string()], None).await?;
    client.user_add("root", "r", None).await?;
    client.user_add("ann", "a", None).await?;
    client.role_add("r").await?;
    let permission = Permission::new(PermissionType::Readwrite, "/a").with_prefix();
    client.role_grant_permission("r", permission).await?;
    client.user_grant_role("ann", "r").await?;
    client.auth_enable().await?;
    user(server, "root", "r").await
}

fn fails<T>(result: Result<T, etcd_client::Error>, text: &str) -> Result<()> {
    let error = result.err().context("it succeeds")?.to_string();
    ensure!(error.contains(text), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_token_is_worth_what_its_user_may_now() -> Result<()> {
    let server = Server::kvd()?;
    let mut root = with_ann(&server).await?;
    let mut ann = user(&server, "ann", "a").await?;
    ann.put("/a/k", "v", None).await?;
    root.user_revoke_role("ann", "r").await?;
    fails(ann.put("/a/k", "w", None).await, "permission denied")?;
    root.user_grant_role("ann", "r").await?;
    ann.put("/a/k", "w", None).await?;
    root.user_change_password("ann", "b").await?;
    fails(ann.put("/a/k", "x", None).await, "invalid auth token")?;
    let mut ann = user(&server, "ann", "b").await?;
    ann.put("/a/k", "x", None).await?;
    root.user_delete("ann").await?;
    fails(ann.get("/a/k", None).await, "invalid auth token")?;
    // A new one of that name does not inherit it.
    root.user_add("ann", "b", None).await?;
    root.user_grant_role("ann", "r").await?;
    fails(ann.get("/a/k", None).await, "invalid auth token")
}

#[tokio::test]
async fn a_lease_is_not_taken_from_those_whose_keys_hang_on_it() -> Result<()> {
    let server = Server::kvd()?;
    let mut root = with_ann(&server).await?;
    let lease = root.lease_grant(60, None).await?.id();
    let hang = || Some(etcd_client::PutOptions::new().with_lease(lease));
    let mut ann = user(&server, "ann", "a").await?;
    ann.put("/a/k", "v", hang()).await?;
    root.put("/b", "v", hang()).await?;
    let denied = "permission denied";
    fails(ann.put("/a/l", "v", hang()).await, denied)?;
    fails(ann.lease_revoke(lease).await, denied)?;
    let keys = etcd_client::LeaseTimeToLiveOptions::new().with_keys();
    fails(ann.lease_time_to_live(lease, Some(keys)).await, denied)?;
    ann.lease_time_to_live(lease, None).await?;
    root.lease_revoke(lease).await?;
    ensure!(ann.get("/a/k", None).await?.kvs().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_stream_from_before_users_mattered_shows_nothing_more() -> Result<()> {
    let server = Server::kvd()?;
    let mut client = Client::connect([server.address.to_string()], None).await?;
    let mut stream = client.watch("/a/k", None).await?;
    let created = stream.message().await?.context("the stream ended")?;
    ensure!(created.created() && !created.canceled(), "{created:?}");
    let mut root = with_ann(&server).await?;
    stream.watch("/b", None).await?;
    let refused = stream.message().await?.context("the stream ended")?;
    let reason = refused.cancel_reason();
    ensure!(refused.canceled() && reason.contains("user name is empty"));
    // What was allowed goes on, as with etcd.
    root.put("/a/k", "v", None).await?;
    let told = stream.message().await?.context("the stream ended")?;
    ensure!(told.events().len() == 1, "{told:?}");
    Ok(())
}

#[tokio::test]
async fn users_are_the_same_in_both_protocols() -> Result<()> {
    let server = Server::kvd()?;
    let mut root = with_ann(&server).await?;
    let no_password = UserAddOptions::new().with_no_pwd();
    root.user_add("cn", "", Some(no_password)).await?;
    let mut v2 = Connection::open(server.address)?;
    let mut ask = |who: &str, request: &str| -> Result<(u16, String)> {
        let head = format!("{request} HTTP/1.1\r\nHost: test\r\n{who}\r\n");
        v2.send(head.as_bytes())?;
        let head = v2.read_head()?;
        let body = v2.read_body(&head, false)?;
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    };
    // ann:a, root:r and cn: in base64.
    let [ann, root_of_v2, cn] =
        ["YW5uOmE=", "cm9vdDpy", "Y246"].map(|text| format!("Authorization: Basic {text}\r\n"));
    ensure!(ask(&ann, "PUT /v2/keys/a/k?value=v")?.0 == 201);
    ensure!(ask(&ann, "PUT /v2/keys/b?value=v")?.0 == 401);
    // Enabled by v3: those who say no name get nothing.
    ensure!(ask("", "GET /v2/keys/a/k")?.0 == 401);
    ensure!(ask(&cn, "GET /v2/keys/a/k")?.0 == 401);
    let (status, users) = ask(&root_of_v2, "GET /v2/auth/users/ann")?;
    ensure!(status == 200 && users.contains("\"r\""), "{users}");
    let (status, _) = ask(&root_of_v2, "DELETE /v2/auth/users/ann")?;
    ensure!(status == 200, "{status}");
    fails(root.user_get("ann").await, "user name not found")
}

#[test]
fn etcdctl_enables_by_itself_what_it_does_with_etcd() -> Result<()> {
    let server = Server::kvd()?;
    let etcdctl = Etcdctl::new(&server)?;
    for (words, wanted) in [
        (&["user", "add", "root:r"][..], "User root created"),
        (&["auth", "enable"], "Authentication Enabled"),
        (&["put", "a", "b"], "user name is empty"),
        (&["--user", "root:r", "put", "a", "b"], "OK"),
        (&["--user", "root:r", "user", "get", "root"], "Roles: root"),
        (&["--user", "root:r", "endpoint", "status"], "3.4.23"),
        (&["--user", "root:r", "auth", "disable"], "Disabled"),
        (&["put", "a", "b"], "OK"),
    ] {
        let said = etcdctl.say(words, "")?;
        ensure!(said.contains(wanted), "{words:?}: {said}");
    }
    Ok(())
}
