//! `provision first-boot`: the configuration from wherever the machine's owner has put it, once.
//!
//! `/init` starts it in the root that will be `/`, before systemd runs. What it prints is for the console. What needs the
//! network is left to [`crate::network`], which this boot is then for; so is to say why the boot stops, if what the
//! owner has given is wrong.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use machine_facts::provision_record::{Outcome, Record};
use provision::given::GivenBefore;
use provision::network_source::Choice;
use provision::source::{
    FatDevice, FirmwareConfiguration, Source, SystemStrings, Told, find_drives, first, guest_info,
};
use provision::{Devices, Found, Manner, Place, Root, result_file, run as run_configuration};

use crate::afterwards::{Esp, settle};
use crate::attached::{AttachedDrive, load_modules};
use crate::cli::FirstBootArguments;
use crate::firmware::Firmware;
use crate::record::{refused, say_step, unsourced};
use crate::{conclude, pending};

/// The device by which QEMU gives files to a machine, and the module that shows them.
const FIRMWARE_DEVICE: &str = "bus/acpi/devices/QEMU0002:00";
const FIRMWARE_ITEMS: &str = "firmware/qemu_fw_cfg";
const FIRMWARE_MODULE: &str = "qemu_fw_cfg";

/// SCSI's number for drives of CDs and DVDs, and their driver.
const OPTICAL_TYPE: &str = "5";
const OPTICAL_MODULE: &str = "sr_mod";

/// Runs the command.
pub(crate) fn run(arguments: &FirstBootArguments) -> anyhow::Result<ExitCode> {
    let root = Root::open(&arguments.root)
        .with_context(|| format!("cannot open the root {}", arguments.root.display()))?;
    if result_file::is_done(&root) {
        println!("provision: this machine was configured before");
        return Ok(ExitCode::SUCCESS);
    }
    let (found, record) = match first(&sources(arguments), &mut |told| say(told)) {
        Ok(Some(found)) => {
            say_unneeded(&arguments.firmware)?;
            let record = apply(&found, &root);
            let esp = arguments.esp.as_deref().map(Esp::Device);
            settle(&root, &found, &record, esp);
            (Some(found), record)
        }
        Ok(None) => (None, left_to_the_network(&arguments.firmware)?),
        Err(error) => (None, refused(None, machine_facts::error::chain(&error))),
    };
    match record.outcome {
        Outcome::Deferred { .. } => pending::request(&arguments.firmware.run, found.as_ref())?,
        Outcome::Refused { .. } => pending::stop(&arguments.firmware.run)?,
        Outcome::Nothing | Outcome::Applied | Outcome::Failed { .. } => {}
    }
    result_file::write(&root, &record).context("cannot write down what was done")?;
    println!("provision: {record}");
    Ok(conclude(&record))
}

/// What is put off, if there is something to ask that is not here.
fn left_to_the_network(firmware: &Firmware) -> anyhow::Result<Record> {
    let choice = match firmware.choice()? {
        Ok(choice) => choice,
        Err(refused) => return Ok(refused),
    };
    Ok(match choice {
        Choice::Nothing => unsourced(Outcome::Nothing),
        Choice::Source(source) => {
            let addresses = vec![source.address().to_owned()];
            Record {
                source: Some(source.name()),
                ..unsourced(Outcome::Deferred { addresses })
            }
        }
    })
}

/// Words that nobody obeys because a nearer source has a configuration may be wrong, and are told all the same.
fn say_unneeded(firmware: &Firmware) -> anyhow::Result<()> {
    if let Err(Record {
        outcome: Outcome::Refused { problems },
        ..
    }) = firmware.choice()?
    {
        println!("provision: {}; it is not needed", problems.join("; "));
    }
    Ok(())
}

/// In the order in which they are asked; the first that has a configuration counts.
pub(crate) fn sources(arguments: &FirstBootArguments) -> Vec<Box<dyn Source>> {
    let sys = &arguments.firmware.sys;
    if sys.join(FIRMWARE_DEVICE).exists() && !sys.join(FIRMWARE_ITEMS).exists() {
        load_modules(&[FIRMWARE_MODULE]);
    }
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for item in FirmwareConfiguration::all(sys) {
        sources.push(Box::new(item));
    }
    sources.push(Box::new(SystemStrings::new(sys)));
    sources.extend(guest_info(sys));
    if let Some(device) = &arguments.esp {
        sources.push(Box::new(FatDevice {
            what: "the ESP",
            device: device.clone(),
        }));
    }
    sources.push(Box::new(GivenBefore::new(&arguments.root)));
    if has_optical_drive(sys) {
        load_modules(&[OPTICAL_MODULE]);
    }
    for drive in find_drives(sys, Path::new("/dev")) {
        sources.push(Box::new(AttachedDrive(drive)));
    }
    sources
}

/// A cloud's config drive is often one, and nothing before has needed its driver.
fn has_optical_drive(sys: &Path) -> bool {
    let devices = std::fs::read_dir(sys.join("bus/scsi/devices"));
    let mut devices = devices.into_iter().flatten().flatten();
    devices.any(|device| {
        let kind = std::fs::read_to_string(device.path().join("type"));
        kind.is_ok_and(|kind| kind.trim() == OPTICAL_TYPE)
    })
}

fn say(told: &Told) {
    match told {
        Told::Nothing(source) => println!("provision: {source}: nothing there"),
        Told::Found(source, bytes) => println!("provision: {source}: {bytes} bytes"),
    }
}

/// Nothing is fetched: there is no network before systemd runs.
fn apply(found: &Found, root: &Root) -> Record {
    let place = Place {
        root,
        devices: Some(&Devices::default()),
        network: None,
        manner: Manner::Really,
    };
    run_configuration(found, &place, &mut say_step)
}
