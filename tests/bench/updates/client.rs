//! One update of a root by one way, as a process of its own, so that its memory can be told.
//!
//! What a machine does from the metadata to the durable root, with files for slots. Does not choose: the way is given.

use anyhow::{Context as _, bail};
use clap::Args;
use disk_format::verity::{RootHash, read_digests};
use image_build::output::BuiltImage;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use update_client::boot_image;
use update_client::delta::{Base, OpenDelta, find};
use update_client::download::download;
use update_client::http::{HttpOptions, HttpSource, Patience};
use update_client::repository::{Expiry, Repository};
use update_client::root::{
    Installed, block_plan, copy_local, fetch_full, fetch_index, fetch_missing,
};
use update_client::slot_writer::SlotWriter;
use update_client::source::Source;
use update_client::tree::Tree;
use update_model::manifest::Manifest;
use update_model::method::Method;

use crate::command;

const PRODUCT: &str = "vm";

/// What is updated, and how.
#[derive(Debug, Args)]
pub(crate) struct Order {
    /// The release directory
    #[arg(long)]
    pub(crate) url: String,
    /// The root of trust
    #[arg(long)]
    pub(crate) trust: PathBuf,
    /// The channel, whose last release is taken
    #[arg(long)]
    pub(crate) channel: String,
    /// block-delta, static-delta or full
    #[arg(long, value_parser = method)]
    pub(crate) method: Method,
    /// Manifest of the image that runs
    #[arg(long)]
    pub(crate) old: PathBuf,
    /// The slot's file, on a disk that counts
    #[arg(long)]
    pub(crate) slot: PathBuf,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Came {
    /// From the first request to the durable root.
    pub(crate) seconds: f64,
    /// Bytes fetched for the root alone: frames, or the part of a delta.
    pub(crate) root_bytes: u64,
    /// Bytes fetched of the hash tree.
    pub(crate) tree_bytes: u64,
    /// Bytes fetched of the kernel image.
    pub(crate) boot_image_bytes: u64,
    /// Most memory resident at any time.
    pub(crate) peak_bytes: u64,
}

impl Order {
    /// Does it in another process.
    pub(crate) fn give(&self) -> anyhow::Result<Came> {
        let mut client = Command::new(command::OWN_PROGRAM);
        client.args(["update", "--url", &self.url, "--channel", &self.channel]);
        client.arg("--trust").arg(&self.trust);
        client.arg("--method").arg(method_name(self.method));
        client.arg("--old").arg(&self.old);
        client.arg("--slot").arg(&self.slot);
        let (_, told) = command::run(&mut client)?;
        serde_json::from_str(&told).context("what the client tells")
    }

    /// Does it here and tells on standard output.
    pub(crate) fn obey(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(&Client::run(self)?)?);
        Ok(())
    }
}

fn method(text: &str) -> Result<Method, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn method_name(method: Method) -> String {
    let text = serde_json::to_value(method).unwrap_or_default();
    text.as_str().unwrap_or_default().to_owned()
}

struct Client<'a> {
    source: Arc<dyn Source>,
    manifest: Manifest,
    slot: &'a Path,
}

/// Bytes of root, tree and kernel image.
type Fetched = [u64; 3];

impl<'a> Client<'a> {
    fn run(order: &'a Order) -> anyhow::Result<Came> {
        let begun = Instant::now();
        let source: Arc<dyn Source> = Arc::new(HttpSource::new(&HttpOptions {
            mirrors: vec![order.url.clone()],
            proxy: None,
            bytes_per_second: 0,
            patience: Patience::default(),
        })?);
        let root = fs::read(&order.trust)?;
        let repository = Repository::load(Arc::clone(&source), &root, None, Expiry::Enforced)?;
        let channel = repository.channel(PRODUCT, &order.channel)?;
        let offer = channel.releases.last().context("the channel is empty")?;
        let manifest = repository.manifest(&offer.manifest)?;
        let client = Client {
            source,
            manifest,
            slot: &order.slot,
        };
        let [root_bytes, tree_bytes, boot_image_bytes] = client.fetch(order)?;
        Ok(Came {
            seconds: begun.elapsed().as_secs_f64(),
            root_bytes,
            tree_bytes,
            boot_image_bytes,
            peak_bytes: peak_bytes()?,
        })
    }

    fn fetch(&self, order: &Order) -> anyhow::Result<Fetched> {
        if order.method == Method::Full {
            return self.all();
        }
        let old = BuiltImage::load(&order.old)?.manifest;
        let (tree, uki) = (fs::read(&old.verity)?, fs::read(&old.uki)?);
        let root_hash: RootHash = old.root_hash.parse()?;
        let (_, leaves) = read_digests(&tree[..], &root_hash)?;
        let base = Base {
            root_hash,
            installed: Installed {
                root: File::open(&old.root)?,
                leaves,
            },
            tree: &tree,
            uki: &uki,
        };
        match order.method {
            Method::StaticDelta => self.by_delta(base),
            _ => self.by_blocks(base),
        }
    }

    fn slot(&self) -> anyhow::Result<File> {
        let mut options = File::options();
        let slot = options.read(true).write(true).create(true).truncate(true);
        let slot = slot.open(self.slot)?;
        slot.set_len(self.manifest.root.length)?;
        Ok(slot)
    }

    /// With nothing here.
    fn all(&self) -> anyhow::Result<Fetched> {
        let (source, manifest) = (&*self.source, &self.manifest);
        let tree = Tree::fetch(source, manifest, &[])?;
        let (_, uki_bytes) = boot_image::fetch(source, &manifest.uki, &[])?;
        let mut writer = SlotWriter::new(self.slot()?, &tree.leaves, &tree.salt)?;
        fetch_full(source, manifest, &mut writer, &mut |_| ())?;
        writer.sync()?;
        Ok([manifest.root.full.length, tree.fetched_bytes, uki_bytes])
    }

    fn by_blocks(&self, base: Base<'_, File>) -> anyhow::Result<Fetched> {
        let (source, manifest) = (&*self.source, &self.manifest);
        let tree = Tree::fetch(source, manifest, &[base.tree])?;
        let index = fetch_index(source, manifest)?;
        let (_, uki_bytes) = boot_image::fetch(source, &manifest.uki, &[base.uki])?;
        let mut writer = SlotWriter::new(self.slot()?, &tree.leaves, &tree.salt)?;
        let mut installed = [base.installed];
        let plan = block_plan(&writer, &tree.leaves, &installed, &index);
        copy_local(&mut writer, &mut installed, &plan)?;
        let leaves = &tree.leaves;
        let frames = fetch_missing(source, manifest, &index, &mut writer, leaves, &mut |_| ())?;
        writer.sync()?;
        let root_bytes = frames + manifest.root.index.length;
        Ok([root_bytes, tree.fetched_bytes, uki_bytes])
    }

    fn by_delta(&self, mut base: Base<'_, File>) -> anyhow::Result<Fetched> {
        let Some(delta) = find(&self.manifest, &base) else {
            bail!("the release has no delta from what runs");
        };
        let folder = self.slot.parent().unwrap_or(Path::new("."));
        let path = download(&*self.source, &delta.file, folder)?;
        let file = File::open(&path)?;
        let mut open = OpenDelta::new(&file, delta, &self.manifest, &base)?;
        let tree = open.tree(&base)?;
        open.boot_image(&base)?;
        let mut writer = SlotWriter::new(self.slot()?, &tree.leaves, &tree.salt)?;
        open.write_root(&mut base, &tree, &mut writer, &mut |_| ())?;
        writer.sync()?;
        fs::remove_file(&path)?;
        Ok([delta.root_length, delta.tree_length, delta.uki_length])
    }
}

/// The kernel's high-water mark of this process.
fn peak_bytes() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = number
        .context("the kernel tells no VmHWM")?
        .trim()
        .parse()?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_names_on_a_command_line() {
        for one in [Method::BlockDelta, Method::StaticDelta, Method::Full] {
            assert_eq!(method(&method_name(one)), Ok(one));
        }
        assert!(method("pigeon").is_err());
    }

    #[test]
    fn the_peak_is_that_of_a_process() {
        assert!(peak_bytes().unwrap() > 1 << 20);
    }
}
