//! The peer: a stock Debian 13 of the same packages, installed by mmdebstrap.
//!
//! It is what Debian's maintainer scripts make of these packages, with a network by DHCP and a
//! host name, and nothing tuned. Installing needs root: without, there is no peer, and that is
//! said. The disk it boots from is [`crate::stock_disk`]'s.

use anyhow::Context as _;
use image_build::digest::Digest;
use image_build::lock::{PackagesLock, TREE_ROOT};
use image_build::mirror::Mirrors;
use image_build::recipe::Recipe;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::builds::Builder;
use crate::command;
use crate::stock_disk;

/// The folder in the cache.
const FOLDER: &str = "stock-debian";
const TREE: &str = "tree";
const DISK: &str = "disk.raw";
/// The product whose kernel the peer has too.
const PRODUCT: &str = "vm";
/// Whatever else changes in how the peer is made: raise it.
const REVISION: u32 = 1;

const NETWORK: &str = "[Match]\nType=ether\n\n[Network]\nDHCP=yes\n";

/// An installed stock Debian.
#[derive(Debug, Clone)]
pub(crate) struct StockImage {
    /// Its root file system as a folder.
    pub(crate) tree: PathBuf,
    /// A disk with it, which boots by UEFI.
    pub(crate) disk: PathBuf,
}

/// What there is of the peer.
#[derive(Debug)]
pub(crate) enum Stock {
    /// It was installed just now.
    Built {
        /// The image.
        image: StockImage,
        /// How long mmdebstrap took.
        took: Duration,
    },
    /// An earlier run installed it.
    Cached(StockImage),
    /// It cannot be installed without root.
    NeedsRoot,
}

impl Stock {
    /// The image, if there is one.
    pub(crate) fn image(&self) -> Option<&StockImage> {
        match self {
            Self::Built { image, .. } | Self::Cached(image) => Some(image),
            Self::NeedsRoot => None,
        }
    }

    /// Seconds that mmdebstrap took, if it ran.
    pub(crate) fn build_seconds(&self) -> Option<f64> {
        match self {
            Self::Built { took, .. } => Some(took.as_secs_f64()),
            Self::Cached(_) | Self::NeedsRoot => None,
        }
    }

    /// Why it was not built in this run.
    pub(crate) fn absence(&self) -> &'static str {
        match self {
            Self::Built { .. } => "–",
            Self::Cached(_) => "cached",
            Self::NeedsRoot => "needs root",
        }
    }
}

impl fmt::Display for Stock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Built { .. } | Self::Cached(_) => {
                "Stock: Debian 13 of the same packages by mmdebstrap, as Debian's scripts leave them."
            }
            Self::NeedsRoot => {
                "**Only Keelson's own figures:** the stock Debian beside them needs root to install."
            }
        })
    }
}

/// The peer of the checkout's lock, from the cache or installed now.
pub(crate) fn find_or_build(builder: &Builder) -> anyhow::Result<Stock> {
    let recipe = Recipe::load(&builder.checkout.join("image/os.toml"))?;
    let packages = package_names(builder, &recipe)?;
    let parent = builder.cache.join(FOLDER);
    let folder = parent.join(key(builder)?);
    let image = StockImage {
        tree: folder.join(TREE),
        disk: folder.join(DISK),
    };
    if folder.exists() {
        return Ok(Stock::Cached(image));
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(Stock::NeedsRoot);
    }
    fs::create_dir_all(&parent)?;
    let work = tempfile::Builder::new()
        .prefix("new-")
        .tempdir_in(&parent)?;
    let took = install(&recipe, &packages, &work.path().join(TREE))?;
    configure(&work.path().join(TREE))?;
    eprintln!("bench: making the stock Debian's disk");
    stock_disk::make(&work.path().join(TREE), &work.path().join(DISK))?;
    let work = work.keep();
    fs::rename(&work, &folder)?;
    Ok(Stock::Built { image, took })
}

/// What the lock says the root is made of, and what stock Debian boots it with.
fn package_names(builder: &Builder, recipe: &Recipe) -> anyhow::Result<Vec<String>> {
    let lock = PackagesLock::load(&builder.checkout.join("image/packages.lock"))?;
    let mut names: Vec<_> = lock
        .tree(TREE_ROOT)
        .iter()
        .map(|package| package.name.clone())
        .collect();
    names.extend(recipe.product(PRODUCT)?.kernel.iter().cloned());
    names.push("initramfs-tools".to_owned());
    Ok(names)
}

fn key(builder: &Builder) -> anyhow::Result<String> {
    let path = builder.checkout.join("image/packages.lock");
    let lock = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let digest = Digest::of(&lock).to_string();
    Ok(format!("{REVISION}-{}", &digest[..16]))
}

fn install(recipe: &Recipe, packages: &[String], tree: &Path) -> anyhow::Result<Duration> {
    eprintln!("bench: installing a stock Debian, which takes a minute or a few");
    let mut command = Command::new("mmdebstrap");
    command.args([
        "--quiet",
        "--mode=root",
        "--format=directory",
        "--variant=apt",
    ]);
    command.arg(format!("--include={}", packages.join(",")));
    // Debian's presets leave it to the administrator to choose who configures the network.
    command.arg("--customize-hook=chroot \"$1\" systemctl enable systemd-networkd.service");
    command.arg(&recipe.archive.release).arg(tree);
    command.args(sources(recipe, &Mirrors::find(None, None)?));
    Ok(command::run(&mut command)?.0)
}

fn sources(recipe: &Recipe, mirrors: &Mirrors) -> Vec<String> {
    let archive = &recipe.archive;
    let components = archive.components.join(" ");
    let line = |base: &str, suite: &String| {
        let keyring = archive.keyring.display();
        format!("deb [signed-by={keyring}] {base} {suite} {components}")
    };
    let main = archive
        .suites
        .iter()
        .map(|suite| line(&mirrors.main, suite));
    let security = archive
        .security_suites
        .iter()
        .map(|suite| line(&mirrors.security, suite));
    main.chain(security).collect()
}

/// What an installer would ask.
fn configure(tree: &Path) -> anyhow::Result<()> {
    let fstab = format!("{} / ext4 errors=remount-ro 0 1\n", stock_disk::ROOT_DEVICE);
    for (path, contents) in [
        ("etc/hostname", "debian\n"),
        ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 debian\n"),
        ("etc/systemd/network/80-dhcp.network", NETWORK),
        ("etc/fstab", fstab.as_str()),
    ] {
        let path = tree.join(path);
        // mmdebstrap copies some from this machine with its permissions.
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_name_each_suite_at_its_mirror() {
        let recipe = Recipe::load(Path::new("../image/os.toml")).unwrap();
        let mirrors = Mirrors::find(Some("http://127.0.0.1:1/debian"), None).unwrap();
        let lines = sources(&recipe, &mirrors);
        assert!(
            lines[0].ends_with("] http://127.0.0.1:1/debian trixie main"),
            "{lines:?}"
        );
        let last = lines.last().unwrap();
        assert!(
            last.ends_with("/debian-security trixie-security main"),
            "{last}"
        );
    }
}
