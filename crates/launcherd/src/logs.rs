//! `logs`: what a container wrote, and with `follow` what it writes until it ends.

use std::sync::Arc;

use bytes::Bytes;
use engine_api::frame::{Stream, frame};
use engine_api::human::parse_time;
use engine_api::query::Query;
use engine_api::{ApiError, Record};

use crate::answer::{self, Answer, Pieces};
use crate::engine::Engine;
use crate::hijack::{Format, Output};
use crate::journal::{self, Entry, Range, Reader};

/// What is wanted.
#[derive(Debug, Clone)]
struct Wanted {
    streams: Vec<Stream>,
    timestamps: bool,
    follow: bool,
    range: Range,
    has_terminal: bool,
    format: Format,
}

/// Answers with the entries.
pub(crate) fn logs(engine: &Arc<Engine>, record: Record, query: &Query, is_named: bool) -> Answer {
    let wanted = Wanted::parse(query, record.has_terminal)?;
    let format = Format::of(record.has_terminal);
    let (pieces, response) = answer::streamed(format.content_type(is_named));
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let sent = tokio::select! {
            sent = send(&engine, &record, wanted, &pieces) => sent,
            () = pieces.closed() => return,
        };
        if let Err(error) = sent {
            tracing::warn!("logs of {}: {error:#}", record.name);
        }
    });
    Ok(response)
}

impl Wanted {
    fn parse(query: &Query, has_terminal: bool) -> Result<Self, ApiError> {
        let (output, error) = (query.flag("stdout"), query.flag("stderr"));
        if !output && !error {
            return Err(ApiError::bad_request(
                "Bad parameters: you must choose at least one stream",
            ));
        }
        let time = |name: &str| match query.text(name) {
            None | Some("0") => Ok(None),
            Some(text) => match parse_time(text) {
                Some(time) => Ok(Some(time)),
                None => Err(ApiError::bad_request(format!("{name}={text} is no time"))),
            },
        };
        let tail = match query.text("tail") {
            None | Some("all") => None,
            Some(text) => match text.parse::<i64>() {
                Ok(count) => u64::try_from(count).ok(),
                Err(_) => return Err(ApiError::bad_request(format!("tail={text} is no number"))),
            },
        };
        Ok(Self {
            streams: streams(output, error),
            timestamps: query.flag("timestamps"),
            follow: query.flag("follow"),
            range: Range {
                tail,
                since: time("since")?,
                until: time("until")?,
                after: None,
            },
            has_terminal,
            format: Format::of(has_terminal),
        })
    }

    fn bytes(&self, entry: &Entry) -> Option<Bytes> {
        if !self.streams.contains(&entry.stream) {
            return None;
        }
        let mut line = Vec::new();
        if self.timestamps {
            line.extend_from_slice(format!("{:.9} ", entry.time).as_bytes());
        }
        line.extend_from_slice(&entry.message);
        // As a terminal has it; the journal's lines are without.
        line.extend_from_slice(if self.has_terminal { b"\r\n" } else { b"\n" });
        Some(match self.format {
            Format::Raw => line.into(),
            Format::Multiplexed => frame(entry.stream, &line).into(),
        })
    }
}

/// Sends a client that is attached what was written until now: standard output, standard error, or both.
pub(crate) async fn replay(
    record: &Record,
    (output, error): (bool, bool),
    format: Format,
    client: &mut Output,
) -> anyhow::Result<()> {
    let now = jiff::Timestamp::now();
    let wanted = Wanted {
        streams: streams(output, error),
        timestamps: false,
        follow: false,
        range: Range::default(),
        has_terminal: record.has_terminal,
        format,
    };
    journal::sync().await;
    let mut reader = Reader::open(&record.id, &wanted.range, false)?;
    while let Some(entry) = reader.next().await? {
        if entry.written <= now
            && let Some(bytes) = wanted.bytes(&entry)
            && !client.send(bytes).await
        {
            break;
        }
    }
    Ok(())
}

/// Sends entries, and with `follow` goes on until the container ends.
async fn send(
    engine: &Engine,
    record: &Record,
    mut wanted: Wanted,
    pieces: &Pieces,
) -> anyhow::Result<()> {
    journal::sync().await;
    if !wanted.follow {
        return drain(record, &wanted, pieces).await;
    }
    let mut changes = engine.changes.subscribe();
    let begun = jiff::Timestamp::now();
    let mut reader = Reader::open(&record.id, &wanted.range, true)?;
    loop {
        if !is_alive(engine, record).await {
            break;
        }
        let entry = tokio::select! {
            entry = reader.next() => entry?,
            // Whoever was slow looks again, too.
            _ = changes.recv() => continue,
        };
        let Some(entry) = entry else {
            return Ok(());
        };
        if let Some(bytes) = wanted.bytes(&entry) {
            pieces.send(bytes).await?;
        }
        wanted.range.after = Some(entry.cursor);
    }
    // The rest, which the journal may not have told yet.
    drop(reader);
    journal::sync().await;
    if wanted.range.after.is_some() {
        wanted.range.tail = None;
        wanted.range.since = None;
    } else if wanted.range.tail == Some(0) {
        wanted.range.tail = None;
        wanted.range.since = Some(begun);
    }
    drain(record, &wanted, pieces).await
}

/// Those that are wanted.
fn streams(output: bool, error: bool) -> Vec<Stream> {
    let all = [(Stream::Output, output), (Stream::Error, error)];
    let wanted = all.into_iter().filter(|(_, is_wanted)| *is_wanted);
    wanted.map(|(stream, _)| stream).collect()
}

async fn is_alive(engine: &Engine, record: &Record) -> bool {
    engine.records.get(&record.id).is_some()
        && engine
            .state(record)
            .await
            .is_ok_and(|state| state.is_alive())
}

async fn drain(record: &Record, wanted: &Wanted, pieces: &Pieces) -> anyhow::Result<()> {
    let mut reader = Reader::open(&record.id, &wanted.range, false)?;
    while let Some(entry) = reader.next().await? {
        if let Some(bytes) = wanted.bytes(&entry) {
            pieces.send(bytes).await?;
        }
    }
    Ok(())
}
