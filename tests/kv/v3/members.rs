//! Changes of the members through v3, and the leadership handed over: a cluster of processes on
//! loopback.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_client::{Client, Error, Member, MemberAddOptions};

use super::etcdctl::Etcdctl;
use crate::server::{Server, free_address};

const PATIENCE: Duration = Duration::from_secs(30);

async fn client(server: &Server) -> Result<Client> {
    Ok(Client::connect([server.address.to_string()], None).await?)
}

fn fails<T>(result: Result<T, Error>, text: &str) -> Result<()> {
    let error = result.err().context("it succeeds")?.to_string();
    ensure!(error.contains(text), "{error}");
    Ok(())
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn find(client: &mut Client, id: u64) -> Result<Member> {
    let members = client.member_list().await?;
    let found = members.members().iter().find(|member| member.id() == id);
    found.cloned().context("it is no member")
}

/// Tries until it works.
async fn in_time<T, F: AsyncFnMut() -> Result<T>>(mut attempt: F) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(_) if Instant::now() < deadline => {}
            result => return result,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn add(
    client: &mut Client,
    name: &str,
    others: &str,
    learner: bool,
) -> Result<(u64, Server)> {
    let peer = free_address()?;
    let options = learner.then(|| MemberAddOptions::new().with_is_learner());
    let added = client.member_add([url(peer)], options).await?;
    let added = added.member().context("no member")?;
    ensure!(added.is_learner() && added.peer_urls() == [url(peer)]);
    if learner {
        // It has not even started.
        fails(
            client.member_promote(added.id()).await,
            "in sync with leader",
        )?;
    }
    let cluster = format!("{others},{name}={}", url(peer));
    Ok((added.id(), Server::kvd_joining(name, peer, &cluster)?))
}

#[tokio::test]
async fn members_come_are_promoted_lead_and_go() -> Result<()> {
    let first = Server::kvd()?;
    let mut client = client(&first).await?;
    let own = client.status().await?.leader();
    let others = format!("default={}", first.peer_url());
    let (second, server) = add(&mut client, "second", &others, true).await?;
    // A learner that was asked for stays one, however well it follows.
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(find(&mut client, second).await?.is_learner());
    in_time(async || Ok(client.member_promote(second).await?)).await?;
    ensure!(!find(&mut client, second).await?.is_learner());
    fails(
        client.member_promote(second).await,
        "can only promote a learner member",
    )?;
    let others = format!("{others},second={}", server.peer_url());
    let (third, third_server) = add(&mut client, "third", &others, false).await?;
    in_time(async || {
        ensure!(!find(&mut client, third).await?.is_learner());
        Ok(())
    })
    .await?;
    refusals(&mut client, &first, third).await?;
    lead(&mut client, &server, own, second).await?;
    tokens(&mut client, &[&first, &server, &third_server]).await?;
    let removed = client.member_remove(third).await?;
    ensure!(removed.members().len() == 2, "{removed:?}");
    ensure!(removed.members().iter().all(|member| member.id() != third));
    fails(client.member_remove(third).await, "member not found")
}

async fn refusals(client: &mut Client, first: &Server, third: u64) -> Result<()> {
    fails(client.member_remove(1).await, "member not found")?;
    fails(client.member_promote(1).await, "member not found")?;
    let taken = vec![first.peer_url()];
    fails(
        client.member_update(third, taken.clone()).await,
        "Peer URLs already exists",
    )?;
    fails(
        client.member_add(taken, None).await,
        "Peer URLs already exists",
    )?;
    fails(
        client
            .member_update(third, vec!["nonsense".to_owned()])
            .await,
        "given member URLs are invalid",
    )?;
    let mut urls = find(client, third).await?.peer_urls().to_vec();
    urls.push("http://127.0.0.1:1".to_owned());
    let updated = client.member_update(third, urls.clone()).await?;
    let updated = updated.members().iter().find(|member| member.id() == third);
    ensure!(updated.context("it is gone")?.peer_urls() == urls);
    Ok(())
}

/// The leadership goes to the second member and back.
async fn lead(client: &mut Client, server: &Server, own: u64, second: u64) -> Result<()> {
    let mut other = Client::connect([server.address.to_string()], None).await?;
    fails(client.move_leader(1).await, "bad leader transferee")?;
    fails(other.move_leader(second).await, "not leader")?;
    client.move_leader(second).await?;
    in_time(async || {
        ensure!(other.status().await?.leader() == second);
        Ok(())
    })
    .await?;
    client.put("led", "by the second", None).await?;
    in_time(async || Ok(other.move_leader(own).await?)).await?;
    let said = Etcdctl::new(server)?.say(&["endpoint", "health"], "")?;
    ensure!(said.contains("is healthy"), "{said}");
    Ok(())
}

/// A token of any member is good at any other at once, and a right that was taken away is gone.
async fn tokens(client: &mut Client, servers: &[&Server]) -> Result<()> {
    use super::gateway::post;
    client.user_add("root", "r", None).await?;
    client.auth_enable().await?;
    let login = r#"{"name":"root","password":"r"}"#;
    for giver in servers {
        let given = post(giver, "/v3/auth/authenticate", login, "")?;
        let token = given.field("token").context("no token")?.to_owned();
        for taker in servers {
            let put = post(taker, "/v3/kv/put", r#"{"key":"YQ=="}"#, &token)?;
            ensure!(put.status == 200, "{put:?}");
        }
    }
    let root = post(servers[0], "/v3/auth/authenticate", login, "")?;
    let root = root.field("token").context("no token")?.to_owned();
    for (round, server) in servers.iter().enumerate() {
        let (name, other) = (format!("u{round}"), servers[(round + 1) % servers.len()]);
        let user = format!(r#"{{"name":"{name}","password":"p"}}"#);
        post(other, "/v3/auth/user/add", &user, &root)?;
        let grant = format!(r#"{{"user":"{name}","role":"root"}}"#);
        let granted = post(other, "/v3/auth/user/grant", &grant, &root)?;
        ensure!(granted.status == 200, "{granted:?}");
        // Known at once where nobody told of the user.
        let given = post(server, "/v3/auth/authenticate", &user, "")?;
        let token = given.field("token").context("no token")?.to_owned();
        let revoke = format!(r#"{{"name":"{name}","role":"root"}}"#);
        let revoked = post(server, "/v3/auth/user/revoke", &revoke, &root)?;
        ensure!(revoked.status == 200, "{revoked:?}");
        let put = post(other, "/v3/kv/put", r#"{"key":"YQ=="}"#, &token)?;
        ensure!(put.status == 403, "{put:?}");
    }
    let disabled = post(servers[0], "/v3/auth/disable", "{}", &root)?;
    ensure!(disabled.status == 200, "{disabled:?}");
    Ok(())
}
