//! `launch stats`: what containers use, of their control groups' files.
//!
//! What the machine does not count is `-`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monitor_protocol::Status;
use serde_json::json;

use super::command_line::StatsArguments;
use super::connection::Connection;
use super::{statuses, table};

const HIERARCHY: &str = "/sys/fs/cgroup";
/// Between two looks, of which the processor's share is made.
const PAUSE: Duration = Duration::from_secs(1);

/// What a group has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    processor_us: Option<u64>,
    memory: Option<u64>,
    memory_max: Option<u64>,
    processes: Option<u64>,
}

pub(crate) fn run(arguments: &StatsArguments) -> anyhow::Result<()> {
    let mut before = look(arguments)?;
    let mut then = Instant::now();
    loop {
        std::thread::sleep(PAUSE);
        let now = look(arguments)?;
        let time = then.elapsed();
        then = Instant::now();
        print(arguments, &before, &now, time);
        if arguments.no_stream {
            return Ok(());
        }
        before = now;
    }
}

fn look(arguments: &StatsArguments) -> anyhow::Result<HashMap<String, Usage>> {
    let containers = if arguments.names.is_empty() {
        statuses()
    } else {
        let ask = |name| Connection::open(name)?.status();
        arguments
            .names
            .iter()
            .map(ask)
            .collect::<anyhow::Result<_>>()?
    };
    let usage = containers.iter().map(|status| {
        let usage = group(status).map(|group| read(&group)).unwrap_or_default();
        (status.name.clone(), usage)
    });
    Ok(usage.collect())
}

/// The payload's group, or where it is counted with its monitor.
fn group(status: &Status) -> Option<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", status.pid)).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(HIERARCHY).join(path))
}

fn read(group: &Path) -> Usage {
    let text = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| text(name)?.trim().parse().ok();
    let processor = text("cpu.stat");
    let processor = processor.as_deref().and_then(|text| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        value?.parse().ok()
    });
    let processes = text("cgroup.procs").map(|text| text.lines().count() as u64);
    Usage {
        processor_us: processor,
        memory: number("memory.current"),
        memory_max: number("memory.max"),
        processes: number("pids.current").or(processes),
    }
}

/// Of one processor, in hundredths.
fn share(before: &Usage, now: &Usage, time: Duration) -> Option<f64> {
    let used = now.processor_us?.checked_sub(before.processor_us?)?;
    Some(Duration::from_micros(used).as_secs_f64() / time.as_secs_f64() * 100.0)
}

fn print(
    arguments: &StatsArguments,
    before: &HashMap<String, Usage>,
    now: &HashMap<String, Usage>,
    time: Duration,
) {
    let mut names: Vec<&String> = now.keys().collect();
    names.sort();
    let mut rows = vec![table::row(["NAME", "CPU %", "MEMORY", "LIMIT", "PIDS"])];
    for name in names {
        let usage = &now[name];
        let share = before
            .get(name)
            .and_then(|before| share(before, usage, time));
        if arguments.json {
            let line = json!({
                "name": name, "cpu_percent": share, "memory_bytes": usage.memory,
                "memory_limit_bytes": usage.memory_max, "processes": usage.processes,
            });
            println!("{line}");
            continue;
        }
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            name.clone(),
            or_dash(share.map(|share| format!("{share:.1}"))),
            or_dash(usage.memory.map(bytes)),
            or_dash(usage.memory_max.map(bytes)),
            or_dash(usage.processes.map(|count| count.to_string())),
        ]);
    }
    if !arguments.json {
        print!("{}", table::text(&rows));
    }
}

/// In the largest unit of which there is more than one.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut rest = count;
    let mut divisor = 1;
    while rest >= 1024 && unit + 1 < units.len() {
        rest /= 1024;
        divisor *= 1024;
        unit += 1;
    }
    let tenths = count % divisor * 10 / divisor;
    format!("{rest}.{tenths} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_one_processor() {
        let usage = |processor_us| Usage {
            processor_us,
            ..Usage::default()
        };
        let share = |before, now| share(&usage(before), &usage(now), Duration::from_secs(2));
        assert_eq!(share(Some(1_000_000), Some(4_000_000)), Some(150.0));
        assert_eq!(share(None, Some(1)), None);
        assert_eq!(share(Some(2), Some(1)), None, "started again");
    }

    #[test]
    fn groups_are_read_as_far_as_they_count() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("cpu.stat", "usage_usec 77\nuser_usec 1\n");
        write("cgroup.procs", "1\n2\n");
        write("memory.max", "max\n");
        let expected = Usage {
            processor_us: Some(77),
            processes: Some(2),
            ..Usage::default()
        };
        assert_eq!(read(folder.path()), expected);
        write("memory.current", "4096\n");
        write("pids.current", "3\n");
        let usage = read(folder.path());
        assert_eq!((usage.memory, usage.processes), (Some(4096), Some(3)));
    }

    #[test]
    fn bytes_are_short() {
        assert_eq!(bytes(0), "0.0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 * 1024 * 1024 * 1024), "5.0 GiB");
    }
}
