//! Containers that live from their creation to their removal: their command line stands in a record, and what
//! became of each run is written beside it.
//!
//! The record is launcherd's; nobody else writes `launch run --record=FOLDER`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use container_model::name::Name;
use container_model::run_record::{
    FOLDER, LaunchRecord, RECORD_FILE, RUN_FILE, RunEnd, RunRecord, exit_code,
};
use monitor_protocol::exit::Outcome;
use monitor_protocol::{ExitRecord, RECORDS};

/// What is told of a run if systemd does not say how it ended.
const UNKNOWN_CODE: u8 = 255;

/// Whether a container has a record: its writable root stays when it ends.
pub(crate) fn is_kept(name: &Name) -> bool {
    Path::new(FOLDER)
        .join(name.as_str())
        .join(RECORD_FILE)
        .exists()
}

/// If the command line names a record: the one that stands there. The run begins with it.
pub(crate) fn expand(words: &[String]) -> anyhow::Result<Option<Vec<String>>> {
    let [program, command, record] = words else {
        return Ok(None);
    };
    let Some(folder) = record.strip_prefix("--record=").map(Path::new) else {
        return Ok(None);
    };
    if command != "run" {
        return Ok(None);
    }
    let path = folder.join(RECORD_FILE);
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    let record: LaunchRecord =
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    begin(folder)?;
    let own = [program.clone(), command.clone()];
    Ok(Some(own.into_iter().chain(record.launch).collect()))
}

fn begin(folder: &Path) -> anyhow::Result<()> {
    let number = last_run(folder).map_or(0, |run| run.number);
    write(
        folder,
        &RunRecord {
            started: now()?,
            number: number + 1,
            ended: None,
        },
    )
}

/// `launch ended`: systemd calls it when a run is over, and says how it ended.
pub(crate) fn ended(folder: &Path) -> ExitCode {
    match end(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("launch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn end(folder: &Path) -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    // The monitor knows best: after a stop that was asked for it ends in order, whatever became of the payload.
    let invocation = variable("INVOCATION_ID");
    let code = folder.file_name().and_then(|id| id.to_str());
    let code = code.and_then(|id| recorded_code(Path::new(RECORDS), id, &invocation));
    let code = code.or_else(|| exit_code(&variable("EXIT_CODE"), &variable("EXIT_STATUS")));
    let Some(mut run) = last_run(folder) else {
        // It was removed meanwhile, or never began.
        return Ok(());
    };
    run.ended = Some(RunEnd {
        at: now()?,
        code: code.unwrap_or(UNKNOWN_CODE),
    });
    write(folder, &run)
}

/// Of the payload of this very run, if its monitor lived to see the end.
fn recorded_code(records: &Path, id: &str, invocation: &str) -> Option<u8> {
    let bytes = fs::read(records.join(format!("{id}.json"))).ok()?;
    let record = ExitRecord::decode(&bytes).ok()?;
    let is_this_run = !invocation.is_empty() && record.invocation.as_deref() == Some(invocation);
    match record.outcome {
        Outcome::Exited(exit) if is_this_run => Some(exit.code),
        _ => None,
    }
}

fn last_run(folder: &Path) -> Option<RunRecord> {
    let bytes = fs::read(folder.join(RUN_FILE)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn now() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_nanos())?)
}

/// Whole or not at all.
fn write(folder: &Path, run: &RunRecord) -> anyhow::Result<()> {
    let path = folder.join(RUN_FILE);
    let context = || path.display().to_string();
    let new = path.with_extension("new");
    let mut file = File::create(&new).with_context(context)?;
    file.write_all(&serde_json::to_vec(run)?)
        .with_context(context)?;
    file.sync_all().with_context(context)?;
    fs::rename(&new, &path).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_stands_in_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"id":"a","launch":["--network=none","busybox","-x"]}"#;
        fs::write(folder.path().join(RECORD_FILE), text).unwrap();
        let words = |text: &[&str]| text.iter().map(ToString::to_string).collect::<Vec<_>>();
        let record = format!("--record={}", folder.path().display());
        let expanded = expand(&words(&["launch", "run", &record])).unwrap();
        let expected = words(&["launch", "run", "--network=none", "busybox", "-x"]);
        assert_eq!(expanded, Some(expected));
        let run = last_run(folder.path()).unwrap();
        assert_eq!((run.number, run.ended), (1, None));
        end(folder.path()).unwrap();
        assert_eq!(
            last_run(folder.path()).unwrap().ended.map(|end| end.code),
            Some(255)
        );
        assert_eq!(expand(&words(&["launch", "images"])).unwrap(), None);
        assert!(expand(&words(&["launch", "run", "--record=/nowhere"])).is_err());
    }
}
