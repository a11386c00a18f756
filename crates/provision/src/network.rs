//! `provision network`: the part of the first boot that needs the network, before anything of the user's starts.
//!
//! Its unit runs it again after a failure, in the same boot: a configuration that is corrected where it stands is
//! taken without a reboot, and no boot of the version counts as failed for it.

use std::process::ExitCode;

use anyhow::Context as _;
use machine_facts::error::chain;
use machine_facts::provision_record::{Outcome, Record};
use provision::http::Http;
use provision::metadata::Pace;
use provision::network_source::{Choice, NetworkSource};
use provision::{Found, Manner, Place, Root, result_file, run_over};
use provision_model::Plan;

use crate::cli::NetworkArguments;
use crate::hand_over::hand_over;
use crate::record::{failed, say_step, unsourced};
use crate::{conclude, pending};

/// Runs the command.
pub(crate) fn run(arguments: &NetworkArguments) -> anyhow::Result<ExitCode> {
    let root = Root::open(&arguments.root)
        .with_context(|| format!("cannot open the root {}", arguments.root.display()))?;
    if result_file::is_done(&root) {
        // It was cut off between its last two steps.
        let steps = result_file::steps(&arguments.root);
        hand_over_if_asked(arguments, &steps)?;
        return Ok(ExitCode::SUCCESS);
    }
    let record = configure(arguments, &root)?;
    result_file::write(&root, &record).context("cannot write down what was done")?;
    println!("provision: {record}");
    if matches!(record.outcome, Outcome::Applied | Outcome::Nothing) {
        hand_over_if_asked(arguments, &record.steps)?;
    }
    Ok(conclude(&record))
}

/// By hand, on a machine that runs already, there is nobody to hand over to.
fn hand_over_if_asked(
    arguments: &NetworkArguments,
    steps: &[machine_facts::provision_record::Step],
) -> anyhow::Result<()> {
    if pending::is_requested(&arguments.firmware.run) {
        hand_over(&arguments.firmware.run, steps)?;
    }
    Ok(())
}

fn configure(arguments: &NetworkArguments, root: &Root) -> anyhow::Result<Record> {
    if let Some(found) = pending::configuration(&arguments.firmware.run)? {
        return Ok(apply(&Plan::default(), &found, root));
    }
    let choice = match arguments.firmware.choice()? {
        Ok(choice) => choice,
        Err(refused) => return Ok(refused),
    };
    let Choice::Source(source) = choice else {
        return Ok(unsourced(Outcome::Nothing));
    };
    println!("provision: asking {} ({})", source.name(), source.address());
    Ok(look(&source, root))
}

fn look(source: &NetworkSource, root: &Root) -> Record {
    match source.look(&HTTP, Pace::USUAL, &tell) {
        Ok((found, wishes)) => {
            println!("provision: {}: {} bytes", found.source, found.bytes.len());
            apply(&wishes, &found, root)
        }
        Err(error) => failed(Some(source.name()), chain(&error)),
    }
}

const HTTP: Http<'static> = Http { tell: &tell };

fn tell(text: &str) {
    println!("provision: {text}");
}

fn apply(wishes: &Plan, found: &Found, root: &Root) -> Record {
    let place = Place {
        root,
        network: Some(&HTTP),
        manner: Manner::Really,
    };
    run_over(wishes, found, &place, &mut say_step)
}
