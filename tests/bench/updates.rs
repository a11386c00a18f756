//! Updates: bytes fetched and seconds by each way of fetching, beside casync, xdelta3 and dd.
//!
//! All ways and all peers get the same pairs of images, in one run. Which figures there are and their targets stand
//! here. Ours come over HTTP on loopback, in a process of their own; the server counts the bytes. That nothing of
//! `updaterd` stays resident between runs is a test's: `tests/boot/updates.rs`.

use anyhow::{Context as _, ensure};
use std::fs;
use std::path::PathBuf;
use update_model::method::{Method, choose};

use crate::arguments::Arguments;
use crate::builds::Builder;
use crate::table::{Peer, Row, Table, Target, Unit, megabytes};
use client::{Came, Order};
use images::{Image, Images};
use peers::{Cost, Peers};
use releases::{Directory, Release, Web};

pub(crate) mod client;
mod daemon;
mod images;
mod locks;
pub(crate) mod peers;
mod releases;
mod writing;

/// Of a full download, by static and by block delta, after a month.
const MONTH_LIMITS: [f64; 2] = [0.25, 0.45];
/// The root alone.
const MONTH_ROOT_LIMIT: f64 = 0.12;
/// Of the changed program's own compressed size.
const DAEMON_LIMIT: f64 = 1.3;
/// Of dd's speed, as a share of its time.
const WRITING_LIMIT: f64 = 1.0 / 0.8;

/// As `keelson release` compresses by default, and where it does not matter.
const LEVEL: i32 = 19;
const QUICK_LEVEL: i32 = 3;

/// What changes between two releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Daemon,
    Package,
    Month,
}

impl Change {
    const ALL: [Self; 4] = [Self::Nothing, Self::Daemon, Self::Package, Self::Month];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "same image again",
            Self::Daemon => "one daemon",
            Self::Package => "one Debian package",
            Self::Month => "a month",
        }
    }

    fn channel(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Daemon => "daemon",
            Self::Package => "package",
            Self::Month => "month",
        }
    }

    /// From which image to which.
    fn pair(self, images: &Images) -> [&Image; 2] {
        match self {
            Self::Nothing => [&images.current, &images.renamed],
            Self::Daemon => [&images.current, &images.daemon],
            Self::Package => [&images.package_old, &images.current],
            Self::Month => [&images.month_old, &images.current],
        }
    }
}

/// One way of fetching, measured.
#[derive(Debug)]
struct Way {
    /// All that the server sent, metadata included.
    sent_bytes: u64,
    seconds: Vec<f64>,
    came: Came,
}

/// A change, measured.
struct Measured {
    change: Change,
    full: Way,
    block: Way,
    /// Nothing if a delta would not have been worth its file: then what it would have cost.
    fixed: Result<Way, u64>,
    casync: Cost,
    xdelta3: Cost,
}

struct Bench<'a> {
    builder: Builder,
    folder: PathBuf,
    arguments: &'a Arguments,
}

/// Measures everything; takes most of an hour the first time.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<Vec<Table>> {
    let builder = Builder::new(arguments)?;
    let bench = Bench {
        folder: builder.cache.join("updates"),
        builder,
        arguments,
    };
    fs::create_dir_all(&bench.folder)?;
    // Which builds our programs, too.
    bench.builder.image()?;
    let peers = Peers::install(&bench.builder, &bench.folder)?;
    let images = Images::build(&bench.builder, &bench.folder)?;
    let writing = bench.writing(&images)?;
    let directory = bench.folder.join("directory");
    let directory = Directory::create(&bench.builder, &directory)?;
    // Of these two nothing is fetched.
    directory.release(&images.month_old, &["month"], QUICK_LEVEL)?;
    directory.release(&images.package_old, &["package"], QUICK_LEVEL)?;
    let everywhere = Change::ALL.map(Change::channel);
    let level = bench.level();
    let current = directory.release(&images.current, &everywhere, level)?;
    let renamed = directory.release(&images.renamed, &["nothing"], level)?;
    let daemon = directory.release(&images.daemon, &["daemon"], level)?;
    let web = directory.serve()?;
    let mut measured = Vec::new();
    for change in Change::ALL {
        let release = match change {
            Change::Nothing => &renamed,
            Change::Daemon => &daemon,
            Change::Package | Change::Month => &current,
        };
        measured.push(bench.change(change, &images, release, &directory, &web, &peers)?);
    }
    let allowance = bench.daemon_allowance(&images, &measured)?;
    let mut tables = vec![against_full(&images, &measured, allowance)];
    tables.extend(against_peers(&measured));
    tables.push(writing);
    Ok(tables)
}

impl Bench<'_> {
    fn runs(&self) -> u32 {
        if self.arguments.quick {
            1
        } else {
            self.arguments.runs
        }
    }

    /// Zstandard's.
    fn level(&self) -> i32 {
        if self.arguments.quick {
            QUICK_LEVEL
        } else {
            LEVEL
        }
    }

    fn change(
        &self,
        change: Change,
        images: &Images,
        release: &Release,
        directory: &Directory<'_>,
        web: &Web,
        peers: &Peers,
    ) -> anyhow::Result<Measured> {
        let [old, new] = change.pair(images);
        let way = |method| self.way(change, old, method, directory, web);
        let [old, new] = [&old.built.manifest, &new.built.manifest];
        let fixed = match release.left_out(&old.version) {
            Some(bytes) => Err(bytes),
            None => Ok(way(Method::StaticDelta)?),
        };
        let (full, block) = (way(Method::Full)?, way(Method::BlockDelta)?);
        eprintln!("bench: {}, casync and xdelta3", change.name());
        Ok(Measured {
            change,
            full,
            block,
            fixed,
            casync: peers.casync(&old.root, &new.root, self.runs())?,
            xdelta3: peers.xdelta3(&old.root, &new.root, self.runs())?,
        })
    }

    fn way(
        &self,
        change: Change,
        old: &Image,
        method: Method,
        directory: &Directory<'_>,
        web: &Web,
    ) -> anyhow::Result<Way> {
        eprintln!("bench: {}, {method}", change.name());
        let order = Order {
            url: web.url.clone(),
            trust: directory.trust(),
            channel: change.channel().to_owned(),
            method,
            old: old.built.manifest_path.clone(),
            slot: self.folder.join("slot"),
        };
        let mut ways = Vec::new();
        for _ in 0..self.runs() {
            ways.push(web.counting(|| order.give())?);
        }
        fs::remove_file(&order.slot)?;
        let seconds = ways.iter().map(|(came, _)| came.seconds).collect();
        let (came, sent_bytes) = *ways.last().context("at least one run")?;
        ensure!(sent_bytes > came.root_bytes, "the server has not counted");
        Ok(Way {
            sent_bytes,
            seconds,
            came,
        })
    }

    /// What one changed daemon may cost: its own size compressed, with some room, and what changed of the tree.
    fn daemon_allowance(&self, images: &Images, measured: &[Measured]) -> anyhow::Result<f64> {
        let program = fs::read(&images.changed_program)?;
        let compressed = release_build::compress::whole(&program, self.level())?.len() as u64;
        let daemon = measured.iter().find(|one| one.change == Change::Daemon);
        let tree = daemon.context("it was measured")?.block.came.tree_bytes;
        Ok(megabytes(compressed) * DAEMON_LIMIT + megabytes(tree))
    }

    fn writing(&self, images: &Images) -> anyhow::Result<Table> {
        let (current, new) = (&images.current.built, &images.daemon.built);
        let seconds = writing::measure(current, new, &self.folder, self.runs())?;
        let row = Row::new(
            "writing a root into a slot, checked and durable",
            Unit::Seconds,
            seconds.ours,
            Peer::Measured(seconds.dd),
        );
        Ok(Table {
            peer: ("dd conv=fsync", "dd"),
            rows: vec![row.with_target(Target::RatioAtMost(WRITING_LIMIT))],
            notes: Vec::new(),
        })
    }
}

impl Measured {
    /// What a client takes: the delta if there is one, or else what costs less.
    fn taken(&self) -> (Method, &Way) {
        let fixed = self.fixed.as_ref().ok();
        let bytes = |way: &Way| way.sent_bytes;
        let choice = choose(
            Some(bytes(&self.block)),
            fixed.map(bytes),
            bytes(&self.full),
        );
        match (choice.method, fixed) {
            (Method::StaticDelta, Some(fixed)) => (choice.method, fixed),
            (Method::Full, _) => (choice.method, &self.full),
            _ => (Method::BlockDelta, &self.block),
        }
    }

    fn row(&self, what: &str, unit: Unit, ours: Vec<f64>, theirs: Vec<f64>) -> Row {
        let name = format!("{}: {what}", self.change.name());
        Row::new(&name, unit, ours, Peer::Measured(theirs))
    }

    fn bytes(&self, what: &str, ours: u64, theirs: u64) -> Row {
        let [ours, theirs] = [ours, theirs].map(|bytes| vec![megabytes(bytes)]);
        self.row(what, Unit::Megabytes, ours, theirs)
    }

    /// The target of a row if this is a month.
    fn monthly(&self, target: Target) -> Target {
        match self.change {
            Change::Month => target,
            _ => Target::None,
        }
    }

    fn against_full(&self, daemon_allowance: f64) -> Vec<Row> {
        let full = self.full.sent_bytes;
        let (method, taken) = self.taken();
        let (fixed, name) = match &self.fixed {
            Ok(way) => (way.sent_bytes, "static delta"),
            Err(bytes) => (*bytes, "static delta, left out because it costs more"),
        };
        let limit = |limit| self.monthly(Target::RatioAtMost(limit));
        let taken_limit = match self.change {
            Change::Daemon => Target::AtMost((daemon_allowance * 100.0).round() / 100.0),
            _ => Target::None,
        };
        let block = self.block.sent_bytes;
        let root = (taken.came.root_bytes, self.full.came.root_bytes);
        let mut rows = vec![
            self.bytes(name, fixed, full)
                .with_target(limit(MONTH_LIMITS[0])),
            self.bytes("block delta", block, full)
                .with_target(limit(MONTH_LIMITS[1])),
            self.bytes(&format!("taken, {method}"), taken.sent_bytes, full)
                .with_target(taken_limit),
            self.bytes("root alone, as taken", root.0, root.1)
                .with_target(limit(MONTH_ROOT_LIMIT)),
        ];
        let seconds = |way: &Way| way.seconds.clone();
        if let Ok(fixed) = &self.fixed {
            let (ours, theirs) = (seconds(fixed), seconds(&self.full));
            rows.push(self.row("static delta", Unit::Seconds, ours, theirs));
        }
        let (ours, theirs) = (seconds(&self.block), seconds(&self.full));
        rows.push(self.row("block delta", Unit::Seconds, ours, theirs));
        let (ours, theirs) = (taken.came.peak_bytes, self.full.came.peak_bytes);
        rows.push(self.bytes("client's memory at most, as taken", ours, theirs));
        rows
    }

    /// The root alone, as taken and by block delta, and seconds.
    fn against(&self, peer: &Cost, target: Target) -> Vec<Row> {
        let (method, taken) = self.taken();
        let taken_name = format!("root alone, as taken ({method})");
        vec![
            self.bytes(&taken_name, taken.came.root_bytes, peer.bytes)
                .with_target(self.monthly(target)),
            self.bytes(
                "root alone, block delta",
                self.block.came.root_bytes,
                peer.bytes,
            ),
            self.row(
                "until durable, as taken",
                Unit::Seconds,
                taken.seconds.clone(),
                peer.seconds.clone(),
            ),
        ]
    }
}

fn against_full(images: &Images, measured: &[Measured], daemon_allowance: f64) -> Table {
    let mut notes = vec![
        "Full: the root as one zstd frame (level 19, --long=27), hash tree and kernel image. Bytes are all that the server \
         sends, metadata included; seconds run from the first request on loopback to the durable root."
            .to_owned(),
        format!(
            "One daemon: {}, built again with one text of its source longer; it may cost {DAEMON_LIMIT} of itself compressed \
             and the changed part of the tree.",
            daemon::NAME
        ),
    ];
    notes.extend(images.notes.iter().cloned());
    Table {
        peer: ("full download", "full"),
        rows: measured
            .iter()
            .flat_map(|one| one.against_full(daemon_allowance))
            .collect(),
        notes,
    }
}

fn against_peers(measured: &[Measured]) -> [Table; 2] {
    let table = |name, target, peer: &dyn Fn(&Measured) -> Cost| Table {
        peer: (name, name),
        rows: measured
            .iter()
            .flat_map(|one| one.against(&peer(one), target))
            .collect(),
        notes: Vec::new(),
    };
    let casync = table("casync", Target::RatioAtMost(1.0), &|one| {
        one.casync.clone()
    });
    let xdelta3 = table("xdelta3 -9", Target::None, &|one| one.xdelta3.clone());
    [casync, xdelta3]
}
