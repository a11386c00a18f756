//! A build: the named steps in order, each cached by a hash of its inputs.

use std::path::PathBuf;

use disk_format::gpt::SectorSize;

use crate::boot_image::{self, COMMAND_LINE, Parts, UKI};
use crate::cache::{Cache, Event, Finished, Inputs, Mode, Report};
use crate::commit::{self, COMMIT};
use crate::compose::{self, Identity, ROOT_TAR};
use crate::digest::Digest;
use crate::disk_image::{self, DISK, DiskParts};
use crate::error::{BuildError, Result, read_text};
use crate::fetch::{Fetched, PackageCache};
use crate::initramfs::{self, INITRAMFS, MODULE_LIST, ModuleList};
use crate::lock::{LockedPackage, PackagesLock, TREE_ROOT, TREE_TOOLS, kernel_tree};
use crate::mirror::Mirrors;
use crate::output::{BuiltImage, Manifest, Output};
use crate::programs::{self, Programs, Source};
use crate::recipe::{Recipe, check_version};
use crate::renew;
use crate::root_image::{self, ROOT_HASH, ROOT_IMAGE, VERITY_TREE, derived_uuid};
use crate::staging::import_checkout;
use crate::tar_tree;
use crate::tools::{self, Tools};
use crate::tree::{NodeKind, Tree};
use crate::unpack::{self, KERNEL, PACKAGES_TAR};

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
    let composed = build.compose_step(cache, &tools, &unpacked)?;
    let commit = build.commit_step(cache, &composed)?;
    let root = build.erofs_step(cache, &tools, &composed)?;
    let verity = build.verity_step(cache, &root)?;
    let initramfs = build.initramfs_step(cache, &unpacked)?;
    let uki = build.uki_step(cache, &tools, &unpacked, &composed, &verity, &initramfs)?;
    let disk = build.disk_step(cache, &tools, &root, &verity, &uki)?;
    let output = Output::new(options, &build.identity);
    Ok(Steps {
        identity: build.identity,
        output,
        tools,
        unpacked,
        commit,
        root,
        verity,
        initramfs,
        uki,
        disk,
    })
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

/// Cargo runs at every build and knows what is stale; explaining uses what stands.
fn programs_step(options: &BuildOptions, recipe: &Recipe, cache: &Cache<'_>) -> Result<Programs> {
    let step = "programs";
    if let (true, Source::Workspace(_)) = (cache.explains(), &options.programs) {
        cache.report(Event::Notice {
            text: "programs are taken as cargo last built them",
        });
        return programs::collect(recipe, &options.programs);
    }
    let begun = std::time::Instant::now();
    cache.report(Event::Started { step });
    let programs = programs::programs(recipe, &options.programs)?;
    let summary = format!("{} and init", recipe.program.len());
    cache.report(Event::Finished {
        step,
        took: Some(begun.elapsed()),
        summary: &summary,
    });
    Ok(programs)
}

fn resolve_step(
    options: &BuildOptions,
    recipe: &Recipe,
    cache: &Cache<'_>,
) -> Result<PackagesLock> {
    let path = options.lock_path();
    let lock = PackagesLock::load(&path)?;
    lock.check_against(recipe, &path)?;
    let summary = format!("{} packages, locked {}", lock.packages.len(), lock.resolved);
    if !cache.explains() {
        cache.report(Event::Finished {
            step: "resolve",
            took: None,
            summary: &summary,
        });
    }
    Ok(lock)
}

fn wanted<'a>(lock: &'a PackagesLock, product: &str) -> Vec<&'a LockedPackage> {
    let mut packages = lock.tree(TREE_ROOT);
    packages.extend(lock.tree(&kernel_tree(product)));
    packages.extend(lock.tree(TREE_TOOLS));
    packages
}

/// Fetches what is missing; where packages vanished and that was asked for, renews just those.
fn fetch_step(
    options: &BuildOptions,
    recipe: &Recipe,
    lock: PackagesLock,
    cache: &Cache<'_>,
) -> Result<PackagesLock> {
    let step = "fetch";
    let packages = options.packages();
    let missing = packages.missing(&wanted(&lock, &options.product)).len();
    if cache.explains() {
        let reasons = (missing > 0).then(|| vec![format!("{missing} packages are not here yet")]);
        cache.report(Event::Explained { step, reasons });
        return Ok(lock);
    }
    if missing == 0 {
        cache.report(Event::Finished {
            step,
            took: None,
            summary: "everything is here",
        });
        return Ok(lock);
    }
    let begun = std::time::Instant::now();
    cache.report(Event::Started { step });
    let mirrors = Mirrors::find(
        options.mirror.as_deref(),
        options.security_mirror.as_deref(),
    )?;
    let fetched = fetch(options, &lock, &mirrors, cache)?;
    let (lock, fetched) = if fetched.vanished.is_empty() {
        (lock, fetched)
    } else {
        renew_vanished(options, recipe, &lock, &fetched.vanished, &mirrors, cache)?
    };
    let summary = format!("{} packages, {} MB", missing, fetched.bytes / 1_000_000);
    cache.report(Event::Finished {
        step,
        took: Some(begun.elapsed()),
        summary: &summary,
    });
    Ok(lock)
}

fn fetch(
    options: &BuildOptions,
    lock: &PackagesLock,
    mirrors: &Mirrors,
    cache: &Cache<'_>,
) -> Result<Fetched> {
    let report = cache.reporter();
    let progress = |bytes, bytes_in_all| {
        report(Event::Progress {
            step: "fetch",
            bytes,
            bytes_in_all,
        });
    };
    options
        .packages()
        .fetch(&wanted(lock, &options.product), mirrors, &progress)
}

fn renew_vanished(
    options: &BuildOptions,
    recipe: &Recipe,
    lock: &PackagesLock,
    vanished: &[LockedPackage],
    mirrors: &Mirrors,
    cache: &Cache<'_>,
) -> Result<(PackagesLock, Fetched)> {
    let gone = |package: &LockedPackage| BuildError::PackageVanished {
        package: package.name.clone(),
        version: package.version.clone(),
        url: mirrors.url(package),
        status: 404,
    };
    if !options.renew_vanished {
        return Err(gone(&vanished[0]));
    }
    let renewed = renew::renew(options, recipe, lock, vanished, mirrors, cache)?;
    let fetched = fetch(options, &renewed, mirrors, cache)?;
    match fetched.vanished.first() {
        Some(package) => Err(gone(package)),
        None => Ok((renewed, fetched)),
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

    fn tools_step(&self, cache: &Cache<'_>) -> Result<Tools> {
        let packages = self.lock.tree(TREE_TOOLS);
        let inputs = Inputs::of("tools").digests(packages_digests(&self.lock, TREE_TOOLS));
        let finished = cache.step(inputs, |directory| {
            tools::unpack(&self.options.packages(), &packages, directory)?;
            Ok(format!("{} packages", packages.len()))
        })?;
        Ok(Tools::at(finished.directory))
    }

    fn unpack_step(&self, cache: &Cache<'_>, tools: &Tools) -> Result<Finished> {
        let kernel = kernel_tree(&self.options.product);
        let mut packages = self.lock.tree(TREE_ROOT);
        packages.extend(self.lock.tree(&kernel));
        let files = format!("{:?}", self.recipe.files);
        let inputs = Inputs::of("unpack")
            .text("[files] of the recipe", &files)
            .digests(packages_digests(&self.lock, TREE_ROOT))
            .digests(packages_digests(&self.lock, &kernel))
            .digests(packages_digests(&self.lock, TREE_TOOLS));
        cache.step(inputs, |directory| {
            unpack::unpack(
                &self.recipe,
                &packages,
                &self.options.packages(),
                tools,
                directory,
            )
        })
    }

    fn compose_step(
        &self,
        cache: &Cache<'_>,
        tools: &Tools,
        unpacked: &Finished,
    ) -> Result<Finished> {
        let inputs = self
            .root_inputs(Inputs::of("compose").step(unpacked))?
            .text("the version", &self.identity.version)
            .text("the build id", &self.identity.build_id);
        let [units, files] = self.overlays.clone();
        let overlays = [units, files, self.ours.tree.clone()];
        cache.step(inputs, |directory| {
            compose::compose(
                &self.recipe,
                &self.identity,
                &unpacked.file(PACKAGES_TAR),
                &overlays,
                tools,
                self.timestamp_seconds,
                directory,
            )
        })
    }

    fn commit_step(&self, cache: &Cache<'_>, composed: &Finished) -> Result<Finished> {
        let branch = format!("{}/{}", self.recipe.name, self.options.product);
        let repository = self.options.cache.join("ostree");
        let inputs = Inputs::of("commit")
            .step(composed)
            .text("the branch", &branch);
        cache.step(inputs, |directory| {
            commit::commit(
                &repository,
                &composed.file(ROOT_TAR),
                &branch,
                &self.identity.version,
                self.timestamp_seconds,
                directory,
            )
        })
    }

    fn erofs_step(
        &self,
        cache: &Cache<'_>,
        tools: &Tools,
        composed: &Finished,
    ) -> Result<Finished> {
        let uuid = derived_uuid("root", &composed.key);
        cache.step(Inputs::of("erofs").step(composed), |directory| {
            let limit = self.recipe.disk.root_bytes;
            let tar = composed.file(ROOT_TAR);
            root_image::erofs(tools, &tar, uuid, self.timestamp_seconds, limit, directory)
        })
    }

    fn verity_step(&self, cache: &Cache<'_>, root: &Finished) -> Result<Finished> {
        let uuid = derived_uuid("verity", &root.key);
        let inputs = Inputs::of("verity")
            .step(root)
            .text("the salt", &self.recipe.verity_salt);
        cache.step(inputs, |directory| {
            let salt = self.recipe.verity_salt_bytes();
            root_image::hash_tree(&root.file(ROOT_IMAGE), &salt, uuid, directory)
        })
    }

    fn initramfs_step(&self, cache: &Cache<'_>, unpacked: &Finished) -> Result<Finished> {
        let list = self.options.checkout.join("initramfs").join(MODULE_LIST);
        let inputs = Inputs::of("initramfs")
            .step(unpacked)
            .digest("initramfs/modules.toml", Digest::of_file(&list)?)
            .digest("init", Digest::of(&self.ours.init))
            .text("the product", &self.options.product)
            .text("the time stamp", &self.timestamp_seconds.to_string());
        cache.step(inputs, |directory| {
            let list = ModuleList::load(&list)?;
            let root = tar_tree::open_tree(&unpacked.file(PACKAGES_TAR))?;
            let product = &self.options.product;
            initramfs::initramfs(
                product,
                &self.ours.init,
                &list,
                &root,
                self.timestamp_seconds,
                directory,
            )
        })
    }

    fn uki_step(
        &self,
        cache: &Cache<'_>,
        tools: &Tools,
        unpacked: &Finished,
        composed: &Finished,
        verity: &Finished,
        initramfs: &Finished,
    ) -> Result<Finished> {
        let product = self.recipe.product(&self.options.product)?;
        let words = [
            &self.recipe.kernel.command_line[..],
            &product.command_line[..],
        ]
        .concat();
        let inputs = Inputs::of("uki")
            .step(unpacked)
            .step(verity)
            .step(initramfs)
            .text("the command line", &words.join(" "))
            .text("the version", &self.identity.version);
        cache.step(inputs, |directory| {
            let root_hash = root_image::read_root_hash(&verity.file(ROOT_HASH))?;
            let version = &self.identity.version;
            let tree = tar_tree::open_tree(&composed.file(ROOT_TAR))?;
            let os_release = tree
                .file("usr/lib/os-release")
                .expect("compose wrote it")
                .to_vec()?;
            let parts = Parts {
                kernel: &unpacked.file(KERNEL),
                initramfs: &initramfs.file(INITRAMFS),
                os_release: &os_release,
                command_line: &boot_image::command_line(&self.recipe, product, &root_hash, version),
                kernel_release: &crate::derive::kernel_release(&tree)?,
            };
            boot_image::assemble(tools, &parts, directory)
        })
    }

    fn disk_step(
        &self,
        cache: &Cache<'_>,
        tools: &Tools,
        root: &Finished,
        verity: &Finished,
        uki: &Finished,
    ) -> Result<Finished> {
        let sizes = format!("{:?}", self.recipe.disk);
        let sector_bytes = self.options.sector_size.bytes().to_string();
        let inputs = Inputs::of("disk")
            .step(root)
            .step(verity)
            .step(uki)
            .text("[disk] of the recipe", &sizes)
            .text("the sector size", &sector_bytes)
            .digests(packages_digests(&self.lock, TREE_TOOLS));
        let key = uki.key;
        cache.step(inputs, |directory| {
            let parts = DiskParts {
                sizes: &self.recipe.disk,
                version: &self.identity.version,
                root_hash: &root_image::read_root_hash(&verity.file(ROOT_HASH))?,
                root: &root.file(ROOT_IMAGE),
                verity: &verity.file(VERITY_TREE),
                uki: &uki.file(UKI),
                key,
                timestamp_seconds: self.timestamp_seconds,
                sector_size: self.options.sector_size,
            };
            disk_image::disk(tools, &parts, directory)
        })
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
