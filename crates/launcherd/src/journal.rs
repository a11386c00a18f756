//! What containers wrote, as the journal has it: `journalctl` asked for JSON.
//!
//! The monitor writes an entry for each line, standard output at priority 6 and standard error at 3.

use std::process::Stdio;

use anyhow::Context as _;
use engine_api::frame::Stream;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::records::unit_name;

/// A line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// On which stream.
    pub(crate) stream: Stream,
    /// Without the line feed.
    pub(crate) message: Vec<u8>,
    /// When it was written to the journal.
    pub(crate) time: Timestamp,
    /// When the monitor sent it there.
    pub(crate) written: Timestamp,
    /// Where it stands.
    pub(crate) cursor: String,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// So many of the end; all if none.
    pub(crate) tail: Option<u64>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// After the entry that stands there.
    pub(crate) after: Option<String>,
}

/// Entries that are read.
#[derive(Debug)]
pub(crate) struct Reader {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Reader {
    /// Begins to read; with `follow` it does not end by itself.
    pub(crate) fn open(id: &str, range: &Range, follow: bool) -> anyhow::Result<Self> {
        let mut command = Command::new("journalctl");
        command
            .args(["--output=json", "--all", "--no-pager", "--quiet"])
            .arg("--output-fields=MESSAGE,PRIORITY,_SOURCE_REALTIME_TIMESTAMP")
            .arg(format!("_SYSTEMD_UNIT={}", unit_name(id)))
            // Not what systemd and the launcher say of the unit.
            .arg(format!("CONTAINER_NAME={id}"));
        let tail = range.tail.map_or("all".to_owned(), |tail| tail.to_string());
        command.arg(format!("--lines={tail}"));
        if follow {
            command.arg("--follow");
        }
        let times = [("since", range.since), ("until", range.until)];
        for (name, time) in times {
            if let Some(time) = time {
                command.arg(format!("--{name}=@{}", micros(time)));
            }
        }
        if let Some(cursor) = &range.after {
            command.arg(format!("--after-cursor={cursor}"));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let mut child = command.spawn().context("journalctl")?;
        let output = child.stdout.take().context("journalctl has no output")?;
        Ok(Self {
            lines: BufReader::new(output).lines(),
            _child: child,
        })
    }

    /// The next entry; none at the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        while let Some(line) = self.lines.next_line().await.context("journalctl")? {
            if let Some(entry) = parse(&line) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Seconds with microseconds, as journalctl takes them.
fn micros(time: Timestamp) -> String {
    let all = time.as_microsecond();
    format!(
        "{}.{:06}",
        all.div_euclid(1_000_000),
        all.rem_euclid(1_000_000)
    )
}

/// Has the journal take in what was written until now.
pub(crate) async fn sync() {
    let mut command = Command::new("journalctl");
    command
        .arg("--sync")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Err(error) = command.status().await {
        tracing::warn!("journalctl --sync: {error}");
    }
}

fn parse(line: &str) -> Option<Entry> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| value[name].as_str();
    let micros: i64 = text("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let sent = text("_SOURCE_REALTIME_TIMESTAMP").and_then(|text| text.parse().ok());
    let stream = match text("PRIORITY") {
        Some("3") => Stream::Error,
        _ => Stream::Output,
    };
    let message = match &value["MESSAGE"] {
        Value::String(text) => text.as_bytes().to_vec(),
        // What is no text is written as a list of bytes.
        Value::Array(bytes) => bytes
            .iter()
            .map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()))
            .collect::<Option<_>>()?,
        _ => Vec::new(),
    };
    Some(Entry {
        stream,
        message,
        time: Timestamp::from_microsecond(micros).ok()?,
        written: Timestamp::from_microsecond(sent.unwrap_or(micros)).ok()?,
        cursor: text("__CURSOR")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let line =
            r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1000001","PRIORITY":"3","MESSAGE":"hi"}"#;
        let entry = parse(line).unwrap();
        assert_eq!(
            (entry.stream, entry.message.as_slice()),
            (Stream::Error, &b"hi"[..])
        );
        assert_eq!(entry.time.as_microsecond(), 1_000_001);
        let line = r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"9","_SOURCE_REALTIME_TIMESTAMP":"7","PRIORITY":"6","MESSAGE":[255,0]}"#;
        let later = parse(line).unwrap();
        assert_eq!(later.message, [255, 0]);
        let times = [entry.written, later.time, later.written];
        assert_eq!(times.map(Timestamp::as_microsecond), [1_000_001, 9, 7]);
        assert_eq!(parse("{}"), None);
    }

    #[test]
    fn times_are_seconds_with_six_digits() {
        let time = Timestamp::from_microsecond(1_000_001).unwrap();
        assert_eq!(micros(time), "1.000001");
    }
}
