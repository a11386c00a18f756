//! The past: forgotten by itself, hashed alike by all, saved and restored; and answers that are larger
//! than the memory they are made in.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_client::{
    Client, Compare, CompareOp, Error, GetOptions, KvClient, Txn, TxnOp, WatchOptions,
};

use super::client::Peer;
use crate::server::Server;

const MIB: usize = 1 << 20;
/// What the store holds for the tests of memory.
const LARGE: usize = if cfg!(debug_assertions) { 100 } else { 200 } * MIB;
/// One of its values.
const VALUE: usize = MIB;
/// What an answer may take beside what is there anyway.
const RISE_MAX: u64 = 40 * MIB as u64;

/// Puts a key so often; the last revision.
async fn put_often(peer: &mut Peer, key: &str, times: usize) -> Result<i64> {
    let mut revision = 0;
    for number in 0..times {
        let put = peer.client().put(key, number.to_string(), None).await?;
        revision = put.header().context("no header")?.revision();
    }
    Ok(revision)
}

/// The value that a key had at a revision.
async fn value_at(peer: &mut Peer, key: &str, revision: i64) -> Result<String, Error> {
    let options = GetOptions::new().with_revision(revision);
    let answer = peer.client().get(key, Some(options)).await?;
    let value = answer.kvs().first().map(etcd_client::KeyValue::value);
    Ok(String::from_utf8_lossy(value.unwrap_or_default()).into_owned())
}

/// Waits until a revision is compacted.
async fn until_compacted(peer: &mut Peer, revision: i64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match value_at(peer, "a", revision).await {
            Err(Error::GRpcStatus(status)) if status.message().contains("has been compacted") => {
                return Ok(());
            }
            other => ensure!(Instant::now() < deadline, "not forgotten: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn so_many_revisions_are_kept_as_are_asked_for() -> Result<()> {
    let flags = [
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=10",
    ];
    let server = Server::kvd_with(&flags)?;
    let mut peer = Peer::connect(&server).await?;
    let last = put_often(&mut peer, "a", 30).await?;
    until_compacted(&mut peer, last - 11).await?;
    for back in 0..=10 {
        let value = value_at(&mut peer, "a", last - back).await?;
        ensure!(value == (29 - back).to_string(), "{back}: {value}");
    }
    Ok(())
}

#[tokio::test]
async fn the_past_of_so_long_is_kept_as_is_asked_for() -> Result<()> {
    let server = Server::kvd_with(&["--auto-compaction-retention=3s"])?;
    let mut peer = Peer::connect(&server).await?;
    let begin = Instant::now();
    let last = put_often(&mut peer, "a", 5).await?;
    // Younger than three seconds: it is there.
    ensure!(value_at(&mut peer, "a", last - 1).await? == "3");
    ensure!(begin.elapsed() < Duration::from_secs(3), "too slow to tell");
    until_compacted(&mut peer, last - 1).await?;
    ensure!(begin.elapsed() >= Duration::from_secs(3), "too early");
    ensure!(value_at(&mut peer, "a", last).await? == "4");
    Ok(())
}

#[tokio::test]
async fn what_left_the_window_is_refused_as_compacted() -> Result<()> {
    let server = Server::kvd_with(&["--history-events=80"])?;
    let mut peer = Peer::connect(&server).await?;
    let last = put_often(&mut peer, "a", 60).await?;
    ensure!(value_at(&mut peer, "a", last - 59).await? == "0");
    // The last few thousand are in memory too, and the window moves when the store writes to its disk.
    for _ in 0..4 {
        for _ in 0..16 {
            let puts = (0..100).map(|number| TxnOp::put(format!("b/{number}"), "", None));
            let puts = Txn::new().and_then(puts.collect::<Vec<_>>());
            peer.client().txn(puts).await?;
        }
        put_often(&mut peer, "a", 2).await?;
        tokio::time::sleep(Duration::from_millis(1300)).await;
    }
    until_compacted(&mut peer, last - 59).await?;
    refuse_to_write_beside_it(&mut peer, last - 59).await?;
    let options = WatchOptions::new().with_start_revision(last - 59);
    let mut stream = peer.client().watch("a", Some(options)).await?;
    stream.message().await?.context("no answer")?;
    let refused = stream.message().await?.context("the stream ended")?;
    ensure!(
        refused.canceled() && refused.compact_revision() > last - 59,
        "{refused:?}"
    );
    // From there on it can be watched.
    let options = WatchOptions::new().with_start_revision(refused.compact_revision());
    let mut stream = peer.client().watch("a", Some(options)).await?;
    stream.message().await?.context("no answer")?;
    let told = stream.message().await?.context("the stream ended")?;
    ensure!(!told.canceled() && !told.events().is_empty(), "{told:?}");
    Ok(())
}

/// A transaction that reads what is gone does not write either.
async fn refuse_to_write_beside_it(peer: &mut Peer, revision: i64) -> Result<()> {
    let options = GetOptions::new().with_revision(revision);
    let operations = vec![
        TxnOp::put("beside", "", None),
        TxnOp::get("a", Some(options)),
    ];
    let refused = peer.client().txn(Txn::new().and_then(operations)).await;
    let says = "required revision has been compacted";
    ensure!(refused.is_err_and(|error| error.to_string().contains(says)));
    ensure!(peer.client().get("beside", None).await?.kvs().is_empty());
    Ok(())
}

#[tokio::test]
async fn transactions_that_only_read_are_no_entries_of_the_log() -> Result<()> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let last = put_often(&mut peer, "a", 3).await?;
    let before = peer.client().status().await?.raft_index();
    for back in [0, 1] {
        let options = GetOptions::new().with_revision(last - back);
        let compare = Compare::version("a", CompareOp::Equal, 3);
        let txn = Txn::new().when(vec![compare]);
        let txn = txn.and_then(vec![TxnOp::get("a", Some(options))]);
        let txn = txn.or_else(vec![TxnOp::get("none", None)]);
        let answer = peer.client().txn(txn).await?;
        let text = format!("{answer:?}");
        let value = format!("value: {:?}", (2 - back).to_string().as_bytes());
        ensure!(answer.succeeded() && text.contains(&value), "{text}");
    }
    ensure!(peer.client().status().await?.raft_index() == before);
    put_often(&mut peer, "a", 1).await?;
    ensure!(peer.client().status().await?.raft_index() > before);
    Ok(())
}

fn etcdctl(server: &Server, words: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3");
    command.args(["--endpoints", &server.address.to_string()]);
    let output = command.args(words).output().context("etcdctl")?;
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((output.status.success(), text))
}

/// The hash that etcdctl prints, as of a revision.
fn hash(server: &Server, revision: i64) -> Result<String> {
    let revision = format!("--rev={revision}");
    let (works, text) = etcdctl(server, &["endpoint", "hashkv", &revision])?;
    ensure!(works, "{text}");
    let hash = text.rsplit(", ").next().context("no hash")?;
    Ok(hash.trim().to_owned())
}

#[tokio::test]
async fn equal_keys_have_equal_hashes_at_every_revision() -> Result<()> {
    let servers = [Server::kvd()?, Server::kvd()?];
    let mut told = Vec::new();
    for server in &servers {
        let mut peer = Peer::connect(server).await?;
        let mut revisions = Vec::new();
        for key in ["a", "b", "c"] {
            revisions.push(put_often(&mut peer, key, 3).await?);
        }
        told.push(revisions);
    }
    ensure!(told[0] == told[1], "{told:?}");
    let [first, second, third] = [0, 1, 2].map(|index| told[0][index]);
    let before = hash(&servers[0], second)?;
    ensure!(hash(&servers[0], first)? != before && hash(&servers[0], third)? != before);
    // One of them forgets, and goes on: what a revision was stays what it was.
    let mut peer = Peer::connect(&servers[0]).await?;
    peer.client().compact(second, None).await?;
    put_often(&mut peer, "b", 2).await?;
    ensure!(hash(&servers[0], second)? == before);
    ensure!(hash(&servers[1], second)? == before);
    let (works, text) = etcdctl(&servers[0], &["endpoint", "hashkv", "--rev=1"])?;
    ensure!(!works && text.contains("compacted"), "{text}");
    Ok(())
}

/// Saves a snapshot as users of etcd do.
fn save(server: &Server, file: &Path) -> Result<()> {
    let file = file.to_str().context("no text")?;
    let (works, text) = etcdctl(server, &["snapshot", "save", file])?;
    ensure!(works, "etcdctl snapshot save: {text}");
    Ok(())
}

#[tokio::test]
async fn what_etcdctl_saved_is_restored_with_its_past() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("saved");
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let large = "x".repeat(300_000);
    peer.client().put("large", large.clone(), None).await?;
    let last = put_often(&mut peer, "a", 5).await?;
    save(&server, &file)?;
    let length = std::fs::metadata(&file)?.len();
    ensure!(length % 512 == 32 && length > 300_000, "{length}");
    let restored = Server::kvd_restored(&file)?;
    let mut peer = Peer::connect(&restored).await?;
    ensure!(value_at(&mut peer, "large", 0).await? == large);
    ensure!(value_at(&mut peer, "a", last - 2).await? == "2");
    // What was changed on the way is not taken, wherever it is.
    let whole = std::fs::read(&file)?;
    for place in [100, whole.len() - 40, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        std::fs::write(&file, &changed)?;
        let refused = Server::kvd_restored(&file).err().context("it was taken")?;
        let refused = format!("{refused:#}");
        let says = ["damaged", "after its end"];
        ensure!(says.iter().any(|text| refused.contains(text)), "{refused}");
    }
    std::fs::write(&file, &whole[..whole.len() - 1])?;
    ensure!(Server::kvd_restored(&file).is_err());
    Ok(())
}

/// A store with much in it, served by a process that has done nothing yet.
async fn large() -> Result<Server> {
    let server = Server::kvd()?;
    let mut peer = Peer::connect(&server).await?;
    let value = vec![b'x'; VALUE];
    for number in 0..LARGE / VALUE {
        let key = format!("large/{number:04}");
        peer.client().put(key, value.clone(), None).await?;
    }
    // It writes the last to its disk.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.kvd_restarted()
}

/// The most memory that a server held while something was done, beyond what it held before.
async fn rise<T>(server: &Server, work: impl Future<Output = Result<T>>) -> Result<(u64, T)> {
    let before = server.resident_bytes()?;
    let most = std::cell::Cell::new(before);
    let look = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Ok(now) = server.resident_bytes() {
                most.set(most.get().max(now));
            }
        }
    };
    let done = tokio::select! {
        done = work => done?,
        () = look => unreachable!("it looks for ever"),
    };
    let rise = most.get() - before;
    println!("{} MiB beside {}", rise / MIB as u64, before / MIB as u64);
    Ok((rise, done))
}

/// Reads everything there is, in one answer.
async fn read_all(client: KvClient, options: GetOptions) -> Result<usize> {
    let mut client = client.max_decoding_message_size(usize::MAX);
    let answer = client.get("large/", Some(options.with_prefix())).await?;
    let bytes = answer.kvs().iter().map(|kv| kv.value().len());
    ensure!(answer.count() == i64::try_from(answer.kvs().len())?);
    Ok(bytes.sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_and_watches_take_little_memory_however_large_they_are() -> Result<()> {
    let server = large().await?;
    let mut peer = Peer::connect(&server).await?;
    let order = etcd_client::SortOrder::Descend;
    let sorted = GetOptions::new().with_sort(etcd_client::SortTarget::Mod, order);
    for options in [GetOptions::new(), sorted] {
        let client = peer.client().kv_client();
        let (rise, bytes) = rise(&server, read_all(client, options)).await?;
        ensure!(bytes == LARGE, "{bytes} bytes were read");
        ensure!(rise < RISE_MAX, "reading took {} MiB", rise / MIB as u64);
    }
    // What writing takes anyway.
    put_large(&mut peer, "warm/").await?;
    let watching = Box::pin(watch_slowly(&server, &mut peer));
    let (rise, ()) = rise(&server, watching).await?;
    ensure!(rise < RISE_MAX, "watching took {} MiB", rise / MIB as u64);
    let server = server.kvd_restarted()?;
    let mut peer = Peer::connect(&server).await?;
    let resuming = Box::pin(resume_many(&mut peer));
    let (rise, ()) = self::rise(&server, resuming).await?;
    ensure!(rise < RISE_MAX, "resuming took {} MiB", rise / MIB as u64);
    Ok(())
}

/// Many watchers on one stream that all want the past, and a client that takes little of it.
async fn resume_many(peer: &mut Peer) -> Result<()> {
    const WATCHERS: usize = 400;
    let first = peer.client().get("slow/0000", None).await?;
    let first = first.kvs().first().context("no key")?.mod_revision();
    let options = || {
        let options = WatchOptions::new().with_prefix();
        Some(options.with_start_revision(first))
    };
    let mut stream = peer.client().watch("slow/", options()).await?;
    for _ in 1..WATCHERS {
        stream.watch("slow/", options()).await?;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (mut created, mut told) = (0, std::collections::HashSet::new());
    while created < WATCHERS || told.len() < 20 {
        let message = stream.message().await?.context("the stream ended")?;
        ensure!(!message.canceled(), "{message:?}");
        created += usize::from(message.created());
        told.extend((!message.events().is_empty()).then(|| message.watch_id()));
    }
    Ok(())
}

/// So many values of a quarter of a MiB.
const LARGE_PUTS: usize = 120;

async fn put_large(peer: &mut Peer, prefix: &str) -> Result<()> {
    let value = vec![b'y'; MIB / 4];
    for number in 0..LARGE_PUTS {
        let key = format!("{prefix}{number:04}");
        peer.client().put(key, value.clone(), None).await?;
    }
    Ok(())
}

/// Watchers, each of a client of its own, of which none takes anything while much is written; then
/// they take it all.
async fn watch_slowly(server: &Server, peer: &mut Peer) -> Result<()> {
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect([server.address.to_string()], None).await?;
        let options = WatchOptions::new().with_prefix();
        let mut stream = client.watch("slow/", Some(options)).await?;
        let created = stream.message().await?.context("no answer")?;
        ensure!(created.created());
        streams.push(stream);
    }
    put_large(peer, "slow/").await?;
    for stream in &mut streams {
        let mut next = 0;
        while next < LARGE_PUTS {
            let told = stream.message().await?.context("the stream ended")?;
            ensure!(!told.canceled(), "{told:?}");
            for event in told.events() {
                let key = event.kv().context("no key")?.key();
                ensure!(key == format!("slow/{next:04}").as_bytes(), "{key:?}");
                next += 1;
            }
        }
    }
    Ok(())
}
