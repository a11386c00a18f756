//! `keelson keys`: makes and rotates the keys that sign releases.

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use release_build::keys::{KeyFolders, NewKeys};
use release_build::root_metadata::Threshold;
use tough::schema::RoleType;

use crate::release_cli::{
    KeyPlaces, KeysArguments, KeysCommand, KeysCreateArguments, KeysRotateArguments, RoleName,
};

/// Runs the command.
pub(crate) fn run(arguments: &KeysArguments) -> anyhow::Result<ExitCode> {
    let (new, json) = match &arguments.command {
        KeysCommand::Create(arguments) => (create(arguments)?, arguments.json),
        KeysCommand::Rotate(arguments) => (rotate(arguments)?, arguments.json),
    };
    if json {
        let value = serde_json::json!({
            "root_version": new.root_version,
            "root": new.root,
            "created": new.created,
            "retired": new.retired,
        });
        println!("{value:#}");
        return Ok(ExitCode::SUCCESS);
    }
    for path in &new.created {
        eprintln!("created  {}", path.display());
    }
    for path in &new.retired {
        eprintln!("retired  {}", path.display());
    }
    eprintln!(
        "root     {} (version {})",
        new.root.display(),
        new.root_version
    );
    Ok(ExitCode::SUCCESS)
}

/// The folders of keys.
pub(crate) fn folders(places: &KeyPlaces) -> KeyFolders {
    KeyFolders {
        folder: places.keys.clone(),
        root_folder: places
            .root_keys
            .clone()
            .unwrap_or_else(|| places.keys.clone()),
    }
}

fn create(arguments: &KeysCreateArguments) -> anyhow::Result<NewKeys> {
    let thresholds = |role| {
        let (signatures, keys) = match role {
            RoleType::Root => arguments.root,
            RoleType::Targets => arguments.targets,
            _ => (1, 1),
        };
        Threshold { keys, signatures }
    };
    Ok(folders(&arguments.places).create(thresholds, expiry(arguments.root_days)?)?)
}

fn rotate(arguments: &KeysRotateArguments) -> anyhow::Result<NewKeys> {
    let role = match arguments.role {
        RoleName::Root => RoleType::Root,
        RoleName::Targets => RoleType::Targets,
        RoleName::Snapshot => RoleType::Snapshot,
        RoleName::Timestamp => RoleType::Timestamp,
    };
    Ok(folders(&arguments.places).rotate(role, expiry(arguments.root_days)?)?)
}

fn expiry(days: u16) -> anyhow::Result<Timestamp> {
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    Ok(now.checked_add(SignedDuration::from_hours(i64::from(days) * 24))?)
}
