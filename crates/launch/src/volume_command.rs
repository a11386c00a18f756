//! `launch volume`: volumes made, listed, shown and removed.
//!
//! What a volume is, `container-volumes` knows; here are options and what is printed.

use clap::{Args, Subcommand};
use container_model::name::Name;
use container_model::options::Label;
use container_volumes::{Error, NewVolume, Volume, Volumes};

use crate::network_command::{print_json, print_names};
use crate::running::table;

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume, which the first container that uses it fills with what its image has there; print its name
    Create(CreateArguments),
    /// List volumes, with where they are
    #[command(alias = "list")]
    Ls {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Show volumes
    Inspect {
        /// Their names
        #[arg(required = true)]
        names: Vec<Name>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Remove volumes that no container uses, with all that is in them
    #[command(alias = "remove")]
    Rm {
        /// Their names
        #[arg(required = true)]
        names: Vec<Name>,
    },
    /// Remove every volume that no container uses, and print the names
    Prune {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// Its name
    name: Name,
    /// A label
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<Label>,
    /// That there is one of that name is no error
    #[arg(long)]
    ignore: bool,
}

pub(crate) fn perform(command: VolumeCommand) -> anyhow::Result<()> {
    let volumes = Volumes::default();
    match command {
        VolumeCommand::Create(arguments) => create(&volumes, arguments),
        VolumeCommand::Ls { json: true } => print_json(&volumes.list()?),
        VolumeCommand::Ls { json: false } => list(&volumes),
        VolumeCommand::Inspect { names, json } => inspect(&volumes, &names, json),
        VolumeCommand::Rm { names } => {
            for name in names {
                volumes.remove(&name)?;
            }
            Ok(())
        }
        VolumeCommand::Prune { json } => print_names(&volumes.prune()?, json),
    }
}

fn list(volumes: &Volumes) -> anyhow::Result<()> {
    let mut rows = vec![table::row(["NAME", "USED", "PATH"])];
    for volume in volumes.list()? {
        let used = if volume.used { "yes" } else { "no" };
        let path = volume.path.display().to_string();
        rows.push(table::row([volume.name.as_str(), used, &path]));
    }
    print!("{}", table::text(&rows));
    Ok(())
}

fn create(volumes: &Volumes, arguments: CreateArguments) -> anyhow::Result<()> {
    let labels = arguments
        .label
        .into_iter()
        .map(|label| (label.name, label.value));
    let new = NewVolume {
        name: arguments.name,
        labels: labels.collect(),
    };
    match volumes.create(&new) {
        Err(Error::Exists(_)) if arguments.ignore => {}
        other => {
            other?;
        }
    }
    println!("{}", new.name);
    Ok(())
}

fn inspect(volumes: &Volumes, names: &[Name], json: bool) -> anyhow::Result<()> {
    let found: Result<Vec<Volume>, Error> = names.iter().map(|name| volumes.find(name)).collect();
    let found = found?;
    if json {
        return print_json(&found);
    }
    for volume in &found {
        let state = if volume.used { "used" } else { "not used" };
        println!("{}: {}, {state}", volume.name, volume.path.display());
        for (name, value) in &volume.labels {
            println!("  {name}={value}");
        }
    }
    Ok(())
}
