//! What is here already, and the parts of a release that are fetched whole before the slot is touched: hash
//! tree and kernel image.
//!
//! Does not write to the slots. Everything local is only a hint: what comes of it is checked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use disk_format::boot_entry::BootEntry;
use disk_format::verity::{Digest, read_digests};
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use slot_install::boot_folder::BootFolder as _;
use slot_install::slots::read_tree;
use update_client::boot_image;
use update_client::delta::{Base, OpenDelta, find};
use update_client::download::download;
use update_client::error::ClientError;
use update_client::root::{Installed, fetch_index};
use update_client::source::Source;
use update_client::tree::Tree;
use update_model::manifest::{Delta, Manifest};

use crate::machine::MachineSlots;
use crate::transfer::Route;
use crate::watcher::Watcher;

/// What this machine has of releases.
#[derive(Debug)]
pub struct Local {
    /// The running hash tree.
    pub tree: Vec<u8>,
    /// The digests of the running root's blocks.
    pub leaves: Vec<Digest>,
    /// The running kernel image; empty if it is not on the ESP.
    pub boot_image: Vec<u8>,
    /// Other kernel images.
    pub other_images: Vec<Vec<u8>>,
    /// What may be the idle slot's hash tree.
    pub idle_tree: Vec<u8>,
}

/// A release's parts, and how its root comes.
#[derive(Debug)]
pub struct Parts {
    /// The hash tree.
    pub tree: Tree,
    /// The unified kernel image.
    pub boot_image: Vec<u8>,
    /// Where the root comes from.
    pub route: Route,
    /// Bytes fetched for these parts.
    pub fetched_bytes: u64,
}

impl Local {
    /// Looks at the slots and the ESP.
    pub fn read(slots: &mut MachineSlots, downloads: &Downloads) -> anyhow::Result<Self> {
        let idle = slots.idle();
        let root_hash = slots.running().root_hash;
        let tree = read_tree(&mut slots.tree(idle.other())?)
            .context("cannot read the running hash tree")?;
        let (_, leaves) =
            read_digests(&tree[..], &root_hash).context("the running hash tree is damaged")?;
        let idle_tree = read_tree(&mut slots.tree(idle)?).unwrap_or_default();
        let (mut boot_image, mut other_images) = (Vec::new(), downloads.boot_images());
        for name in slots.boot_folder().list().unwrap_or_default() {
            let entry = BootEntry::parse(&name);
            let image = slots.boot_folder().read(&name).unwrap_or_default();
            match entry {
                Some(entry) if entry.version == slots.running().version.as_str() => {
                    boot_image = image;
                }
                Some(_) => other_images.push(image),
                None => {}
            }
        }
        Ok(Self {
            tree,
            leaves,
            boot_image,
            other_images,
            idle_tree,
        })
    }

    /// The running release as what a delta leads from.
    pub fn base<R>(&self, slots: &MachineSlots, root: R) -> Base<'_, R> {
        Base {
            root_hash: slots.running().root_hash,
            installed: Installed {
                root,
                leaves: self.leaves.clone(),
            },
            tree: &self.tree,
            uki: &self.boot_image,
        }
    }
}

/// The folder for what is fetched to the state partition.
#[derive(Clone, Debug)]
pub struct Downloads(PathBuf);

/// A kernel image that was fetched for later.
const BOOT_IMAGE: &str = "boot-image.efi";
/// Room that is left on the state partition whatever is fetched.
const RESERVE_BYTES: u64 = 16 << 20;

impl Downloads {
    /// Makes the folder.
    pub fn open(root: &SystemRoot) -> anyhow::Result<Self> {
        let folder = root.path(update_files::FOLDER).join("download");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Bytes that may be fetched into it.
    pub fn free_bytes(&self) -> u64 {
        let space = rustix::fs::statvfs(&self.0);
        let free = space.map_or(0, |space| space.f_bavail.saturating_mul(space.f_frsize));
        free.saturating_sub(RESERVE_BYTES)
    }

    fn boot_images(&self) -> Vec<Vec<u8>> {
        fs::read(self.0.join(BOOT_IMAGE)).into_iter().collect()
    }

    /// Keeps a kernel image for the installation to come; it is fetched again if that fails.
    pub fn keep_boot_image(&self, image: &[u8]) {
        let path = self.0.join(BOOT_IMAGE);
        if let Err(error) = fs::write(&path, image) {
            eprintln!("updaterd: cannot keep {}: {error}", path.display());
            let _ = fs::remove_file(&path);
        }
    }

    /// Removes everything but this.
    pub fn clean(&self, keep: Option<&str>) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_kept = keep.is_some_and(|keep| name.to_string_lossy().starts_with(keep));
            if !is_kept && let Err(error) = fs::remove_file(entry.path()) {
                eprintln!(
                    "updaterd: cannot remove {}: {error}",
                    entry.path().display()
                );
            }
        }
    }
}

/// Fetches the parts of a release by a static delta from what runs, if there is one, or else by themselves.
pub fn fetch(
    source: &dyn Source,
    manifest: &Manifest,
    slots: &MachineSlots,
    local: &Local,
    downloads: &Downloads,
    watcher: &dyn Watcher,
) -> anyhow::Result<Parts> {
    let base = local.base(slots, ());
    if let Some(delta) = find(manifest, &base)
        && delta.file.length <= downloads.free_bytes()
    {
        match by_delta(source, manifest, delta, &base, downloads, watcher) {
            Ok(parts) => return Ok(parts),
            // Nor does a full disk matter: the other ways need none of it.
            Err(error) => eprintln!("updaterd: goes on without the static delta: {error}"),
        }
    }
    Ok(by_themselves(source, manifest, local, watcher)?)
}

/// A delta is made only where it costs less than anything else.
fn by_delta(
    source: &dyn Source,
    manifest: &Manifest,
    delta: &Delta,
    base: &Base<'_, ()>,
    downloads: &Downloads,
    watcher: &dyn Watcher,
) -> Result<Parts, ClientError> {
    watcher.phase(&format!("fetching the delta from {}", delta.from));
    let name = delta.file.path.rsplit('/').next();
    downloads.clean(name);
    let path = download(source, &delta.file, downloads.folder())?;
    let file = File::open(&path).map_err(|source| ClientError::Local {
        action: "open",
        path,
        source,
    })?;
    let mut open = OpenDelta::new(&file, delta, manifest, base)?;
    Ok(Parts {
        tree: open.tree(base)?,
        boot_image: open.boot_image(base)?,
        fetched_bytes: delta.file.length,
        route: Route::StaticDelta {
            file,
            delta: delta.clone(),
        },
    })
}

fn by_themselves(
    source: &dyn Source,
    manifest: &Manifest,
    local: &Local,
    watcher: &dyn Watcher,
) -> Result<Parts, ClientError> {
    watcher.phase("fetching the hash tree");
    let tree = Tree::fetch(source, manifest, &[&local.tree, &local.idle_tree])?;
    let index = fetch_index(source, manifest)?;
    watcher.phase("fetching the kernel image");
    let others = local.other_images.iter().map(Vec::as_slice);
    let images: Vec<&[u8]> = others.chain([&local.boot_image[..]]).collect();
    let (boot_image, image_bytes) = boot_image::fetch(source, &manifest.uki, &images)?;
    Ok(Parts {
        fetched_bytes: tree.fetched_bytes + manifest.root.index.length + image_bytes,
        tree,
        boot_image,
        route: Route::Blocks { index },
    })
}
