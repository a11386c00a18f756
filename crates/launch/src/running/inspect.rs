//! `launch inspect`: all that a monitor says of its container, which networks it is in, what of it is registered, and the
//! record of its last run.

use anyhow::bail;
use container_model::name::Name;
use container_network::Networks;
use monitor_protocol::{ExitRecord, RECORDS, Status};
use serde_json::{Value, json};

use super::command_line::NamesArguments;
use super::connection::Connection;
use super::registration;

pub(crate) fn run(arguments: &NamesArguments) -> anyhow::Result<()> {
    let all: Vec<Value> = arguments
        .names
        .iter()
        .map(inspect)
        .collect::<anyhow::Result<_>>()?;
    println!("{}", serde_json::to_string_pretty(&all)?);
    Ok(())
}

fn inspect(name: &Name) -> anyhow::Result<Value> {
    let status: Option<Status> = match Connection::open(name) {
        Ok(mut connection) => Some(connection.status()?),
        Err(_) => None,
    };
    let record = record(name)?;
    if status.is_none() && record.is_none() {
        bail!("no container named {name} runs, or is known to have run");
    }
    let registration = status.as_ref().and_then(|_| registration::of(name));
    Ok(json!({
        "name": name.as_str(),
        "status": status,
        "networks": networks(name)?,
        "registration": registration,
        "record": record,
    }))
}

/// Those that it is in, the first one first.
fn networks(name: &Name) -> anyhow::Result<Vec<Value>> {
    let all = Networks::default().connections()?;
    let own = all.iter().filter(|one| one.container == *name);
    let told = own.map(|one| {
        json!({
            "name": one.network.name,
            "interface": one.inner_interface(),
            "addresses": one.addresses,
            "aliases": one.aliases,
            "ports": one.ports.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    Ok(told.collect())
}

/// Of the container's last run, if there is one.
fn record(name: &Name) -> anyhow::Result<Option<ExitRecord>> {
    match std::fs::read(format!("{RECORDS}/{name}.json")) {
        Ok(bytes) => Ok(Some(ExitRecord::decode(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
