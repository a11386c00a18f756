//! `bench`: Keelson's figures beside those of a stock Debian 13 and of others, as Markdown tables.
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
#[path = "../fleet/certificates.rs"]
mod certificates;
#[path = "../fleet/cluster.rs"]
#[allow(dead_code)] // the tests need more of it
mod cluster;
mod command;
mod containers;
mod fleet;
mod kv;
mod kv3;
mod machines;
#[allow(dead_code)] // the metadata services' own tests need more of it
#[path = "../../crates/provision/src/mock_server.rs"]
mod mock_server;
mod provision;
#[path = "../fleet/root.rs"]
mod root;
mod sizes;
mod stock;
mod stock_disk;
mod table;
mod updates;

use arguments::{Arguments, Section, Work};
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
    match &arguments.work {
        Some(Work::Update(order)) => return order.obey(),
        Some(Work::Engine(order)) => return order.obey(),
        None => {}
    }
    interrupt::install()?;
    let all = [Section::Sizes, Section::Builds, Section::Boots];
    if all.iter().any(|section| arguments.wants(*section)) {
        image(arguments)?;
    }
    if arguments.wants(Section::Kv) {
        key_value_store(arguments)?;
    }
    if arguments.wants(Section::Kv3) {
        key_value_store_v3(arguments)?;
    }
    if arguments.wants(Section::Updates) {
        updates(arguments)?;
    }
    if arguments.wants(Section::Fleet) {
        fleet_of_machines(arguments)?;
    }
    if arguments.wants(Section::Containers) {
        containers_of_machine(arguments)?;
    }
    if arguments.wants(Section::Provision) {
        first_boots(arguments)?;
    }
    Ok(())
}

/// Configurations of first boots, which have no peer in the stock Debian.
fn first_boots(arguments: &Arguments) -> anyhow::Result<()> {
    let measured = provision::measure(arguments)?;
    let table = Table {
        peer: ("nothing", "none"),
        rows: measured.rows,
        notes: vec![measured.engine],
    };
    write(&table, &arguments.cache.join("bench-provision.md"))?;
    print!("{table}");
    Ok(())
}

/// Containers, beside docker, podman and services without.
fn containers_of_machine(arguments: &Arguments) -> anyhow::Result<()> {
    let tables = containers::measure(arguments)?;
    write_all(&tables, &arguments.cache.join("bench-containers.md"))
}

/// The fleet, beside what is written of fleet.
fn fleet_of_machines(arguments: &Arguments) -> anyhow::Result<()> {
    let measured = fleet::measure(arguments)?;
    let table = Table {
        peer: ("fleet, by what is written of it", "fleet"),
        rows: measured.rows,
        notes: measured.notes,
    };
    write(&table, &arguments.cache.join("bench-fleet.md"))?;
    print!("{table}");
    Ok(())
}

/// Updates, beside a full download, casync, xdelta3 and dd.
fn updates(arguments: &Arguments) -> anyhow::Result<()> {
    let tables = updates::measure(arguments)?;
    write_all(&tables, &arguments.cache.join("bench-updates.md"))
}

/// Several tables, to a file and to whoever looks.
fn write_all(tables: &[Table], path: &Path) -> anyhow::Result<()> {
    let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let text = tables.join("\n");
    std::fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    print!("{text}");
    Ok(())
}

/// The image and its boots, beside a stock Debian.
fn image(arguments: &Arguments) -> anyhow::Result<()> {
    let builder = builds::Builder::new(arguments)?;
    let image = builder.image()?;
    let peer = stock::find_or_build(&builder)?;
    let mut table = Table {
        peer: ("stock Debian 13", "stock"),
        rows: Vec::new(),
        notes: vec![
            format!("Medians of {} runs.", arguments.runs),
            peer.to_string(),
        ],
    };
    let path = builder.cache.join("bench.md");
    if arguments.wants(Section::Sizes) {
        table
            .rows
            .extend(sizes::measure(&image, &builder.cache, peer.image())?);
        write(&table, &path)?;
    }
    if arguments.wants(Section::Builds) {
        table
            .rows
            .extend(builds::measure(&builder, arguments.runs, &peer)?);
        write(&table, &path)?;
    }
    if arguments.wants(Section::Boots) {
        let measured = boots::measure(arguments, &builder.cache, &image, peer.image())?;
        table.notes.push(measured.engine);
        table.rows.extend(measured.rows);
    }
    write(&table, &path)?;
    print!("{table}");
    Ok(())
}

/// kvd beside etcd.
fn key_value_store(arguments: &Arguments) -> anyhow::Result<()> {
    let table = Table {
        peer: ("etcd 3.4", "etcd"),
        rows: kv::measure(arguments)?,
        notes: vec![format!(
            "Medians of {} runs; servers and load on the same machine, one disk, every write synced by both.",
            arguments.runs
        )],
    };
    write(&table, &arguments.cache.join("bench-kv.md"))?;
    print!("{table}");
    Ok(())
}

/// kvd beside etcd, by the v3 API.
fn key_value_store_v3(arguments: &Arguments) -> anyhow::Result<()> {
    let measured = kv3::measure(arguments)?;
    let mut notes = vec![format!(
        "Medians of {} runs; one member, 256-byte values; servers and load on the same machine, one disk, every write synced by both.",
        measured.runs
    )];
    notes.extend(measured.notes);
    let table = Table {
        peer: ("etcd 3.4", "etcd"),
        rows: measured.rows,
        notes,
    };
    write(&table, &arguments.cache.join("bench-kv3.md"))?;
    print!("{table}");
    Ok(())
}

/// Writes what there is so far: the rest may fail after many minutes.
fn write(table: &Table, path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, table.to_string())
        .with_context(|| format!("cannot write {}", path.display()))
}
