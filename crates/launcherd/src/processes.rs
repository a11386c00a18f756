//! `top`: the processes of a container that runs, in the columns of `ps -ef`.
//!
//! They are those of its control group, as the machine counts them.

use std::fs;
use std::path::{Path, PathBuf};

use engine_api::query::Query;
use engine_api::{ApiError, Record};
use rustix::param::clock_ticks_per_second;
use serde_json::json;

use crate::answer::{self, Answer};
use crate::engine;

const HIERARCHY: &str = "/sys/fs/cgroup";
const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

/// The control group of a container that runs.
pub(crate) fn group(record: &Record) -> Result<PathBuf, ApiError> {
    let stopped = || ApiError::conflict(format!("container {} is not running", record.id));
    let pid = engine::payload(&record.id).ok_or_else(stopped)?;
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|_| stopped())?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = path
        .filter(|path| path.contains(&record.id))
        .ok_or_else(stopped)?;
    Ok(Path::new(HIERARCHY).join(path))
}

/// Whether a container's processes are frozen.
pub(crate) fn is_frozen(record: &Record) -> bool {
    let Ok(group) = group(record) else {
        return false;
    };
    fs::read_to_string(group.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
}

/// The processes of a group and those below it.
pub(crate) fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(members(&entry.path()));
        }
    }
    found
}

/// Answers.
pub(crate) fn top(record: &Record, query: &Query) -> Answer {
    if query
        .text("ps_args")
        .is_some_and(|arguments| arguments != "-ef")
    {
        return Err(ApiError::not_implemented(
            "columns of top other than those of `ps -ef`",
        ));
    }
    let mut numbers = members(&group(record)?);
    numbers.sort_unstable();
    let rows: Vec<Vec<String>> = numbers.into_iter().filter_map(row).collect();
    answer::json(&json!({"Titles": TITLES, "Processes": rows}))
}

/// None of a process that has just ended.
fn row(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let user = user.split_whitespace().nth(1)?.to_owned();
    let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = clock_ticks_per_second();
    let seconds = (number(11)? + number(12)?) / ticks;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command: Vec<String> = command
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let terminal = if number(4)? == 0 { "?" } else { "pts" };
    Some(vec![
        user,
        pid.to_string(),
        fields.get(1)?.to_string(),
        "0".to_owned(),
        started(number(19)? / ticks),
        terminal.to_owned(),
        format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
        if command.is_empty() {
            format!("[{name}]")
        } else {
            command.join(" ")
        },
    ])
}

/// The hour and minute, of seconds after the boot.
fn started(seconds: u64) -> String {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime: f64 = uptime
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of an uptime in seconds
    let ago = (uptime as u64).saturating_sub(seconds);
    let time = crate::clock::now() / 1_000_000_000 - ago;
    format!("{:02}:{:02}", time / 3600 % 24, time / 60 % 60)
}
