//! `provision apply`: a configuration from a file.
//!
//! What is printed are its steps; contents and secrets never are.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use provision::http::Http;
use provision::{
    Afterwards, Devices, Found, Manner, Network, Place, Root, result_file, run as run_configuration,
};

use crate::cli::ApplyArguments;
use crate::conclude;

/// Runs the command.
pub(crate) fn run(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let found = read(&arguments.config)?;
    let root = Root::open(&arguments.root)
        .with_context(|| format!("cannot open the root {}", arguments.root.display()))?;
    let http = Http {
        tell: &|text: &str| eprintln!("provision: {text}"),
    };
    let manner = if arguments.dry_run {
        Manner::DryRun
    } else {
        Manner::Really
    };
    let devices = Devices::default();
    let is_here = arguments.root == Path::new("/");
    let place = Place {
        root: &root,
        devices: is_here.then_some(&devices),
        network: (!arguments.no_network).then_some(&http as &dyn Network),
        manner,
    };
    let record = run_configuration(&found, &place, &mut |step| {
        if !arguments.json {
            println!("{step}");
        }
    });
    if manner == Manner::Really {
        result_file::write(&root, &record).context("cannot write down what was done")?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&record)?);
    } else if arguments.dry_run {
        println!("nothing was done");
    }
    Ok(conclude(&record))
}

fn read(file: &Path) -> anyhow::Result<Found> {
    let mut bytes = Vec::new();
    let (name, read) = if file == Path::new("-") {
        let read = std::io::stdin().read_to_end(&mut bytes).map(drop);
        ("standard input".to_owned(), read)
    } else {
        let read = std::fs::read(file).map(|all| bytes = all);
        (file.display().to_string(), read)
    };
    read.with_context(|| format!("cannot read {name}"))?;
    Ok(Found {
        bytes,
        source: name.clone(),
        name,
        afterwards: Afterwards::Stays,
    })
}
