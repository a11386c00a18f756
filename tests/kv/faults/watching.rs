//! Clients that watch, and go on elsewhere where they were when a member fails them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::client::{TIMEOUT, send};
use super::cluster::client_address;
use super::gateway;
use super::history::{Change, Changes, read_event};
use crate::raw_http::Connection;

/// After the end is known, so long may it take to see it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a watcher asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One event an answer.
    LongPoll,
    /// Many events an answer, until the connection fails.
    Stream,
    /// As a stream, through v3.
    V3,
}

/// A watcher at work.
pub(crate) struct Watcher {
    /// The last revision to wait for, once it is known.
    end: Arc<AtomicU64>,
    thread: JoinHandle<Result<Vec<(u64, Change)>>>,
}

impl Watcher {
    /// Watches all registers from a revision on, first at one of these members.
    pub(crate) fn start(manner: Manner, members: &[u8], from: u64) -> Self {
        let end = Arc::new(AtomicU64::new(u64::MAX));
        let mut state = Watch {
            manner,
            members: members.iter().copied().map(client_address).collect(),
            next: from,
            seen: Vec::new(),
            end: Arc::clone(&end),
        };
        let thread = std::thread::spawn(move || state.run().map(|()| state.seen));
        Self { end, thread }
    }

    /// Waits until it has seen the last change, and compares what it saw with what has happened.
    pub(crate) fn finish(self, changes: &Changes) -> Result<()> {
        let last = changes
            .last_key_value()
            .map_or(0, |(revision, _)| *revision);
        self.end.store(last, Ordering::Relaxed);
        let seen = self
            .thread
            .join()
            .map_err(|_| anyhow!("a watcher panicked"))??;
        compare(&seen, changes)
    }
}

/// Fails at the first difference: no gap, no duplicate, in order, and each the change it was.
pub(crate) fn compare(seen: &[(u64, Change)], changes: &Changes) -> Result<()> {
    let mut expected = changes.iter();
    for (revision, change) in seen {
        let (next, right) = expected.next().context("more was seen than has happened")?;
        ensure!(
            revision == next && change == right,
            "a watcher saw {change:?} at {revision} where {right:?} at {next} was due"
        );
    }
    ensure!(
        expected.next().is_none(),
        "a watcher did not see everything"
    );
    Ok(())
}

struct Watch {
    manner: Manner,
    members: Vec<SocketAddr>,
    next: u64,
    seen: Vec<(u64, Change)>,
    end: Arc<AtomicU64>,
}

impl Watch {
    fn run(&mut self) -> Result<()> {
        let mut deadline = None;
        let mut member = 0;
        while !self.is_done() {
            if self.end.load(Ordering::Relaxed) != u64::MAX {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                let next = self.next;
                ensure!(
                    Instant::now() < deadline,
                    "a watcher waits for {next} in vain"
                );
            }
            let address = self.members[member % self.members.len()];
            member += 1;
            if let Ok(mut connection) = Connection::open_within(address, TIMEOUT) {
                self.follow(&mut connection)?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.next > self.end.load(Ordering::Relaxed)
    }

    /// Watches until the connection fails or everything was seen.
    fn follow(&mut self, connection: &mut Connection) -> Result<()> {
        while !self.is_done() {
            let stream = self.manner != Manner::LongPoll;
            if self.ask(connection).is_err() {
                return Ok(());
            }
            let Ok(head) = connection.read_head() else {
                return Ok(());
            };
            match head.status {
                200 => {}
                500.. => return Ok(()),
                status => bail!("a watch from {} is refused with {status}", self.next),
            }
            let mut text = String::new();
            loop {
                match connection.read_chunk(&head) {
                    Ok(Some(chunk)) => text += &String::from_utf8_lossy(&chunk),
                    Ok(None) if !stream => break,
                    _ => return self.take(&mut text),
                }
                self.take(&mut text)?;
                if stream && self.is_done() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn ask(&self, connection: &mut Connection) -> Result<()> {
        let from = self.next;
        if self.manner == Manner::V3 {
            let (path, message) = gateway::watch(from);
            return send(connection, "POST", path, &message);
        }
        let stream = self.manner == Manner::Stream;
        let target =
            format!("/v2/keys/registers?wait=true&recursive=true&stream={stream}&waitIndex={from}");
        send(connection, "GET", &target, "")
    }

    fn read(&self, line: &str) -> Result<Vec<(u64, Change)>> {
        if self.manner == Manner::V3 {
            // A stream that ends badly is asked for again elsewhere.
            return Ok(gateway::read_line(line)?.unwrap_or_default());
        }
        let event = read_event(line)?;
        let change = event.with_context(|| format!("not asked for: {line}"))?;
        Ok(vec![change])
    }

    /// Takes the whole events of a text.
    fn take(&mut self, text: &mut String) -> Result<()> {
        while let Some(at) = text.find('\n') {
            let line: String = text.drain(..=at).collect();
            for (revision, change) in self.read(&line)? {
                self.seen.push((revision, change));
                self.next = self.next.max(revision + 1);
            }
        }
        Ok(())
    }
}
