//! `kvctl migrate` from a live etcd into kvd, while somebody writes to the source.
//!
//! What it found equal is checked again here, by the clients' library.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcd_client::{DeleteOptions, GetOptions, LeaseTimeToLiveOptions, PutOptions};
use kv_client::v3::{Client, Leader};
use kv_client::{Client as V2Client, Config, ReadOptions, Write};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;

use crate::server::{Server, program_beside_tests};

const READ: ReadOptions = ReadOptions {
    recursive: true,
    sorted: true,
    quorum: true,
};

fn config(server: &Server) -> Result<Config> {
    let mut config = Config::new([server.address.to_string()])?;
    config.request_timeout = Duration::from_secs(20);
    config.total_timeout = Duration::from_secs(30);
    Ok(config)
}

async fn v3(server: &Server) -> Result<Client> {
    Ok(Client::connect(config(server)?, Leader::Required).await?)
}

fn v2(server: &Server) -> Result<V2Client> {
    Ok(V2Client::new(config(server)?)?)
}

fn migrate(from: &str, source: &Server, target: &Server, flags: &[&str]) -> Result<Command> {
    let mut command = Command::new(program_beside_tests("kvctl")?);
    command
        .args(["--timeout", "20s", "--total-timeout", "30s"])
        .args(["--endpoints", &target.address.to_string(), "migrate"])
        .args([from, &source.address.to_string()])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

fn told(output: &Output) -> String {
    let [out, errors] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{errors}")
}

/// A migration that follows.
struct Following {
    process: Child,
    errors: BufReader<ChildStderr>,
}

impl Following {
    /// Starts it and waits until everything is copied.
    fn start(mut command: Command) -> Result<Self> {
        let mut process = command.spawn()?;
        let errors = process.stderr.take().context("no standard error")?;
        let mut errors = BufReader::new(errors);
        let mut line = String::new();
        while !line.contains("everything is copied") {
            line.clear();
            ensure!(errors.read_line(&mut line)? > 0, "it ended");
        }
        Ok(Self { process, errors })
    }

    /// Tells it to end; what it says must be that both sides are equal.
    fn switch(mut self) -> Result<String> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let mut out = String::new();
        let mut pipe = self.process.stdout.take().context("no standard output")?;
        pipe.read_to_string(&mut out)?;
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors)?;
        let status = self.process.wait()?;
        ensure!(
            status.success() && out.contains("both sides are equal"),
            "{out}{errors}"
        );
        Ok(out)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It has ended if all went well.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

/// Writes and removes until told to end; says how often.
fn writer(client: Client) -> (JoinHandle<Result<u32>>, tokio::sync::oneshot::Sender<()>) {
    let (end, mut ended) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut count = 0_u32;
        while ended.try_recv().is_err() {
            let key = format!("busy/{}", count % 50);
            if count % 7 == 3 {
                client.delete(key, DeleteOptions::new()).await?;
            } else {
                client
                    .put(key, format!("{count}"), PutOptions::new())
                    .await?;
            }
            count += 1;
        }
        Ok(count)
    });
    (task, end)
}

async fn all(client: &Client) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let options = GetOptions::new().with_from_key();
    let found = client.get([0], options).await?;
    let pairs = found.kvs().iter();
    Ok(pairs
        .map(|kv| (kv.key().to_vec(), kv.value().to_vec()))
        .collect())
}

async fn remaining(client: &Client, key: &str) -> Result<i64> {
    let found = client.get(key, GetOptions::new()).await?;
    let lease = found.kvs().first().context("it is not there")?.lease();
    let ask = |mut etcd: etcd_client::Client| async move {
        let options = LeaseTimeToLiveOptions::new();
        etcd.lease_time_to_live(lease, Some(options)).await
    };
    Ok(client.harmless(ask).await?.ttl())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_etcd_3_is_followed_until_the_switch() -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let [source, target] = [v3(&servers[0]).await?, v3(&servers[1]).await?];
    // More than is read at once, and bytes that are no text.
    for number in 0..1200_u32 {
        let key = [b"many/".as_slice(), &number.to_be_bytes()].concat();
        source.put(key, [0xff, 0], PutOptions::new()).await?;
    }
    let kept = source.lease(Duration::from_secs(4)).await?;
    let under = |id| PutOptions::new().with_lease(id);
    source.put("kept", "1", under(kept.id())).await?;
    let grant = |ttl| {
        let source = source.clone();
        async move {
            let ask =
                |mut etcd: etcd_client::Client| async move { etcd.lease_grant(ttl, None).await };
            Ok::<_, anyhow::Error>(source.once(ask).await?.id())
        }
    };
    source.put("long", "1", under(grant(600).await?)).await?;
    source.put("short", "1", under(grant(2).await?)).await?;
    target.put("theirs", "1", PutOptions::new()).await?;
    let (task, end) = writer(source.clone());
    let command = migrate("--from-v3", &servers[0], &servers[1], &[])?;
    let following = Following::start(command)?;
    source.put("late", "1", under(grant(300).await?)).await?;
    // Longer than the kept lease lives by itself, so it must be kept alive in the target too.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let _ended = end.send(());
    let count = task.await??;
    ensure!(count > 50, "only {count} changes");
    let said = tokio::task::spawn_blocking(move || following.switch()).await??;
    ensure!(said.contains("1 keys are in the target only"), "{said}");
    let (mut wanted, got) = (all(&source).await?, all(&target).await?);
    wanted.push((b"theirs".to_vec(), b"1".to_vec()));
    wanted.sort();
    ensure!(wanted == got, "{} keys, not {}", got.len(), wanted.len());
    ensure!(wanted.iter().any(|(key, _)| key == b"kept"));
    ensure!(wanted.iter().all(|(key, _)| key != b"short"));
    for (key, at_most) in [("long", 594), ("late", 300)] {
        let [there, here] = [
            remaining(&source, key).await?,
            remaining(&target, key).await?,
        ];
        ensure!(
            there <= at_most && there.abs_diff(here) <= 2,
            "{key}: {there} s, not {here} s"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_differs_is_not_replaced_unless_told() -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let [source, target] = [v3(&servers[0]).await?, v3(&servers[1]).await?];
    for key in ["a/1", "a/2", "b/1"] {
        source.put(key, "source", PutOptions::new()).await?;
    }
    target.put("a/2", "target", PutOptions::new()).await?;
    target.put("a/3", "target", PutOptions::new()).await?;
    let run = |flags: &[&str]| {
        let mut flags = flags.to_vec();
        flags.extend(["--once", "--prefix", "a/"]);
        anyhow::Ok(migrate("--from-v3", &servers[0], &servers[1], &flags)?.output()?)
    };
    let refused = run(&[])?;
    ensure!(
        !refused.status.success() && told(&refused).contains("a/2 has another value"),
        "{}",
        told(&refused)
    );
    ensure!(target.get("a/2", GetOptions::new()).await?.kvs()[0].value() == b"target");
    let done = run(&["--overwrite"])?;
    ensure!(
        done.status.success() && told(&done).contains("1 keys are in the target only"),
        "{}",
        told(&done)
    );
    let again = run(&[])?;
    ensure!(
        told(&again).contains("copied 0 keys, 2 were there already"),
        "{}",
        told(&again)
    );
    let done = run(&["--delete-others"])?;
    ensure!(done.status.success(), "{}", told(&done));
    let text = |pairs: Vec<(Vec<u8>, Vec<u8>)>| {
        let keys = pairs
            .into_iter()
            .map(|(key, _)| String::from_utf8_lossy(&key).into_owned());
        keys.collect::<Vec<_>>().join(" ")
    };
    let found = text(all(&target).await?);
    ensure!(found == "a/1 a/2", "{found}");
    Ok(())
}

async fn prepare_v2(source: &V2Client) -> Result<()> {
    for write in [
        Write::set("/a/b", "1"),
        Write::set("/a/c", "<2>"),
        Write::set_directory("/a/empty"),
        Write::set_directory("/dying").ttl_seconds(500),
        Write::set("/dying/in", "it"),
        Write::set("/timed", "x").ttl_seconds(400),
        Write::set("/gone/one", "1"),
        Write::set("/_coreos.com/fleet/job/x", "hidden"),
        Write::set("/_own/secret", "hidden"),
    ] {
        source.write(&write).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_etcd_2_is_followed_until_the_switch() -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let [source, target] = [v2(&servers[0])?, v2(&servers[1])?];
    prepare_v2(&source).await?;
    target.write(&Write::set("/gone/theirs", "kept")).await?;
    let flags = [
        "--prefix",
        "/",
        "--hidden",
        "/_own",
        "--hidden",
        "/_coreos.com",
    ];
    let command = migrate("--from-v2", &servers[0], &servers[1], &flags)?;
    let following = Following::start(command)?;
    for number in 0..300 {
        let key = format!("/busy/{}", number % 20);
        source.write(&Write::set(&key, &number.to_string())).await?;
    }
    for write in [
        Write::delete("/gone").recursive(),
        Write::set("/_own/late", "hidden"),
        Write::update_directory("/dying").ttl_seconds(1_000),
        Write::set_directory("/new/directory"),
        Write::set("/timed", "y").ttl_seconds(300),
    ] {
        source.write(&write).await?;
    }
    let said = tokio::task::spawn_blocking(move || following.switch()).await??;
    // The directory and the key in it.
    ensure!(said.contains("2 keys are in the target only"), "{said}");
    for root in ["/_own", "/_coreos.com", "/a", "/busy", "/new"] {
        let [wanted, got] = [source.get(root, READ).await?, target.get(root, READ).await?];
        let list = |answer: &kv_client::Answer| {
            let leaves = answer.node.leaves();
            let leaves = leaves
                .iter()
                .map(|node| format!("{} {:?}", node.key, node.value));
            leaves.collect::<Vec<_>>()
        };
        ensure!(list(&wanted) == list(&got), "{root}: {:?}", list(&got));
    }
    for (path, at_most) in [("/dying", 1_000), ("/timed", 300)] {
        let ttl = target
            .get(path, READ)
            .await?
            .node
            .ttl
            .context("no time to live")?;
        ensure!((at_most - 60..=at_most).contains(&ttl), "{path}: {ttl} s");
    }
    let theirs = target.get("/gone/theirs", READ).await?;
    ensure!(theirs.node.value() == "kept");
    ensure!(target.get("/gone/one", READ).await.is_err());
    Ok(())
}
