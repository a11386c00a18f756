//! `stats`: what a container that runs uses, of its control group's files.
//!
//! What the kernel does not count, such as memory where its controller is off, is zero.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine_api::query::Query;
use engine_api::{ApiError, Record};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::engine::{self, Engine};
use crate::processes;

/// Docker's, and the client's reckoning.
const INTERVAL: Duration = Duration::from_secs(1);

/// Answers once, or every second until the container ends.
pub(crate) async fn stats(engine: &Arc<Engine>, record: Record, query: &Query) -> Answer {
    let is_stream = query.text("stream").is_none() || query.flag("stream");
    if !engine.state(&record).await?.is_running() {
        // Docker answers with nothing but the name.
        return answer::json(&empty(&record));
    }
    if query.flag("one-shot") {
        return answer::json(&sample(&record, &Value::Null)?);
    }
    let (pieces, response) = answer::streamed("application/json");
    tokio::spawn(async move {
        let mut before = Value::Null;
        while let Ok(sample) = sample(&record, &before) {
            // The first has nothing to be compared with.
            let is_first = before.is_null();
            before = sample["cpu_stats"].clone();
            if is_first && !is_stream {
                tokio::time::sleep(INTERVAL).await;
                continue;
            }
            if pieces.send(answer::line(&sample)).await.is_err() || !is_stream {
                return;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    });
    Ok(response)
}

fn empty(record: &Record) -> Value {
    json!({"name": format!("/{}", record.name), "id": record.id})
}

/// What is used now; `before` is what the processor had done a sample ago.
fn sample(record: &Record, before: &Value) -> Result<Value, ApiError> {
    let group = processes::group(record)?;
    let mut value = empty(record);
    let memory = keyed(&group, "memory.stat");
    let limit = match number(&group, "memory.max") {
        0 => machine_memory(),
        limit => limit,
    };
    value["read"] = json!(jiff::Timestamp::now().to_string());
    value["preread"] = json!(engine_api::human::NEVER);
    value["num_procs"] = json!(0);
    value["pids_stats"] = json!({"current": processes::members(&group).len()});
    value["cpu_stats"] = processor(&group);
    value["precpu_stats"] = if before.is_null() {
        json!({"cpu_usage": {"total_usage": 0}})
    } else {
        before.clone()
    };
    value["memory_stats"] = json!({
        "usage": number(&group, "memory.current"),
        "stats": memory,
        "limit": limit,
    });
    value["blkio_stats"] = json!({"io_service_bytes_recursive": io(&group)});
    value["networks"] = networks(&record.id);
    Ok(value)
}

fn number(group: &Path, file: &str) -> u64 {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// A file of `NAME NUMBER` lines.
fn keyed(group: &Path, file: &str) -> serde_json::Map<String, Value> {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), json!(number.parse::<u64>().ok()?)))
    });
    pairs.collect()
}

fn machine_memory() -> u64 {
    let all = rustix::system::sysinfo();
    all.totalram * u64::from(all.mem_unit)
}

fn processor(group: &Path) -> Value {
    let used = keyed(group, "cpu.stat");
    let nanoseconds = |name: &str| used.get(name).and_then(Value::as_u64).unwrap_or(0) * 1000;
    let online = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    json!({
        "cpu_usage": {
            "total_usage": nanoseconds("usage_usec"),
            "usage_in_usermode": nanoseconds("user_usec"),
            "usage_in_kernelmode": nanoseconds("system_usec"),
        },
        "system_cpu_usage": machine_processor(),
        "online_cpus": online,
        "throttling_data": {
            "periods": used.get("nr_periods"),
            "throttled_periods": used.get("nr_throttled"),
            "throttled_time": nanoseconds("throttled_usec"),
        },
    })
}

/// Nanoseconds that all processors of the machine have spent.
fn machine_processor() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: u64 = line
        .split_whitespace()
        .skip(1)
        // The rest is in these already.
        .take(8)
        .filter_map(|number| number.parse::<u64>().ok())
        .sum();
    ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second())
}

/// Bytes read and written, by device.
fn io(group: &Path) -> Vec<Value> {
    let text = fs::read_to_string(group.join("io.stat")).unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((major, minor)) = device else {
            continue;
        };
        let numbers = (
            major.parse::<u64>().unwrap_or(0),
            minor.parse::<u64>().unwrap_or(0),
        );
        for word in words {
            let operation = match word.split_once('=') {
                Some(("rbytes", bytes)) => ("read", bytes),
                Some(("wbytes", bytes)) => ("write", bytes),
                _ => continue,
            };
            found.push(json!({
                "major": numbers.0,
                "minor": numbers.1,
                "op": operation.0,
                "value": operation.1.parse::<u64>().unwrap_or(0),
            }));
        }
    }
    found
}

/// Bytes and packets by interface, as the container sees them.
fn networks(id: &str) -> Value {
    let Some(pid) = engine::payload(id) else {
        return json!({});
    };
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let interfaces = text.lines().filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        let counted = json!({
            "rx_bytes": number(0), "rx_packets": number(1), "rx_errors": number(2), "rx_dropped": number(3),
            "tx_bytes": number(8), "tx_packets": number(9), "tx_errors": number(10), "tx_dropped": number(11),
        });
        Some((name.trim().to_owned(), counted)).filter(|(name, _)| name != "lo")
    });
    Value::Object(interfaces.collect())
}
