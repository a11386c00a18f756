//! `launch stop`, `kill`, `pause` and `unpause`.
//!
//! A container is stopped by stopping its unit: systemd would start it again otherwise.

use std::process::Command;

use anyhow::{Context as _, bail};
use container_model::name::Name;
use monitor_protocol::message::{Event, FromMonitor};
use monitor_protocol::{Request, Status};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, kill_process};

use super::command_line::{KillArguments, NamesArguments};
use super::connection::Connection;

pub(crate) fn stop(arguments: &NamesArguments) -> anyhow::Result<()> {
    let mut containers = Vec::new();
    for name in &arguments.names {
        let mut connection = Connection::open(name)?;
        let status = connection.status()?;
        containers.push((connection, status));
    }
    let units = containers
        .iter()
        .filter_map(|(_, status)| status.unit.as_ref());
    let units: Vec<String> = units.map(|unit| format!("{unit}.service")).collect();
    if !units.is_empty() {
        let status = Command::new("systemctl")
            .arg("stop")
            .arg("--")
            .args(&units)
            .status();
        let status = status.context("systemctl")?;
        if !status.success() {
            bail!("systemctl stop {}: {status}", units.join(" "));
        }
    }
    for (connection, status) in containers {
        if status.unit.is_none() {
            end(connection, &status).with_context(|| status.name.clone())?;
        }
    }
    for name in &arguments.names {
        println!("{name}");
    }
    Ok(())
}

/// Of a container without a unit: its monitor is told what systemd would tell it.
fn end(mut connection: Connection, status: &Status) -> anyhow::Result<()> {
    connection.ask(&Request::Watch)?;
    let monitor = socket_peercred(&connection.stream)
        .context("the monitor")?
        .pid;
    kill_process(monitor, Signal::TERM).context("the monitor")?;
    loop {
        match connection.receive()? {
            Some(FromMonitor::Event(Event::Exited(_))) | None => return Ok(()),
            Some(_) => eprintln!("launch: waiting for {} to end", status.name),
        }
    }
}

pub(crate) fn kill(arguments: &KillArguments) -> anyhow::Result<()> {
    let signal = i32::from(arguments.signal.number());
    ask_each(&arguments.names, &Request::Kill { signal })
}

pub(crate) fn pause(arguments: &NamesArguments) -> anyhow::Result<()> {
    ask_each(&arguments.names, &Request::Pause)
}

pub(crate) fn unpause(arguments: &NamesArguments) -> anyhow::Result<()> {
    ask_each(&arguments.names, &Request::Unpause)
}

/// Prints the name of each that did it, as Docker does.
fn ask_each(names: &[Name], request: &Request) -> anyhow::Result<()> {
    for name in names {
        let asked = Connection::open(name).and_then(|mut connection| connection.ask(request));
        asked.with_context(|| name.to_string())?;
        println!("{name}");
    }
    Ok(())
}
