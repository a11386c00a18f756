//! `launch inspect`: all that a monitor says of its container, what of it is registered, and the record of its last run.

use anyhow::bail;
use container_model::name::Name;
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
        "registration": registration,
        "record": record,
    }))
}

/// Of the container's last run, if there is one.
fn record(name: &Name) -> anyhow::Result<Option<ExitRecord>> {
    match std::fs::read(format!("{RECORDS}/{name}.json")) {
        Ok(bytes) => Ok(Some(ExitRecord::decode(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
