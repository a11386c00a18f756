//! `alarm`, `defrag`, `move-leader` and `snapshot`.
//!
//! A snapshot is in its server's own format: only that server restores it.
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use etcd_client::{AlarmAction, AlarmType, Client as EtcdClient, SnapshotStreaming};
use serde::Serialize;

use crate::backup::finish;
use crate::print;
use crate::v3::arguments::{AlarmCommand, Global, SnapshotCommand};
use crate::v3::endpoint::wanted;
use crate::v3::failure::{Failure, exit_status};
use crate::v3::message::{Done, Header, header_fields, is_zero};
use crate::v3::output::{Report, Style, Text, show};
use crate::v3::session;

#[derive(Debug, Serialize)]
struct Alarms {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alarms: Vec<Alarm>,
}

#[derive(Debug, Serialize)]
struct Alarm {
    #[serde(rename = "memberID", skip_serializing_if = "is_zero")]
    member_id: u64,
    #[serde(skip_serializing_if = "is_zero")]
    alarm: u8,
}

impl Alarm {
    const fn name(&self) -> &'static str {
        match self.alarm {
            0 => "NONE",
            1 => "NOSPACE",
            _ => "CORRUPT",
        }
    }
}

impl Report for Alarms {
    fn simple(&self, _: Style, text: &mut Text) {
        for alarm in &self.alarms {
            let (member, name) = (alarm.member_id, alarm.name());
            text.line(format!("memberID:{member} alarm:{name} "));
        }
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        for alarm in &self.alarms {
            text.line(format!("\"MemberID\" : {}", alarm.member_id));
            text.line(format!("\"AlarmType\" : {}", alarm.name()));
            text.line("");
        }
        true
    }
}

pub(crate) async fn alarm(
    global: &Global,
    style: Style,
    command: AlarmCommand,
) -> Result<(), Failure> {
    let client = session::open(global).await?;
    // Without an alarm's name, all are meant.
    let action = match command {
        AlarmCommand::List => AlarmAction::Get,
        AlarmCommand::Disarm => AlarmAction::Deactivate,
    };
    let ask = |mut etcd: EtcdClient| async move { etcd.alarm(action, AlarmType::None, None).await };
    let found = client.harmless(ask).await?;
    let alarms = found.alarms().iter().map(|alarm| Alarm {
        member_id: alarm.member_id(),
        alarm: match alarm.alarm() {
            AlarmType::None => 0,
            AlarmType::Nospace => 1,
            AlarmType::Corrupt => 2,
        },
    });
    let report = Alarms {
        header: Header::of(found.header()),
        alarms: alarms.collect(),
    };
    show(&report, style)
}

pub(crate) async fn defragment(global: &Global, cluster: bool) -> Result<(), Failure> {
    let mut is_whole = true;
    for endpoint in wanted(global, cluster).await? {
        let ask = |mut etcd: EtcdClient| async move { etcd.defragment().await };
        let done = match session::open_at(global, std::slice::from_ref(&endpoint)).await {
            Ok(client) => client.once(ask).await.map(drop).map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match done {
            Ok(()) => print::line(&format!("Finished defragmenting etcd member[{endpoint}]"))?,
            Err(failure) => {
                is_whole = false;
                let reason = failure.text;
                eprintln!("Failed to defragment etcd member[{endpoint}] ({reason})");
            }
        }
    }
    if is_whole {
        return Ok(());
    }
    Err(Failure::new(exit_status::ERROR, ""))
}

pub(crate) async fn move_leader(
    global: &Global,
    style: Style,
    arguments: &[String],
) -> Result<(), Failure> {
    let [target] = arguments else {
        return Err(Failure::arguments("move-leader command needs 1 argument"));
    };
    let target = u64::from_str_radix(target, 16).map_err(|_| {
        Failure::arguments(format!(
            "strconv.ParseUint: parsing {target:?}: invalid syntax"
        ))
    })?;
    // Only the leader gives it away.
    let endpoints = session::endpoints(global)?;
    for endpoint in &endpoints {
        let client = session::open_at(global, std::slice::from_ref(endpoint)).await?;
        let ask = |mut etcd: EtcdClient| async move { etcd.status().await };
        let status = client.harmless(ask).await?;
        let own = status.header().map(etcd_client::ResponseHeader::member_id);
        if own != Some(status.leader()) {
            continue;
        }
        let ask = |mut etcd: EtcdClient| async move { etcd.move_leader(target).await };
        let moved = client.once(ask).await?;
        let leader = status.leader();
        let text = format!("Leadership transferred from {leader:x} to {target:x}");
        return show(&Done::new(moved.header(), text), style);
    }
    let text = format!("no leader endpoint given at [{}]", endpoints.join(" "));
    Err(Failure::arguments(text))
}

pub(crate) async fn snapshot(global: &Global, command: &SnapshotCommand) -> Result<(), Failure> {
    let SnapshotCommand::Save { arguments } = command;
    let [path] = arguments.as_slice() else {
        return Err(Failure::arguments("snapshot save expects one argument"));
    };
    let endpoints = session::endpoints(global)?;
    if endpoints.len() > 1 {
        let list = endpoints.join(" ");
        let text =
            format!("snapshot must be requested to one selected node, not multiple [{list}]");
        return Err(Failure::arguments(text));
    }
    let client = session::open(global).await?;
    client.ready().await?;
    let stream = client.etcd().snapshot().await.map_err(failed)?;
    save(stream, Path::new(path)).await?;
    print::line(&format!("Snapshot saved at {path}"))?;
    Ok(())
}

fn failed(error: etcd_client::Error) -> Failure {
    match error {
        etcd_client::Error::GRpcStatus(status) => Failure::plain(status.message()),
        other => Failure::plain(other),
    }
}

/// Saves it under a name of its own, and gives it the right one when it is whole and on the disk.
async fn save(mut stream: SnapshotStreaming, path: &Path) -> Result<(), Failure> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let trouble = |error: io::Error| {
        let text = format!("{}: {error}", path.display());
        Failure::new(exit_status::IO, text)
    };
    let mut options = OpenOptions::new();
    // Passwords' hashes are in it.
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&part).map_err(trouble)?;
    let copied = copy(&mut stream, &file, trouble).await;
    let saved = match copied {
        Ok(()) => finish(&file, &part, path).map_err(trouble),
        Err(failure) => Err(failure),
    };
    if saved.is_err() {
        // What is there is of no use; the reason was told.
        let _removed = std::fs::remove_file(&part);
    }
    saved
}

async fn copy(
    stream: &mut SnapshotStreaming,
    mut file: &File,
    trouble: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let mut remaining = None;
    while let Some(chunk) = stream.message().await.map_err(failed)? {
        file.write_all(chunk.blob()).map_err(&trouble)?;
        remaining = Some(chunk.remaining_bytes());
    }
    match remaining {
        Some(0) => Ok(()),
        _ => Err(Failure::plain(
            "the server ended the snapshot before it was whole",
        )),
    }
}
