//! What clients saw, and what the store says has happened.
//!
//! Nothing is judged here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::client::{exchange, send};
use crate::json::Json;
use crate::raw_http::Connection;

/// A member that is well answers within this, whatever else its machine has to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client asked of a register. Every written value is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A quorum read.
    Read,
    /// An unconditional write.
    Put { value: u64 },
    /// A write if the value is the expected one.
    Swap { expected: u64, value: u64 },
    /// Deletes the key if the value is the expected one.
    Delete { expected: u64 },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The write was made.
    Written { revision: u64 },
    /// The condition did not hold at this index.
    Refused { index: u64 },
    /// The value and its revision at this index, if the key was there.
    Read {
        index: u64,
        found: Option<(u64, u64)>,
    },
    /// Nobody knows.
    Unknown,
    /// No server may answer so.
    Malformed(String),
}

/// An operation with its times, in nanoseconds since the test began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    /// The register.
    pub(crate) key: u64,
    /// What was asked.
    pub(crate) asked: Asked,
    /// Before the request was sent.
    pub(crate) invoked: u64,
    /// After the answer had come.
    pub(crate) returned: u64,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// A change as the store tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The register.
    pub(crate) key: u64,
    /// `None` if it was deleted.
    pub(crate) value: Option<u64>,
    /// The value before.
    pub(crate) before: Option<u64>,
}

/// Changes by their revisions.
pub(crate) type Changes = BTreeMap<u64, Change>;

/// Where registers are.
const FOLDER: &str = "/registers/";

/// Reads an event of a watch; `None` if it is not of a register.
pub(crate) fn read_event(text: &str) -> Result<Option<(u64, Change)>> {
    let (event, _) = Json::read(text).with_context(|| format!("no event: {text}"))?;
    let node = event.field("node").context("an event has no node")?;
    let number = |node: &Json, name| -> Option<u64> {
        let text = node.field(name)?.to_string();
        text.trim_matches('"').parse().ok()
    };
    let key = node
        .field("key")
        .map(ToString::to_string)
        .unwrap_or_default();
    let Some(key) = key.trim_matches('"').strip_prefix(FOLDER) else {
        return Ok(None);
    };
    let revision = number(node, "modifiedIndex").context("an event has no index")?;
    let before = event
        .field("prevNode")
        .and_then(|node| number(node, "value"));
    let change = Change {
        key: key.parse()?,
        value: number(node, "value"),
        before,
    };
    Ok(Some((revision, change)))
}

/// Makes a change that is of no register, to know where now is; its revision.
pub(crate) fn mark(member: SocketAddr) -> Result<u64> {
    let mut connection = Connection::open_within(member, PATIENCE)?;
    let mark = exchange(&mut connection, "PUT", "/v2/keys/mark", "value=mark")?;
    let revision = mark.index.filter(|_| mark.status < 300);
    revision.with_context(|| format!("no mark can be set: {mark:?}"))
}

/// All changes from a revision up to now that a member's history has.
pub(crate) fn changes(member: SocketAddr, from: u64) -> Result<Changes> {
    let end = mark(member)?;
    let mut connection = Connection::open_within(member, PATIENCE)?;
    send(
        &mut connection,
        "GET",
        &format!("/v2/keys/?wait=true&recursive=true&stream=true&waitIndex={from}"),
        "",
    )?;
    let head = connection.read_head()?;
    ensure!(head.status == 200, "the history is gone: {head:?}");
    let mut changes = Changes::new();
    let mut text = String::new();
    let is_end = format!("\"modifiedIndex\":{end},");
    loop {
        let chunk = connection
            .read_chunk(&head)?
            .context("the history breaks off")?;
        text += &String::from_utf8_lossy(&chunk);
        while let Some(at) = text.find('\n') {
            let line: String = text.drain(..=at).collect();
            if let Some((revision, change)) = read_event(&line)? {
                let before = changes.insert(revision, change);
                ensure!(before.is_none(), "revision {revision} stands twice");
            }
            if line.contains(&is_end) {
                return Ok(changes);
            }
        }
    }
}
