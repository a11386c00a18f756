//! The command line of `bench`, as clap derives it.

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

use crate::fleet::engine;
use crate::updates::client::Order;

/// Which figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Bytes on disk and to download
    Sizes,
    /// How long the builder takes
    Builds,
    /// Boots and idle machines
    Boots,
    /// The key-value store beside etcd
    Kv,
    /// The key-value store's v3 API beside etcd's
    Kv3,
    /// Updates: bytes fetched and seconds
    Updates,
    /// The fleet: from a start to the start call, many units, machines at rest
    Fleet,
    /// Containers beside docker and podman: starts, memory, many at once, pulls
    Containers,
    /// How long a metadata service's configuration holds up a machine's first boot
    Provision,
}

/// What this program runs itself for.
#[derive(Debug, Subcommand)]
pub(crate) enum Work {
    /// One update of a root
    #[command(hide = true)]
    Update(Order),
    /// An engine of the fleet
    #[command(hide = true)]
    Engine(engine::Order),
}

/// Measures Keelson beside a stock Debian 13, etcd, casync, docker and others and prints Markdown tables.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
pub(crate) struct Arguments {
    /// One piece of it.
    #[command(subcommand)]
    pub(crate) work: Option<Work>,
    /// The builder, keelson
    #[arg(long, value_name = "FILE", default_value = "target/release/keelson")]
    pub(crate) builder: PathBuf,
    /// How often each thing is measured; the table shows medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Only these figures [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Section>,
    /// The checkout that is built
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) checkout: PathBuf,
    /// The builder's cache, which holds the stock Debian too
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/keelson",
        env = "KEELSON_CACHE"
    )]
    pub(crate) cache: PathBuf,
    /// The manifest of an image that is there, instead of building one
    #[arg(long, value_name = "FILE", env = "KEELSON_IMAGE")]
    pub(crate) image: Option<PathBuf>,
    /// Measure almost nothing of `kv3`, `updates`, `fleet`, `containers` and `provision`, to try whether they work
    #[arg(long)]
    pub(crate) quick: bool,
    /// Say where the time of each boot went
    #[arg(long)]
    pub(crate) details: bool,
}

impl Arguments {
    /// Whether these figures are asked for.
    pub(crate) fn wants(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.contains(&section)
    }
}
