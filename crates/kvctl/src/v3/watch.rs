//! `watch`: changes as they come, printed or given to a command.
//!
//! It goes on over broken connections, without a gap.
use std::io::BufRead as _;

use clap::Parser;
use etcd_client::{Event, EventType};
use kv_client::v3::{Client, Keys, WatchEvent, WatchOptions, Watcher};
use serde::Serialize;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::v3::arguments::{Global, WatchArguments};
use crate::v3::failure::{Failure, exit_status};
use crate::v3::message::{Header, KeyValue};
use crate::v3::output::{Report, Style, Text, show};
use crate::v3::quote::{quote, words};
use crate::v3::session;

/// Changes of one answer.
#[derive(Debug, Serialize)]
struct Changes {
    #[serde(rename = "Header")]
    header: Header,
    #[serde(rename = "Events")]
    events: Vec<Change>,
    #[serde(rename = "CompactRevision")]
    compact_revision: i64,
    #[serde(rename = "Canceled")]
    canceled: bool,
    #[serde(rename = "Created")]
    created: bool,
}

#[derive(Debug, Serialize)]
struct Change {
    #[serde(rename = "type", skip_serializing_if = "Kind::is_put")]
    kind: Kind,
    kv: KeyValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_kv: Option<KeyValue>,
}

/// A number in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    Delete,
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(u8::from(!self.is_put()))
    }
}

impl Kind {
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
    const fn is_put(&self) -> bool {
        matches!(self, Self::Put)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl Change {
    fn of(event: &Event) -> Option<Self> {
        Some(Self {
            kind: match event.event_type() {
                EventType::Put => Kind::Put,
                EventType::Delete => Kind::Delete,
            },
            kv: event.kv()?.into(),
            prev_kv: event.prev_kv().map(KeyValue::from),
        })
    }
}

impl Report for Changes {
    fn simple(&self, style: Style, text: &mut Text) {
        for change in &self.events {
            text.line(change.kind.name());
            if let Some(kv) = &change.prev_kv {
                kv.simple(style, text);
            }
            change.kv.simple(style, text);
        }
    }

    fn fields(&self, text: &mut Text) -> bool {
        self.header.fields(text);
        for change in &self.events {
            text.line(format!("\"Type\" : {}", change.kind.name()));
            if let Some(kv) = &change.prev_kv {
                kv.fields("Prev", text);
            }
            change.kv.fields("", text);
        }
        true
    }
}

/// What is watched, and what is done at each change.
struct Wanted {
    keys: Keys,
    options: WatchOptions,
    command: Vec<String>,
}

impl Wanted {
    fn new(arguments: &WatchArguments) -> Result<Self, Failure> {
        let keys = match arguments.keys.as_slice() {
            [_, _] if arguments.prefix => {
                let text = "`range_end` and `--prefix` are mutually exclusive";
                return Err(Failure::arguments(text));
            }
            [key] if arguments.prefix => Keys::Prefix(key.clone().into()),
            [key] => Keys::One(key.clone().into()),
            [key, end] => Keys::Range(key.clone().into(), end.clone().into()),
            _ => return Err(Failure::arguments("bad number of arguments")),
        };
        Ok(Self {
            keys,
            options: WatchOptions {
                start_revision: arguments.rev,
                previous: arguments.prev_kv,
                filters: Vec::new(),
                progress: arguments.progress_notify,
            },
            command: arguments.command.clone(),
        })
    }
}

pub(crate) async fn run(
    global: &Global,
    style: Style,
    arguments: &WatchArguments,
) -> Result<(), Failure> {
    if arguments.mode.interactive {
        return interactive(global, style).await;
    }
    let wanted = Wanted::new(arguments)?;
    let client = session::open(global).await?;
    // A first connection that fails is told; a later one is waited for.
    client.ready().await?;
    follow(&client, &wanted, style).await
}

async fn follow(client: &Client, wanted: &Wanted, style: Style) -> Result<(), Failure> {
    let mut watcher = client
        .watch(wanted.keys.clone(), wanted.options.clone())
        .await?;
    loop {
        step(&mut watcher, wanted, style).await?;
    }
}

async fn step(watcher: &mut Watcher, wanted: &Wanted, style: Style) -> Result<(), Failure> {
    match watcher.next().await? {
        WatchEvent::Changes { events, response } => {
            let changes = Changes {
                header: Header::of(response.header()).unwrap_or_default(),
                events: events.iter().filter_map(Change::of).collect(),
                compact_revision: 0,
                canceled: false,
                created: false,
            };
            show(&changes, style)?;
            execute(&changes, &wanted.command).await
        }
        WatchEvent::Progress(revision) if wanted.options.progress => {
            crate::print::line(&format!("progress notify: {revision}"))?;
            Ok(())
        }
        WatchEvent::Progress(_) => Ok(()),
        WatchEvent::Compacted { .. } => {
            eprintln!(
                "watch was canceled (etcdserver: mvcc: required revision has been compacted)"
            );
            let text = "watch is canceled by the server";
            Err(Failure::new(exit_status::INTERRUPTED, text))
        }
    }
}

async fn execute(changes: &Changes, command: &[String]) -> Result<(), Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    for change in &changes.events {
        let status = Command::new(program)
            .args(arguments)
            .env("ETCD_WATCH_REVISION", changes.header.revision.to_string())
            .env(
                "ETCD_WATCH_EVENT_TYPE",
                format!("\"{}\"", change.kind.name()),
            )
            .env("ETCD_WATCH_KEY", quote(&change.kv.key.0))
            .env("ETCD_WATCH_VALUE", quote(&change.kv.value.0))
            .status()
            .await
            .map_err(|error| Failure::plain(format!("cannot run {program}: {error}")))?;
        if !status.success() {
            return Err(Failure::plain(format!("command {program} ended: {status}")));
        }
    }
    Ok(())
}

/// A line of the interactive mode.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
enum Line {
    Watch(WatchArguments),
}

/// Begins a watch at each line, until there are no more.
async fn interactive(global: &Global, style: Style) -> Result<(), Failure> {
    let client = session::open(global).await?;
    client.ready().await?;
    let (sender, mut lines) = mpsc::unbounded_channel();
    // Reading blocks, and watches go on meanwhile.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let (failed, mut failures) = mpsc::unbounded_channel();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            failure = failures.recv() => match failure {
                Some(failure) => return Err(failure),
                None => continue,
            },
        };
        let Some(line) = line else {
            let text = "Error reading watch request line: EOF";
            return Err(Failure::new(exit_status::INVALID_INPUT, text));
        };
        let Some(wanted) = parse_line(&line) else {
            continue;
        };
        let (client, failed) = (client.clone(), failed.clone());
        tokio::spawn(async move {
            if let Err(failure) = follow(&client, &wanted, style).await {
                // Nobody listens any more only when all is over.
                let _told = failed.send(failure);
            }
        });
    }
}

/// What a line asks for; what is wrong with it is said, and the next one may be better.
fn parse_line(line: &str) -> Option<Wanted> {
    let words = words(line)?.into_iter();
    let words: Vec<String> = words
        .map(|word| String::from_utf8_lossy(&word).into_owned())
        .collect();
    let first = words.first()?;
    if first != "watch" {
        eprintln!("Invalid command {first} (only support watch)");
        return None;
    }
    let parsed = match Line::try_parse_from(&words) {
        Ok(Line::Watch(arguments)) => Wanted::new(&arguments),
        Err(error) => Err(Failure::arguments(error.kind().to_string())),
    };
    match parsed {
        Ok(wanted) => Some(wanted),
        Err(failure) => {
            eprintln!("Invalid command {line} ({})", failure.text);
            None
        }
    }
}
