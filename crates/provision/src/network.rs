//! `provision network`: the part of the first boot that needs the network, before anything of the user's starts.
//!
//! Its unit runs it again after a failure, in the same boot: a configuration that is corrected where it stands is
//! taken without a reboot, and no boot of the version counts as failed for it. One that `/init` has refused is not looked
//! at again, since where that stands nothing changes while the machine runs: the boot stops.

use std::process::ExitCode;

use anyhow::Context as _;
use machine_facts::error::chain;
use machine_facts::provision_record::{Outcome, Record};
use machine_facts::system_root::SystemRoot;
use provision::http::Http;
use provision::metadata::{Pace, Wishes};
use provision::network_source::{Choice, NetworkSource};
use provision::{Devices, Found, Manner, Place, Root, result_file, run_over};

use crate::afterwards::{Esp, settle};
use crate::cli::NetworkArguments;
use crate::hand_over::hand_over;
use crate::record::{failed, say_step, unsourced};
use crate::{conclude, emergency, pending};

/// The exit code after which the unit does not try again.
const STOPPED: u8 = 5;

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
    if pending::is_stopped(&arguments.firmware.run) {
        return stop(arguments);
    }
    let record = configure(arguments, &root)?;
    result_file::write(&root, &record).context("cannot write down what was done")?;
    println!("provision: {record}");
    match record.outcome {
        Outcome::Applied | Outcome::Nothing => hand_over_if_asked(arguments, &record.steps)?,
        _ => emergency::open_if_asked(&arguments.firmware)?,
    }
    Ok(conclude(&record))
}

/// Says again why, for whoever looks now.
fn stop(arguments: &NetworkArguments) -> anyhow::Result<ExitCode> {
    let record = Record::read(&SystemRoot::new(&arguments.root))?;
    if let Some(record) = record {
        conclude(&record);
    }
    println!("provision: the boot stops here: correct that, then restart the machine");
    emergency::open_if_asked(&arguments.firmware)?;
    Ok(ExitCode::from(STOPPED))
}

/// By hand, on a machine that runs already, there is nobody to hand over to.
fn hand_over_if_asked(
    arguments: &NetworkArguments,
    steps: &[machine_facts::provision_record::Step],
) -> anyhow::Result<()> {
    if pending::is_requested(&arguments.firmware.run) {
        emergency::close_if_asked(&arguments.firmware)?;
        hand_over(&arguments.firmware.run, steps)?;
    }
    Ok(())
}

fn configure(arguments: &NetworkArguments, root: &Root) -> anyhow::Result<Record> {
    if let Some(found) = pending::configuration(&arguments.firmware.run)? {
        let record = apply(&Wishes::default(), &found, root);
        settle(root, &found, &record, Some(Esp::Folder(&arguments.efi)));
        return Ok(record);
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

fn apply(wishes: &Wishes, found: &Found, root: &Root) -> Record {
    let place = Place {
        root,
        devices: Some(&Devices::default()),
        network: Some(&HTTP),
        manner: Manner::Really,
    };
    run_over(wishes, found, &place, &mut say_step)
}
