//! `keelson channel`: changes what a channel says of a release.

use std::process::ExitCode;

use jiff::Timestamp;
use release_build::channels::{Change, Which, change};
use update_model::channel::Standing;

use crate::commands::release::{lifetimes, places, rollout};
use crate::release_cli::ChannelArguments;

/// Runs the command.
pub(crate) fn run(arguments: &ChannelArguments) -> anyhow::Result<ExitCode> {
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let (directory, keys) = places(&arguments.directory, arguments.keys.clone());
    let which = Which {
        product: arguments.product.clone(),
        channel: arguments.channel.clone(),
        version: arguments.version.parse()?,
    };
    let wanted = wanted(arguments, now)?;
    change(
        &directory,
        &keys,
        &which,
        &wanted,
        lifetimes(&arguments.lifetimes),
        now,
    )?;
    eprintln!(
        "{} {} in channel {} is changed",
        which.product, which.version, which.channel
    );
    Ok(ExitCode::SUCCESS)
}

fn wanted(arguments: &ChannelArguments, now: Timestamp) -> anyhow::Result<Change> {
    let change = &arguments.change;
    let reasons = [
        change.pause.clone().map(Standing::Paused),
        change.withdraw.clone().map(Standing::Withdrawn),
        change.dead_end.clone().map(Standing::DeadEnd),
        change.resume.then_some(Standing::Offered),
    ];
    if let Some(standing) = reasons.into_iter().flatten().next() {
        return Ok(Change::Stand(standing));
    }
    if let Some(barrier) = change.barrier {
        return Ok(Change::Barrier(barrier));
    }
    let rollout = rollout(arguments.waves.as_ref(), now)?;
    if change.add {
        return Ok(Change::Add(rollout));
    }
    if arguments.waves.is_some() {
        return Ok(Change::Roll(rollout));
    }
    anyhow::bail!("nothing to change: see `keelson channel --help`")
}
