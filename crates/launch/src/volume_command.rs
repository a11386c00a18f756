//! `launch volume`: volumes made, listed, shown and removed.
//!
//! What a volume is, `container-volumes` knows; here are options and what is printed.

use clap::{Args, Subcommand};
use container_model::name::Name;
use container_model::options::Label;
use container_volumes::{Error, NewVolume, Volume, Volumes};

use crate::resource_command::{
    InspectArguments, ListArguments, ListForm, PruneArguments, RemoveArguments, print_json,
    print_names,
};
use crate::running::table;

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume, which the first container that uses it fills with what its image has there; print its name
    Create(CreateArguments),
    /// List volumes, with where they are
    #[command(alias = "list")]
    Ls(ListArguments),
    /// Show volumes
    Inspect(InspectArguments),
    /// Remove volumes that no container uses, with all that is in them
    #[command(alias = "remove")]
    Rm(RemoveArguments),
    /// Remove every volume that no container uses, and print the names
    Prune(PruneArguments),
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
        VolumeCommand::Ls(arguments) => list(&volumes.list()?, arguments.form()),
        VolumeCommand::Inspect(arguments) => arguments.perform(|name| volumes.find(name), inspect),
        VolumeCommand::Rm(arguments) => arguments.perform(|name| volumes.remove(name)),
        VolumeCommand::Prune(arguments) => arguments.print(&volumes.prune()?),
    }
}

fn list(volumes: &[Volume], form: ListForm) -> anyhow::Result<()> {
    match form {
        ListForm::Json => return print_json(&volumes),
        ListForm::Names => print_names(volumes.iter().map(|volume| &volume.name)),
        ListForm::Table => print_table(volumes),
    }
    Ok(())
}

fn print_table(volumes: &[Volume]) {
    let mut rows = vec![table::row(["NAME", "USED", "PATH"])];
    for volume in volumes {
        let used = if volume.used { "yes" } else { "no" };
        let path = volume.path.display().to_string();
        rows.push(table::row([volume.name.as_str(), used, &path]));
    }
    print!("{}", table::text(&rows));
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

fn inspect(volumes: &[Volume], json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&volumes);
    }
    for volume in volumes {
        let state = if volume.used { "used" } else { "not used" };
        println!("{}: {}, {state}", volume.name, volume.path.display());
        for (name, value) in &volume.labels {
            println!("  {name}={value}");
        }
    }
    Ok(())
}
