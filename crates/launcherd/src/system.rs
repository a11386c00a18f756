//! `version`, `info`, `_ping`, `events`: the engine and the machine.

use std::sync::Arc;

use engine_api::ApiError;
use engine_api::event::FILTERS;
use engine_api::filters::Filters;
use engine_api::human::parse_time;
use engine_api::query::Query;
use engine_api::version::{ENGINE, NEWEST, OLDEST};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::answer::{self, Answer};
use crate::containers;
use crate::engine::Engine;

/// Whether somebody is there, and which versions are spoken.
#[allow(clippy::unnecessary_wraps)] // as whoever answers has it
pub(crate) fn ping() -> Answer {
    let mut response = answer::bytes(StatusCode::OK, "text/plain; charset=utf-8", "OK");
    let headers = response.headers_mut();
    for (name, value) in [
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("pragma", "no-cache"),
        // The builder of old: there is none here, and its client says so at once.
        ("builder-version", "1"),
        ("docker-experimental", "false"),
        ("swarm", "inactive"),
    ] {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    image_store::platform::architecture()
}

/// `/version`
pub(crate) fn version() -> Answer {
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy().into_owned();
    answer::json(&json!({
        "Platform": {"Name": "Keelson launcherd"},
        "Components": [{
            "Name": "Engine",
            "Version": ENGINE,
            "Details": {
                "ApiVersion": NEWEST,
                "Arch": architecture(),
                "Experimental": "false",
                "GitCommit": "",
                "KernelVersion": kernel,
                "MinAPIVersion": OLDEST,
                "Os": "linux",
            },
        }],
        "Version": ENGINE,
        "ApiVersion": NEWEST,
        "MinAPIVersion": OLDEST,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": kernel,
        "BuildTime": "",
    }))
}

/// `/info`
pub(crate) async fn info(engine: &Engine) -> Answer {
    let all = containers::states(engine).await?;
    let running = all.iter().filter(|(_, state)| state.is_alive()).count();
    let images = engine.store().await?.images().await;
    let images = images.map_err(answer::of_store)?;
    let mut info = json!({
        "ID": read("/etc/machine-id").trim(),
        "Containers": all.len(),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": all.len() - running,
        "Images": images.len(),
        "Driver": "overlayfs",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": null, "Log": ["journald"]},
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
    });
    let machine = machine();
    if let (Value::Object(info), Value::Object(machine)) = (&mut info, machine) {
        info.extend(machine);
    }
    answer::json(&info)
}

/// What `info` tells of the machine.
fn machine() -> Value {
    let kernel = rustix::system::uname();
    let memory = rustix::system::sysinfo();
    let release = read("/etc/os-release");
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux")
        .trim_matches('"');
    json!({
        "IPv4Forwarding": read("/proc/sys/net/ipv4/ip_forward").trim() == "1",
        "Debug": false,
        "OomKillDisable": false,
        "SystemTime": jiff::Timestamp::now().to_string(),
        "LoggingDriver": "journald",
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "KernelVersion": kernel.release().to_string_lossy(),
        "OperatingSystem": name,
        "OSType": "linux",
        "Architecture": kernel.machine().to_string_lossy(),
        "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "MemTotal": memory.totalram * u64::from(memory.mem_unit),
        "Name": kernel.nodename().to_string_lossy(),
        "ServerVersion": ENGINE,
        "DockerRootDir": "/var/lib/keelson",
        "DefaultRuntime": "crun",
        "Runtimes": {"crun": {"path": "/usr/bin/crun"}},
        "Swarm": {"LocalNodeState": "inactive"},
        "LiveRestoreEnabled": true,
        "InitBinary": "",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "Warnings": null,
    })
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// `/events`: what was since the daemon's start, and what comes.
pub(crate) fn events(engine: &Arc<Engine>, query: &Query) -> Answer {
    let filters = Filters::parse(query.text("filters"), FILTERS)?;
    let time = |name: &str| match query.text(name).map(|text| (text, parse_time(text))) {
        None => Ok(None),
        Some((_, Some(time))) => Ok(u64::try_from(time.as_nanosecond()).ok()),
        Some((text, None)) => Err(ApiError::bad_request(format!("{name}={text} is no time"))),
    };
    let (since, until) = (time("since")?, time("until")?);
    let (past, mut new) = engine.events.follow();
    let (pieces, response) = answer::streamed("application/json");
    tokio::spawn(async move {
        let is_in = |time: u64| until.is_none_or(|until| time <= until);
        let past = past
            .into_iter()
            .filter(|event| since.is_some_and(|since| event.time >= since));
        for event in past.filter(|event| is_in(event.time) && event.is_wanted(&filters)) {
            if pieces.send(answer::line(&event.json())).await.is_err() {
                return;
            }
        }
        loop {
            let event = tokio::select! {
                event = new.recv() => event,
                () = pieces.closed() => return,
                () = at(until) => return,
            };
            match event {
                Ok(event) if is_in(event.time) && event.is_wanted(&filters) => {
                    if pieces.send(answer::line(&event.json())).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => tracing::warn!("a client missed {missed} events"),
                Err(RecvError::Closed) => return,
            }
        }
    });
    Ok(response)
}

/// Returns at a time; never if there is none.
async fn at(time: Option<u64>) {
    match time {
        Some(time) => {
            let left = time.saturating_sub(crate::clock::now());
            tokio::time::sleep(std::time::Duration::from_nanos(left)).await;
        }
        None => std::future::pending().await,
    }
}

/// `/system/df`
pub(crate) async fn disk_usage(engine: &Engine) -> Answer {
    let now = jiff::Timestamp::now();
    let all = containers::states(engine).await?;
    let connections = containers::connections();
    let entry = |(record, state): &(engine_api::Record, engine_api::State)| {
        let own = containers::of_container(&connections, record);
        engine_api::container_answer::list_entry(record, state, None, &own, now)
    };
    let containers: Vec<Value> = all.iter().map(entry).collect();
    let images = crate::images::entries(engine).await?;
    let size: u64 = images
        .iter()
        .filter_map(|image| image["Size"].as_u64())
        .sum();
    answer::json(&json!({
        "LayersSize": size,
        "Images": images,
        "Containers": containers,
        "Volumes": [],
        "BuildCache": [],
    }))
}
