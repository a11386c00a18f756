//! A build: the named steps in order, each cached by a hash of its inputs.
//!
//! What happens before anything is known of the packages stands in `build/sources.rs`, the inputs of every
//! later step in `build/steps.rs`, and a step's work in the module of its name.

mod sources;
mod steps;

use std::path::PathBuf;
use std::thread::{Scope, ScopedJoinHandle};

use disk_format::gpt::SectorSize;

use crate::boot_image::{COMMAND_LINE, UKI};
use crate::cache::{Cache, Finished, Inputs, Mode, Report};
use crate::commit::COMMIT;
use crate::compose::Identity;
use crate::digest::Digest;
use crate::disk_image::DISK;
use crate::error::{BuildError, Result, read_text};
use crate::fetch::PackageCache;
use crate::initramfs::INITRAMFS;
use crate::lock::{PackagesLock, TREE_ROOT, kernel_tree};
use crate::output::{BuiltImage, Manifest, Output};
use crate::programs::{Programs, Source};
use crate::recipe::{Recipe, check_version};
use crate::root_image::{ROOT_HASH, ROOT_IMAGE, VERITY_TREE};
use crate::staging::import_checkout;
use crate::tools::Tools;
use crate::tree::{NodeKind, Tree};
use crate::unpack::KERNEL;
use sources::{fetch_step, programs_step, resolve_step};

/// What to build, from what, and where to.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The checkout: `image/`, `units/` and `initramfs/` are read from it.
    pub checkout: PathBuf,
    /// Cached steps and fetched packages.
    pub cache: PathBuf,
    /// Where the finished image goes.
    pub output: PathBuf,
    /// Name of the product.
    pub product: String,
    /// Version; by default the recipe's, the lock's date and a hash.
    pub version: Option<String>,
    /// Logical sectors of the disk.
    pub sector_size: SectorSize,
    /// Where our own programs come from.
    pub programs: Source,
    /// Mirror of the main archive; by default this machine's apt says.
    pub mirror: Option<String>,
    /// Mirror of the security archive.
    pub security_mirror: Option<String>,
    /// Renew lock entries that the archive no longer has.
    pub renew_vanished: bool,
    /// Time stamp of everything, in seconds since 1970; by default the lock's.
    pub timestamp_seconds: Option<u64>,
}

impl BuildOptions {
    /// Path of the lock.
    pub fn lock_path(&self) -> PathBuf {
        self.checkout.join("image/packages.lock")
    }

    /// Path of the recipe.
    pub fn recipe_path(&self) -> PathBuf {
        self.checkout.join("image/os.toml")
    }

    /// The fetched packages.
    pub fn packages(&self) -> PackageCache {
        PackageCache::new(self.cache.join("packages"))
    }
}

/// Builds an image: the steps, in order.
pub fn build(options: &BuildOptions, report: Report<'_>) -> Result<BuiltImage> {
    let cache = Cache::open(&options.cache, Mode::Build, report)?;
    let plan = run_steps(options, &cache)?;
    plan.output.publish(&plan.manifest()?, &cache)
}

/// Says of each step whether it would run, and why. Programs are taken as cargo last left them.
pub fn explain(options: &BuildOptions, report: Report<'_>) -> Result<()> {
    let cache = Cache::open(&options.cache, Mode::Explain, report)?;
    run_steps(options, &cache).map(drop)
}

fn run_steps(options: &BuildOptions, cache: &Cache<'_>) -> Result<Steps> {
    let recipe = Recipe::load(&options.recipe_path())?;
    let ours = programs_step(options, &recipe, cache)?;
    let lock = resolve_step(options, &recipe, cache)?;
    let lock = fetch_step(options, &recipe, lock, cache)?;
    let build = Build::new(options, recipe, lock, ours)?;
    let tools = build.tools_step(cache)?;
    let unpacked = build.unpack_step(cache, &tools)?;
    // Both are slow and needed late: they run beside the steps between.
    std::thread::scope(|scope| {
        let initramfs = Aside::run(scope, cache, || build.initramfs_step(cache, &unpacked));
        let composed = build.compose_step(cache, &tools, &unpacked)?;
        let commit = {
            let composed = composed.clone();
            let build = &build;
            Aside::run(scope, cache, move || build.commit_step(cache, &composed))
        };
        let root = build.erofs_step(cache, &tools, &composed)?;
        let verity = build.verity_step(cache, &root)?;
        let initramfs = initramfs.join()?;
        let uki = build.uki_step(cache, &tools, &unpacked, &composed, &verity, &initramfs)?;
        let disk = build.disk_step(cache, &tools, &root, &verity, &uki)?;
        Ok(Steps {
            identity: build.identity.clone(),
            output: Output::new(options, &build.identity),
            tools,
            unpacked: unpacked.clone(),
            commit: commit.join()?,
            root,
            verity,
            initramfs,
            uki,
            disk,
        })
    })
}

/// A step beside the others; while explaining, steps take their turn, so that their order is always the same.
enum Aside<'scope, T> {
    Done(Result<T>),
    Running(ScopedJoinHandle<'scope, Result<T>>),
}

impl<'scope, T: Send + 'scope> Aside<'scope, T> {
    fn run(
        scope: &'scope Scope<'scope, '_>,
        cache: &Cache<'_>,
        work: impl FnOnce() -> Result<T> + Send + 'scope,
    ) -> Self {
        if cache.explains() {
            Self::Done(work())
        } else {
            Self::Running(scope.spawn(work))
        }
    }

    fn join(self) -> Result<T> {
        match self {
            Self::Done(result) => result,
            Self::Running(thread) => thread.join().expect("no step panics"),
        }
    }
}

/// Every step's result, on the way to the output.
struct Steps {
    identity: Identity,
    output: Output,
    tools: Tools,
    unpacked: Finished,
    commit: Finished,
    root: Finished,
    verity: Finished,
    initramfs: Finished,
    uki: Finished,
    disk: Finished,
}

impl Steps {
    fn manifest(&self) -> Result<Manifest> {
        Ok(Manifest {
            version: self.identity.version.clone(),
            product: self.identity.product.clone(),
            build_id: self.identity.build_id.clone(),
            root_hash: read_text(&self.verity.file(ROOT_HASH))?,
            ostree_commit: read_text(&self.commit.file(COMMIT))?,
            command_line: read_text(&self.uki.file(COMMAND_LINE))?,
            disk: self.disk.file(DISK),
            kernel: self.unpacked.file(KERNEL),
            initramfs: self.initramfs.file(INITRAMFS),
            uki: self.uki.file(UKI),
            root: self.root.file(ROOT_IMAGE),
            verity: self.verity.file(VERITY_TREE),
            firmware_code: self.tools.file("usr/share/OVMF/OVMF_CODE_4M.fd"),
            firmware_variables: self.tools.file("usr/share/OVMF/OVMF_VARS_4M.fd"),
        })
    }
}

/// A build whose packages are all here.
struct Build<'a> {
    options: &'a BuildOptions,
    recipe: Recipe,
    lock: PackagesLock,
    ours: Programs,
    overlays: [Tree; 2],
    timestamp_seconds: u64,
    identity: Identity,
}

impl<'a> Build<'a> {
    fn new(
        options: &'a BuildOptions,
        recipe: Recipe,
        lock: PackagesLock,
        ours: Programs,
    ) -> Result<Self> {
        recipe.product(&options.product)?;
        let overlays = [
            import_checkout(&options.checkout.join("units"))?,
            import_checkout(&options.checkout.join("image/files"))?,
        ];
        let timestamp_seconds = match options.timestamp_seconds {
            Some(seconds) => seconds,
            None => lock.timestamp_seconds(&options.lock_path())?,
        };
        let identity = Identity {
            version: String::new(),
            build_id: String::new(),
            product: options.product.clone(),
        };
        let mut build = Self {
            options,
            recipe,
            lock,
            ours,
            overlays,
            timestamp_seconds,
            identity,
        };
        build.identity = build.identify()?;
        Ok(build)
    }

    /// The build id is a hash of all that the root and its kernel image are made of.
    fn identify(&self) -> Result<Identity> {
        let id = self
            .root_inputs(Inputs::of("identity"))?
            .digest("init", Digest::of(&self.ours.init))
            .text("the product", &self.options.product)
            .digests(packages_digests(&self.lock, TREE_ROOT))
            .digests(packages_digests(
                &self.lock,
                &kernel_tree(&self.options.product),
            ))
            .key()
            .short(16);
        let version = if let Some(version) = &self.options.version {
            version.clone()
        } else {
            let date = self
                .lock
                .resolved
                .get(..10)
                .unwrap_or_default()
                .replace('-', "");
            format!("{}~{date}.{}", self.recipe.version, &id[..8])
        };
        check_version(&version).map_err(|reason| BuildError::Recipe {
            path: self.options.recipe_path(),
            reason,
        })?;
        Ok(Identity {
            version,
            build_id: id,
            product: self.options.product.clone(),
        })
    }

    /// What the root is made of besides packages.
    fn root_inputs(&self, inputs: Inputs) -> Result<Inputs> {
        let inputs = inputs
            .digest(
                "image/os.toml",
                Digest::of_file(&self.options.recipe_path())?,
            )
            .text("the time stamp", &self.timestamp_seconds.to_string());
        let [units, files] = &self.overlays;
        Ok(inputs
            .digests(tree_digests("units", units)?)
            .digests(tree_digests("image/files", files)?)
            .digests(tree_digests("program", &self.ours.tree)?))
    }
}

fn packages_digests(lock: &PackagesLock, tree: &str) -> Vec<(String, Digest)> {
    lock.tree(tree)
        .iter()
        .map(|package| {
            let text = format!("{} {}", package.version, package.sha256);
            (
                format!("package {} ({tree})", package.name),
                Digest::of(text.as_bytes()),
            )
        })
        .collect()
}

/// A digest a file, so that an explanation can name the one that changed.
fn tree_digests(label: &str, tree: &Tree) -> Result<Vec<(String, Digest)>> {
    tree.iter()
        .filter(|(_, node)| !matches!(node.kind, NodeKind::Directory))
        .map(|(path, node)| {
            let mut bytes = format!("{:o} ", node.mode).into_bytes();
            match &node.kind {
                NodeKind::File(content) => bytes.extend(content.to_vec()?),
                NodeKind::Symlink(target) => bytes.extend(format!("-> {target}").as_bytes()),
                NodeKind::Directory => {}
            }
            Ok((format!("{label}/{path}"), Digest::of(&bytes)))
        })
        .collect()
}
