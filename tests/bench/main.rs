//! `bench`: Keelson's figures beside those of a stock Debian 13, as a Markdown table.
//!
//! The peer has the same packages and kernel and is measured in the same run, on the same machine,
//! by the same means. Nothing is judged here beyond the targets in the table: a missed one is no
//! failure of this program.

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use keelson_qemu::interrupt;
use std::path::PathBuf;
use std::process::ExitCode;

mod boot_stages;
mod boots;
mod builds;
mod command;
mod machines;
mod sizes;
mod stock;
mod stock_disk;
mod table;

use table::{Row, Table};

/// Which figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Bytes on disk and to download
    Sizes,
    /// How long the builder takes
    Builds,
    /// Boots and idle machines
    Boots,
}

/// Measures Keelson and a stock Debian 13 and prints a Markdown table.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Arguments {
    /// The builder, keelson
    #[arg(long, value_name = "FILE")]
    builder: PathBuf,
    /// How often each thing is measured; the table shows medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only these figures [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// The checkout that is built
    #[arg(long, value_name = "DIR", default_value = ".")]
    checkout: PathBuf,
    /// The builder's cache, which holds the stock Debian too
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/keelson",
        env = "KEELSON_CACHE"
    )]
    cache: PathBuf,
    /// Say where the time of each boot went
    #[arg(long)]
    details: bool,
}

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
    let mut rows: Vec<Row> = Vec::new();
    let mut notes = vec![
        format!("Medians of {} runs.", arguments.runs),
        peer.to_string(),
    ];
    if wants(Section::Sizes) {
        rows.extend(sizes::measure(&image, &builder.cache, peer.image())?);
    }
    if wants(Section::Builds) {
        rows.extend(builds::measure(&builder, arguments.runs, &peer)?);
    }
    if wants(Section::Boots) {
        let measured = boots::measure(arguments, &builder.cache, &image, peer.image())?;
        notes.push(measured.engine);
        rows.extend(measured.rows);
    }
    let text = Table { rows, notes }.to_string();
    let path = builder.cache.join("bench.md");
    std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    print!("{text}");
    Ok(())
}
