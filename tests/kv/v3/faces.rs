//! One store, two faces: what curl writes, etcdctl 3 reads, and the reverse.

use anyhow::{Result, ensure};
use etcd_client::{DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};

use super::client::Peer;
use crate::raw_http::Connection;
use crate::server::Server;

/// A request of v2 and what is answered.
fn v2(connection: &mut Connection, request: &str) -> Result<String> {
    connection.send(format!("{request} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())?;
    let head = connection.read_head()?;
    let body = connection.read_body(&head, false)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn both_protocols_see_the_same_keys() -> Result<()> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let mut connection = Connection::open(server.address)?;
    v2(&mut connection, "PUT /v2/keys/a/b?value=one")?;
    v2(&mut connection, "PUT /v2/keys/a/_hidden?value=two")?;
    v2(&mut connection, "PUT /v2/keys/a/empty?dir=true")?;
    peer.client().put("/a/c", "three", None).await?;
    peer.client().put("no path", "four", None).await?;
    // A directory of v2 is no key; a hidden key is one.
    let all = GetOptions::new().with_all_keys();
    let all = peer.client().get("", Some(all)).await?;
    let keys: Vec<_> = all
        .kvs()
        .iter()
        .map(|kv| String::from_utf8_lossy(kv.key()))
        .collect();
    ensure!(
        keys == ["/a/_hidden", "/a/b", "/a/c", "first", "no path"],
        "{keys:?}"
    );
    let read = v2(&mut connection, "GET /v2/keys/a/c")?;
    ensure!(read.contains(r#""value":"three""#), "{read}");
    let index = all.kvs()[2].mod_revision();
    ensure!(
        read.contains(&format!(r#""modifiedIndex":{index}"#)),
        "{read}"
    );
    // Written by v2, changed by v3: v3 keeps when it was created, v2 creates anew.
    let put = peer
        .client()
        .put("/a/b", "five", Some(PutOptions::new().with_prev_key()));
    let put = put.await?;
    ensure!(
        put.prev_key().is_some_and(|kv| kv.value() == b"one"),
        "{put:?}"
    );
    let kv = peer.client().get("/a/b", None).await?;
    let kv = &kv.kvs()[0];
    ensure!(
        kv.version() == 2 && kv.create_revision() < kv.mod_revision(),
        "{kv:?}"
    );
    let read = v2(&mut connection, "GET /v2/keys/a/b")?;
    let created = format!(r#""createdIndex":{}"#, kv.mod_revision());
    ensure!(read.contains(&created), "{read}");
    // Removed by either, gone for both.
    v2(&mut connection, "DELETE /v2/keys/a/b")?;
    peer.client().delete("/a/c", None).await?;
    ensure!(peer.client().get("/a/b", None).await?.kvs().is_empty());
    let read = v2(&mut connection, "GET /v2/keys/a/c")?;
    ensure!(read.contains(r#""errorCode":100"#), "{read}");
    Ok(())
}

#[tokio::test]
async fn users_of_v2_lock_v3_out() -> Result<()> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let mut connection = Connection::open(server.address)?;
    let user = r#"{"user":"root","password":"secret"}"#;
    let length = user.len();
    connection.send(
        format!(
            "PUT /v2/auth/users/root HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{user}"
        )
        .as_bytes(),
    )?;
    let head = connection.read_head()?;
    ensure!(head.status == 201, "{}", head.status);
    connection.read_body(&head, false)?;
    v2(&mut connection, "PUT /v2/auth/enable")?;
    let refused = "user name is empty";
    let put = peer.client().put("/a", "b", None).await;
    ensure!(put.is_err_and(|error| error.to_string().contains(refused)));
    let get = peer.client().get("/a", None).await;
    ensure!(get.is_err_and(|error| error.to_string().contains(refused)));
    let grant = peer.grant(5, 5).await;
    ensure!(grant.is_err_and(|error| error.to_string().contains(refused)));
    let watch = peer.watch(0, None).await;
    ensure!(watch.is_err());
    Ok(())
}

#[tokio::test]
async fn a_time_to_live_of_v2_ends_for_v3_too() -> Result<()> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let mut watch = peer.watch(0, None).await?;
    let mut connection = Connection::open(server.address)?;
    v2(&mut connection, "PUT /v2/keys/short?value=one&ttl=1")?;
    v2(&mut connection, "PUT /v2/keys/kept?value=one&ttl=1")?;
    let kv = peer.client().get("/short", None).await?;
    ensure!(kv.kvs().first().is_some_and(|kv| kv.lease() == 0), "{kv:?}");
    // Written by v3, it is permanent; under a lease, v2 tells no time to live.
    peer.client().put("/kept", "two", None).await?;
    peer.grant(7, 60).await?;
    let lease = PutOptions::new().with_lease(7);
    peer.client().put("/leased", "three", Some(lease)).await?;
    let read = v2(&mut connection, "GET /v2/keys/leased")?;
    ensure!(read.contains("three") && !read.contains("ttl"), "{read}");
    tokio::time::sleep(std::time::Duration::from_millis(1600)).await;
    ensure!(peer.client().get("/short", None).await?.kvs().is_empty());
    let read = v2(&mut connection, "GET /v2/keys/kept")?;
    ensure!(read.contains("two") && !read.contains("ttl"), "{read}");
    peer.end_watches().await?;
    let told = peer.events(&mut watch).await?.join("\n");
    ensure!(told.matches("Delete").count() == 1, "{told}");
    Ok(())
}

#[tokio::test]
async fn compaction_is_of_v3_alone() -> Result<()> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let mut connection = Connection::open(server.address)?;
    v2(&mut connection, "PUT /v2/keys/a?value=one")?;
    let two = peer.client().put("/a", "two", None).await?;
    let two = two
        .header()
        .map_or(0, etcd_client::ResponseHeader::revision);
    peer.client().put("/a", "three", None).await?;
    let at = |revision| GetOptions::new().with_revision(revision);
    let one = peer.client().get("/a", Some(at(two - 1))).await?;
    ensure!(one.kvs()[0].value() == b"one", "{one:?}");
    peer.client().compact(two, None).await?;
    let refused = peer.client().get("/a", Some(at(two - 1))).await;
    let says = "required revision has been compacted";
    ensure!(refused.is_err_and(|error| error.to_string().contains(says)));
    let read = peer.client().get("/a", Some(at(two))).await?;
    ensure!(read.kvs()[0].value() == b"two", "{read:?}");
    let first = v2(
        &mut connection,
        &format!("GET /v2/keys/a?wait=true&waitIndex={}", two - 1),
    )?;
    ensure!(first.contains(r#""value":"one""#), "{first}");
    Ok(())
}

/// Each key that goes leaves fewer in the directory it implies; to look through what is left after each
/// would take longer than a request may.
#[tokio::test]
async fn very_many_keys_of_a_directory_go_in_one_call() -> Result<()> {
    const KEYS: usize = 60_000;
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let names: Vec<_> = (0..KEYS).map(|number| format!("/d/{number:05}")).collect();
    for names in names.chunks(100) {
        let puts = names.iter().map(|name| TxnOp::put(name.as_str(), "", None));
        let puts = Txn::new().and_then(puts.collect::<Vec<_>>());
        peer.client().txn(puts).await?;
    }
    let all = DeleteOptions::new().with_prefix();
    let gone = peer.client().delete("/d/", Some(all)).await?;
    ensure!(gone.deleted() == i64::try_from(KEYS)?, "{}", gone.deleted());
    // The directory went with its last key.
    let listed = v2(&mut Connection::open(server.address)?, "GET /v2/keys/d")?;
    ensure!(listed.contains(r#""errorCode":100"#), "{listed}");
    Ok(())
}
