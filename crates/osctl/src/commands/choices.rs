//! `osctl pin` and `osctl channel`: choices that hold until others are made.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow, ensure};
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files::{SETTINGS, read_choices, read_settings, write_choices};
use serde::Serialize;
use update_model::manifest::is_name;
use update_model::settings::Choices;

use crate::cli::{ChannelArguments, PinArguments};
use crate::commands::update::ensure_root;

/// Runs `osctl pin`.
pub(crate) fn pin(arguments: &PinArguments) -> anyhow::Result<ExitCode> {
    change(|choices| choices.pinned.clone_from(&arguments.version))?;
    match &arguments.version {
        Some(version) => println!("pinned to {version}: `osctl pin --none` takes that back"),
        None => println!("releases are taken as they come"),
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct ChannelView<'a> {
    channel: &'a str,
    chosen_by: &'static str,
}

/// Runs `osctl channel`.
pub(crate) fn channel(arguments: &ChannelArguments) -> anyhow::Result<ExitCode> {
    if let Some(name) = &arguments.name {
        ensure!(
            is_name(name),
            "{name:?} is no channel's name: that is of lower-case letters and digits"
        );
    }
    if arguments.default || arguments.name.is_some() {
        change(|choices| choices.channel.clone_from(&arguments.name))?;
    }
    let root = SystemRoot::new("/");
    let settings = read_settings(&root).map_err(|error| anyhow!(error.reason()))?;
    let choices = read_choices(&root).map_err(|error| anyhow!(error.reason()))?;
    let view = match &choices.channel {
        Some(channel) => ChannelView {
            channel,
            chosen_by: "osctl channel",
        },
        None => ChannelView {
            channel: &settings.channel,
            chosen_by: SETTINGS,
        },
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&view)?);
    } else {
        println!("{} (by {})", view.channel, view.chosen_by);
    }
    Ok(ExitCode::SUCCESS)
}

fn change(change: impl FnOnce(&mut Choices)) -> anyhow::Result<()> {
    ensure_root()?;
    let root = SystemRoot::new("/");
    let mut choices = read_choices(&root).map_err(|error| anyhow!(error.reason()))?;
    change(&mut choices);
    write_choices(&root, &choices).context("cannot write what was chosen")
}
