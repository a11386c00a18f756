//! `launch top`: the processes of a container, as the machine counts them.
//!
//! A process is the container's if it is in the payload's namespace of processes.

use std::path::{Path, PathBuf};

use super::command_line::TopArguments;
use super::connection::Connection;
use super::table;

pub(crate) fn run(arguments: &TopArguments) -> anyhow::Result<()> {
    let status = Connection::open(&arguments.name)?.status()?;
    let own = namespace(Path::new(&format!("/proc/{}", status.pid)));
    let mut rows = vec![table::row(["PID", "PARENT", "USER", "STATE", "COMMAND"])];
    for pid in pids() {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        if own.is_some() && namespace(&folder) == own {
            // One that has just ended is left out.
            rows.extend(process(pid, &folder));
        }
    }
    print!("{}", table::text(&rows));
    Ok(())
}

fn pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    pids
}

fn namespace(folder: &Path) -> Option<PathBuf> {
    std::fs::read_link(folder.join("ns/pid")).ok()
}

fn process(pid: u32, folder: &Path) -> Option<Vec<String>> {
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let line = std::fs::read(folder.join("cmdline")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next())
            .unwrap_or("-")
    };
    let command = if line.is_empty() {
        format!("[{}]", field("Name:"))
    } else {
        let words = line.split(|byte| *byte == 0);
        let words: Vec<String> = words
            .map(|word| String::from_utf8_lossy(word).into())
            .collect();
        words.join(" ").trim_end().to_owned()
    };
    let pid = pid.to_string();
    Some(table::row([
        &pid,
        field("PPid:"),
        field("Uid:"),
        field("State:"),
        &command,
    ]))
}
