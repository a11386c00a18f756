//! `watch` and `exec-watch`.
//!
//! Changes of directories are left out, as in etcdctl.
use std::process::ExitCode;

use kv_client::{Answer, EtcdError, Start, WatchEvent, WatchOptions, Watcher};
use tokio::process::Command;

use crate::arguments::{ExecWatchArguments, Global, WatchArguments};
use crate::failure::Failure;
use crate::keys::required;
use crate::signals::Stop;
use crate::{print, session};

const fn start(after_index: u64) -> Start {
    if after_index == 0 {
        Start::Now
    } else {
        Start::After(after_index)
    }
}

pub(crate) async fn watch(global: &Global, wanted: &WatchArguments) -> Result<ExitCode, Failure> {
    let client = session::open(global).await?;
    let key = required(wanted.key.as_ref())?;
    let options = WatchOptions {
        recursive: wanted.recursive,
        start: start(wanted.after_index),
    };
    let mut watcher = client.watch(key, options);
    let work = async {
        loop {
            let change = next_change(&mut watcher, wanted.forever).await?;
            if wanted.recursive {
                print::line(&format!("[{}] {}", change.action.as_str(), change.node.key))?;
            }
            print::answer(&change, global.output())?;
            if !wanted.forever {
                return Ok::<_, Failure>(());
            }
        }
    };
    let mut stop = Stop::new()?;
    tokio::select! {
        done = work => done?,
        () = stop.wanted() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The next change that is not about a directory. A gap ends a watch that shall give one change
/// only; one that runs for ever says so and goes on.
async fn next_change(watcher: &mut Watcher, goes_on: bool) -> Result<Answer, Failure> {
    loop {
        match watcher.next().await? {
            WatchEvent::Change(answer) if answer.node.dir => {}
            WatchEvent::Change(answer) => return Ok(answer),
            WatchEvent::Reset { index, .. } if goes_on => {
                eprintln!(
                    "Changes up to index {index} were missed: the server no longer has them. Going on from there."
                );
            }
            WatchEvent::Reset { index, .. } => {
                let error = EtcdError {
                    code: EtcdError::EVENT_CLEARED,
                    message: "The event in requested index is outdated and cleared".to_owned(),
                    cause: "the requested history has been cleared".to_owned(),
                    index,
                };
                return Err(Failure::Request(error.into()));
            }
        }
    }
}

pub(crate) async fn exec_watch(
    global: &Global,
    wanted: &ExecWatchArguments,
) -> Result<ExitCode, Failure> {
    let missing = Failure::Arguments("key and command to exec required");
    let command = match wanted.command.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => &wanted.command,
    };
    let (Some(key), Some((program, arguments))) = (&wanted.key, command.split_first()) else {
        return Err(missing);
    };
    let client = session::open(global).await?;
    let options = WatchOptions {
        recursive: wanted.recursive,
        start: start(wanted.after_index),
    };
    let mut watcher = client.watch(key, options);
    let work = async {
        loop {
            let change = next_change(&mut watcher, true).await?;
            let child = Command::new(program)
                .args(arguments)
                .env("ETCD_WATCH_ACTION", change.action.as_str())
                .env(
                    "ETCD_WATCH_MODIFIED_INDEX",
                    change.node.modified_index.to_string(),
                )
                .env("ETCD_WATCH_KEY", &change.node.key)
                .env("ETCD_WATCH_VALUE", change.node.value())
                .spawn();
            let mut child =
                child.map_err(|error| Failure::Plain(format!("cannot run {program}: {error}")))?;
            // Programs may overlap, as with etcdctl: a slow one holds up nothing.
            tokio::spawn(async move { child.wait().await });
        }
    };
    let mut stop = Stop::new()?;
    tokio::select! {
        done = work => done,
        () = stop.wanted() => Ok(ExitCode::SUCCESS),
    }
}
