//! `launch ps`: the containers that run, and with `--all` the last runs of others.
//!
//! The units' states are systemd's to tell.

use monitor_protocol::exit::Outcome;
use monitor_protocol::{ExitRecord, RECORDS, Status};
use serde_json::json;

use super::command_line::PsArguments;
use super::{statuses, table};

pub(crate) fn run(arguments: &PsArguments) -> anyhow::Result<()> {
    let running = statuses();
    let ended = if arguments.all {
        ended(&running)
    } else {
        Vec::new()
    };
    if arguments.json {
        let all = json!({"running": running, "ended": ended});
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else if arguments.quiet {
        let running = running.iter().map(|status| &status.name);
        for name in running.chain(ended.iter().map(|record| &record.name)) {
            println!("{name}");
        }
    } else {
        print!("{}", text(&running, &ended));
    }
    Ok(())
}

/// Records of containers that do not run.
fn ended(running: &[Status]) -> Vec<ExitRecord> {
    let entries = std::fs::read_dir(RECORDS).into_iter().flatten().flatten();
    let read = |entry: std::fs::DirEntry| {
        let bytes = std::fs::read(entry.path()).ok()?;
        ExitRecord::decode(&bytes).ok()
    };
    let is_running = |record: &ExitRecord| running.iter().any(|one| one.name == record.name);
    let mut records: Vec<ExitRecord> = entries.filter_map(read).collect();
    records.retain(|record| !is_running(record));
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}

fn text(running: &[Status], ended: &[ExitRecord]) -> String {
    let heads = ["NAME", "IMAGE", "STATE", "SINCE", "HEALTH", "PID", "UNIT"];
    let mut rows = vec![table::row(heads)];
    rows.extend(running.iter().map(|status| {
        let since = table::time(status.started_at.unwrap_or(status.created_at));
        let health = status.health.as_ref().map(|health| health.status.as_str());
        table::row([
            &status.name,
            &status.image,
            status.state.as_str(),
            &since,
            health.unwrap_or("-"),
            &status.pid.to_string(),
            status.unit.as_deref().unwrap_or("-"),
        ])
    }));
    rows.extend(ended.iter().map(|record| {
        let (state, since) = outcome(record);
        let unit = record.unit.as_deref().unwrap_or("-");
        table::row([&record.name, &record.image, &state, &since, "-", "-", unit])
    }));
    table::text(&rows)
}

/// In a word or two, and since when.
fn outcome(record: &ExitRecord) -> (String, String) {
    let began = table::time(record.started_at.unwrap_or(record.created_at));
    match &record.outcome {
        // Its monitor was killed, so nobody knows more.
        Outcome::Running => ("lost".to_owned(), began),
        Outcome::Exited(exit) => {
            let memory = if exit.out_of_memory { " oom" } else { "" };
            let how = match exit.signal {
                Some(signal) => format!("killed by {signal}{memory}"),
                None => format!("exited {}{memory}", exit.code),
            };
            (how, table::time(exit.ended_at))
        }
        Outcome::Failed { code, ended_at, .. } => {
            (format!("failed {code}"), table::time(*ended_at))
        }
    }
}

#[cfg(test)]
mod tests {
    use monitor_protocol::{Exit, Timestamp};

    use super::*;

    fn record(outcome: Outcome) -> ExitRecord {
        ExitRecord {
            name: "a".to_owned(),
            image: "b".to_owned(),
            unit: None,
            invocation: None,
            boot: String::new(),
            created_at: Timestamp(0),
            started_at: Some(Timestamp(1_000_000)),
            outcome,
        }
    }

    #[test]
    fn ends_are_told_in_few_words() {
        let told = |outcome: Outcome| super::outcome(&record(outcome));
        let (how, since) = told(Outcome::Running);
        assert_eq!(
            (how.as_str(), since.as_str()),
            ("lost", "1970-01-01T00:00:01Z")
        );
        let exit = Exit::new(Err(9), true, Timestamp(2_000_000));
        assert_eq!(told(Outcome::Exited(exit)).0, "killed by 9 oom");
        let exit = Exit::new(Ok(7), false, Timestamp(2_000_000));
        assert_eq!(told(Outcome::Exited(exit)).0, "exited 7");
    }
}
