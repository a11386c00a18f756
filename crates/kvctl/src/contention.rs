//! `lock` and `elect`: whoever made the oldest key of a directory holds it.
//!
//! Each contender makes an in-order key with a time to live and keeps it alive; a contender that
//! vanishes is forgotten when its key expires. Nobody can be stopped from believing in a lock that
//! has expired: that is what the index is for, which grows with each holder.
use std::process::ExitCode;
use std::time::Duration;

use kv_client::{
    Client, Error, EtcdError, Node, ReadOptions, Start, WatchEvent, WatchOptions, Write,
};
use tokio::process::Command;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::arguments::{ElectArguments, Global, LockArguments};
use crate::failure::Failure;
use crate::signals::{self, Stop};
use crate::{print, session};

/// A place in the queue.
struct Ticket {
    client: Client,
    directory: String,
    key: String,
    /// The index at which the key was made.
    index: u64,
    ttl_seconds: u64,
    taken: Instant,
}

/// Why a place in the queue is gone.
fn lost(key: &str, reason: &str) -> Failure {
    Failure::Lost(format!("{key} is no longer ours: {reason}"))
}

/// What is in a directory, oldest first, and at which index; nothing if there is none.
async fn contenders(client: &Client, directory: &str) -> Result<(Vec<Node>, u64), Error> {
    let options = ReadOptions {
        quorum: true,
        ..ReadOptions::default()
    };
    match client.get(directory, options).await {
        Ok(answer) => {
            let mut nodes = answer.node.nodes;
            nodes.retain(|node| !node.dir);
            nodes.sort_by_key(|node| node.created_index);
            Ok((nodes, answer.index))
        }
        Err(Error::Etcd(error)) if error.code == EtcdError::KEY_NOT_FOUND => {
            Ok((Vec::new(), error.index))
        }
        Err(error) => Err(error),
    }
}

impl Ticket {
    async fn take(
        client: Client,
        directory: &str,
        value: &str,
        ttl_seconds: u64,
    ) -> Result<Self, Failure> {
        let taken = Instant::now();
        let write = Write::create_in_order(directory, value).ttl_seconds(ttl_seconds);
        let answer = client.write(&write).await?;
        Ok(Self {
            client,
            directory: directory.to_owned(),
            key: answer.node.key,
            index: answer.node.created_index,
            ttl_seconds,
            taken,
        })
    }

    /// Waits until nobody is before us.
    async fn wait_turn(&self) -> Result<(), Failure> {
        loop {
            let (nodes, index) = contenders(&self.client, &self.directory).await?;
            let place = nodes.iter().position(|node| node.key == self.key);
            let Some(place) = place else {
                return Err(lost(&self.key, "it was removed or has expired"));
            };
            let Some(before) = place.checked_sub(1) else {
                return Ok(());
            };
            self.wait_removal(&nodes[before].key, index).await?;
        }
    }

    /// Waits until a key is gone, or may be.
    async fn wait_removal(&self, key: &str, after: u64) -> Result<(), Failure> {
        let options = WatchOptions {
            recursive: false,
            start: Start::After(after),
        };
        let mut watcher = self.client.watch(key, options);
        loop {
            match watcher.next().await? {
                WatchEvent::Change(change) if !change.action.is_removal() => {}
                WatchEvent::Change(_) | WatchEvent::Reset { .. } => return Ok(()),
            }
        }
    }

    /// Keeps the key alive; comes back only when it is lost, or may be. Time counts from before a
    /// request was sent, so we never believe longer than the server.
    async fn keep_alive(&self) -> Failure {
        let ttl = Duration::from_secs(self.ttl_seconds);
        let mut renewed = self.taken;
        let mut next = renewed + ttl / 3;
        loop {
            sleep_until(next).await;
            let sent = Instant::now();
            let write = Write::refresh(&self.key, self.ttl_seconds);
            match timeout_at(renewed + ttl, self.client.write(&write)).await {
                Ok(Ok(_)) => {
                    renewed = sent;
                    next = sent + ttl / 3;
                }
                Ok(Err(Error::Etcd(error))) if error.code == EtcdError::KEY_NOT_FOUND => {
                    return lost(&self.key, "it was removed or has expired");
                }
                Ok(Err(error)) if Instant::now() >= renewed + ttl => {
                    return lost(&self.key, &error.to_string());
                }
                Ok(Err(_)) => next = Instant::now() + ttl / 20,
                Err(_) => return lost(&self.key, "it could not be renewed in time"),
            }
        }
    }

    /// Leaves the queue. If that fails, the key expires.
    async fn leave(self) {
        let outcome = self.client.write(&Write::delete(&self.key)).await;
        match outcome {
            Err(Error::Etcd(error)) if error.code == EtcdError::KEY_NOT_FOUND => {}
            Err(error) => eprintln!(
                "{} is not removed, and goes away within {} s: {error}",
                self.key, self.ttl_seconds
            ),
            Ok(_) => {}
        }
    }

    /// Waits for our turn, then does the work as long as the key lives; leaves in any case. The wait
    /// can be stopped; the work minds that by itself.
    async fn hold<F>(self, mut stop: Stop, work: F) -> Result<ExitCode, Failure>
    where
        F: AsyncFnOnce(&Self, &mut Stop) -> Result<ExitCode, Failure>,
    {
        let outcome = {
            let turn = async {
                tokio::select! {
                    waited = self.wait_turn() => waited?,
                    () = stop.wanted() => {
                        return Err(Failure::Lost(format!("stopped before {} was first", self.key)));
                    }
                }
                work(&self, &mut stop).await
            };
            tokio::select! {
                done = turn => done,
                failure = self.keep_alive() => Err(failure),
            }
        };
        self.leave().await;
        outcome
    }
}

/// A name for a directory: never the root.
fn directory(name: &str) -> Result<&str, Failure> {
    if name.trim_matches('/').is_empty() {
        return Err(Failure::Arguments("name required"));
    }
    Ok(name)
}

pub(crate) async fn lock(global: &Global, wanted: &LockArguments) -> Result<ExitCode, Failure> {
    let directory = directory(&wanted.name)?;
    let client = session::open(global).await?;
    let stop = Stop::new()?;
    let value = format!("{} {}", host_name(), std::process::id());
    let ticket = Ticket::take(client, directory, &value, wanted.ttl).await?;
    let Some((program, arguments)) = wanted.command.split_first() else {
        let work =
            async |ticket: &Ticket, stop: &mut Stop| hold_until_stopped(&ticket.key, stop).await;
        return ticket.hold(stop, work).await;
    };
    let work = async |ticket: &Ticket, stop: &mut Stop| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KVCTL_LOCK_KEY", &ticket.key)
            .env("KVCTL_LOCK_INDEX", ticket.index.to_string());
        signals::run_to_its_end(&mut command, program, stop).await
    };
    ticket.hold(stop, work).await
}

async fn hold_until_stopped(text: &str, stop: &mut Stop) -> Result<ExitCode, Failure> {
    print::line(text)?;
    stop.wanted().await;
    Ok(ExitCode::SUCCESS)
}

fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
    read.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

pub(crate) async fn elect(global: &Global, wanted: &ElectArguments) -> Result<ExitCode, Failure> {
    let directory = directory(&wanted.name)?;
    let client = session::open(global).await?;
    let mut stop = Stop::new()?;
    if let Some(value) = &wanted.value {
        let ticket = Ticket::take(client, directory, value, wanted.ttl).await?;
        let work = async |ticket: &Ticket, stop: &mut Stop| {
            hold_until_stopped(&format!("{}\n{value}", ticket.key), stop).await
        };
        return ticket.hold(stop, work).await;
    }
    tokio::select! {
        ended = follow(&client, directory) => ended.map(|()| ExitCode::SUCCESS),
        () = stop.wanted() => Ok(ExitCode::SUCCESS),
    }
}

/// Prints who is elected, now and after each change.
async fn follow(client: &Client, directory: &str) -> Result<(), Failure> {
    let mut shown = None;
    let (mut nodes, index) = contenders(client, directory).await?;
    let options = WatchOptions {
        recursive: true,
        start: Start::After(index),
    };
    let mut watcher = client.watch(directory, options);
    loop {
        if let Some(first) = nodes.first()
            && shown.as_ref() != Some(&first.key)
        {
            print::line(&format!("{}\n{}", first.key, first.value()))?;
            shown = Some(first.key.clone());
        }
        watcher.next().await?;
        nodes = contenders(client, directory).await?.0;
    }
}
