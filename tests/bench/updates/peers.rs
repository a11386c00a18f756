//! casync and xdelta3 of Debian 13, on the same pairs of roots.
//!
//! Both are unpacked from their packages and run through their own ld.so, as the builder's tools are: nothing is
//! installed on this machine.

use anyhow::{Context as _, ensure};
use image_build::apt::PrivateApt;
use image_build::fetch::PackageCache;
use image_build::lock::TREE_TOOLS;
use image_build::mirror::Mirrors;
use image_build::recipe::Recipe;
use image_build::tools::{Tools, unpack};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::builds::Builder;
use crate::command;

const PACKAGES: [&str; 2] = ["casync", "xdelta3"];

/// Both peers.
#[derive(Debug)]
pub(crate) struct Peers {
    tools: Tools,
    /// Where they work.
    folder: PathBuf,
}

/// What a peer fetches and how long it takes from there to the durable root.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) bytes: u64,
    pub(crate) seconds: Vec<f64>,
}

impl Peers {
    /// Fetches and unpacks them below `folder`, once.
    pub(crate) fn install(builder: &Builder, folder: &Path) -> anyhow::Result<Self> {
        let root = folder.join("peers");
        if !root.exists() {
            eprintln!("bench: fetching {}", PACKAGES.join(" and "));
            let part = fresh(&folder.join("peers.part"))?;
            fetch(builder, &folder.join("peers-apt"), &part, &PACKAGES)?;
            fs::rename(&part, &root)?;
        }
        let work = fresh(&folder.join("peers-work"))?;
        Ok(Self {
            tools: Tools::at(root),
            folder: work,
        })
    }

    /// casync with its default chunks: those of the new root that the old one has not, and the index.
    pub(crate) fn casync(&self, old: &Path, new: &Path, runs: u32) -> anyhow::Result<Cost> {
        let (_, old_chunks) = self.chunks(old, "old")?;
        let (index, new_chunks) = self.chunks(new, "new")?;
        let missing = new_chunks
            .iter()
            .filter(|(name, _)| !old_chunks.contains_key(*name));
        let bytes = missing.map(|(_, length)| length).sum::<u64>() + fs::metadata(&index)?.len();
        let store = store(&self.folder, "new");
        let seconds = self.timed(new, runs, &|target| {
            let mut extract = self.tools.command("usr/bin/casync");
            extract.arg("extract").arg(argument("--store=", &store));
            extract
                .arg(argument("--seed=", old))
                .arg("--seed-output=no");
            extract.arg(&index).arg(target);
            extract
        })?;
        Ok(Cost { bytes, seconds })
    }

    /// Chunks a root into a store of its own: its index, and the files of its chunks with their lengths.
    fn chunks(
        &self,
        root: &Path,
        label: &str,
    ) -> anyhow::Result<(PathBuf, BTreeMap<OsString, u64>)> {
        let store = store(&self.folder, label);
        if store.exists() {
            fs::remove_dir_all(&store)?;
        }
        let index = self.folder.join(format!("{label}.caibx"));
        let mut make = self.tools.command("usr/bin/casync");
        make.arg("make").arg(argument("--store=", &store));
        command::run(make.arg(&index).arg(root))?;
        let mut chunks = BTreeMap::new();
        for folder in fs::read_dir(&store)? {
            for chunk in fs::read_dir(folder?.path())? {
                let chunk = chunk?;
                chunks.insert(chunk.file_name(), chunk.metadata()?.len());
            }
        }
        ensure!(!chunks.is_empty(), "casync made no chunks");
        Ok((index, chunks))
    }

    /// xdelta3 at its best level, with a window over the whole old root.
    pub(crate) fn xdelta3(&self, old: &Path, new: &Path, runs: u32) -> anyhow::Result<Cost> {
        let patch = self.folder.join("patch.vcdiff");
        let window = fs::metadata(old)?.len().next_power_of_two().to_string();
        let xdelta3 = |way: &str| {
            let mut command = self.tools.command("usr/bin/xdelta3");
            command.args([way, "-f", "-B", &window, "-s"]).arg(old);
            command
        };
        command::run(xdelta3("-e").arg("-9").arg(new).arg(&patch))?;
        let bytes = fs::metadata(&patch)?.len();
        let seconds = self.timed(new, runs, &|target| {
            let mut decode = xdelta3("-d");
            decode.arg(&patch).arg(target);
            decode
        })?;
        Ok(Cost { bytes, seconds })
    }

    /// Seconds until what the command writes is durable, and that it is `new`.
    fn timed(
        &self,
        new: &Path,
        runs: u32,
        command: &dyn Fn(&Path) -> Command,
    ) -> anyhow::Result<Vec<f64>> {
        let target = self.folder.join("root");
        let mut seconds = Vec::new();
        for _ in 0..runs {
            if target.exists() {
                fs::remove_file(&target)?;
            }
            let begun = Instant::now();
            command::run(&mut command(&target))?;
            let made = File::open(&target).context("the peer wrote nothing")?;
            made.sync_all()?;
            seconds.push(begun.elapsed().as_secs_f64());
            command::run(Command::new("cmp").arg(&target).arg(new))?;
        }
        fs::remove_file(&target)?;
        Ok(seconds)
    }
}

/// An empty folder.
fn fresh(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

/// Resolves packages in an apt of their own and unpacks them with all that they need.
pub(crate) fn fetch(
    builder: &Builder,
    apt: &Path,
    target: &Path,
    packages: &[&str],
) -> anyhow::Result<()> {
    let mut recipe = Recipe::load(&builder.checkout.join("image/os.toml"))?;
    let names: Vec<String> = packages.iter().map(ToString::to_string).collect();
    recipe.packages.install.clone_from(&names);
    recipe.packages.exclude.clear();
    recipe.packages.exclude_provides.clear();
    recipe.tools.install = names;
    recipe.product.clear();
    let mirrors = mirrors()?;
    let apt = PrivateApt::new(apt, &recipe, &mirrors)?;
    let lock = apt.resolve(&recipe, jiff::Timestamp::now())?;
    let packages = lock.tree(TREE_TOOLS);
    let cache = PackageCache::new(builder.cache.join("packages"));
    let fetched = cache.fetch(&packages, &mirrors, &|_| ())?;
    ensure!(
        fetched.vanished.is_empty(),
        "the archive changes just now: try again"
    );
    Ok(unpack(&cache, &packages, target)?)
}

/// The mirrors that the builder's commands use.
pub(crate) fn mirrors() -> anyhow::Result<Mirrors> {
    let given = |name| std::env::var(name).ok();
    let (main, security) = (given("KEELSON_MIRROR"), given("KEELSON_SECURITY_MIRROR"));
    Ok(Mirrors::find(main.as_deref(), security.as_deref())?)
}

fn store(folder: &Path, label: &str) -> PathBuf {
    folder.join(format!("{label}.castr"))
}

fn argument(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}
