//! `bench`: Keelson's figures beside those of a stock Debian 13, as a Markdown table.
//!
//! The peer has the same packages and kernel and is measured in the same run, on the same machine,
//! by the same means. Nothing is judged here beyond the targets in the table: a missed one is no
//! failure of this program.

use anyhow::Context as _;
use clap::Parser as _;
use keelson_qemu::interrupt;
use std::path::Path;
use std::process::ExitCode;

mod arguments;
mod boot_stages;
mod boots;
mod builds;
mod command;
mod machines;
mod sizes;
mod stock;
mod stock_disk;
mod table;

use arguments::{Arguments, Section};
use table::Table;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            // The conventional code of a program that a signal ended.
            let signal = interrupt::received().and_then(|signal| u8::try_from(128 + signal).ok());
            signal.map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    interrupt::install()?;
    let wants = |section| arguments.only.is_empty() || arguments.only.contains(&section);
    let builder = builds::Builder::new(arguments)?;
    let image = builder.image()?;
    let peer = stock::find_or_build(&builder)?;
    let mut table = Table {
        rows: Vec::new(),
        notes: vec![
            format!("Medians of {} runs.", arguments.runs),
            peer.to_string(),
        ],
    };
    let path = builder.cache.join("bench.md");
    if wants(Section::Sizes) {
        table
            .rows
            .extend(sizes::measure(&image, &builder.cache, peer.image())?);
        write(&table, &path)?;
    }
    if wants(Section::Builds) {
        table
            .rows
            .extend(builds::measure(&builder, arguments.runs, &peer)?);
        write(&table, &path)?;
    }
    if wants(Section::Boots) {
        let measured = boots::measure(arguments, &builder.cache, &image, peer.image())?;
        table.notes.push(measured.engine);
        table.rows.extend(measured.rows);
    }
    write(&table, &path)?;
    print!("{table}");
    Ok(())
}

/// Writes what there is so far: the rest may fail after many minutes.
fn write(table: &Table, path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, table.to_string())
        .with_context(|| format!("cannot write {}", path.display()))
}
