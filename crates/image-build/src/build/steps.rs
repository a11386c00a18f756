//! The inputs of every cached step: what its result depends on, and nothing else.

use super::{Build, packages_digests};
use crate::boot_image::{self, Parts, UKI};
use crate::cache::{Cache, Finished, Inputs};
use crate::commit;
use crate::compose::{self, ROOT_TAR};
use crate::digest::Digest;
use crate::disk_image::{self, DiskParts};
use crate::error::Result;
use crate::initramfs::{self, INITRAMFS, MODULE_LIST, ModuleList};
use crate::lock::{TREE_ROOT, TREE_TOOLS, kernel_tree};
use crate::root_image::{self, ROOT_HASH, ROOT_IMAGE, VERITY_TREE, derived_uuid};
use crate::tar_tree;
use crate::tools::{self, Tools};
use crate::unpack::{self, KERNEL, PACKAGES_TAR};

impl Build<'_> {
    pub(super) fn tools_step(&self, cache: &Cache<'_>) -> Result<Tools> {
        let packages = self.lock.tree(TREE_TOOLS);
        let inputs = Inputs::of("tools").digests(packages_digests(&self.lock, TREE_TOOLS));
        let finished = cache.step(&inputs, |directory| {
            tools::unpack(&self.options.packages(), &packages, directory)?;
            Ok(format!("{} packages", packages.len()))
        })?;
        Ok(Tools::at(finished.directory))
    }

    pub(super) fn unpack_step(&self, cache: &Cache<'_>, tools: &Tools) -> Result<Finished> {
        let kernel = kernel_tree(&self.options.product);
        let mut packages = self.lock.tree(TREE_ROOT);
        packages.extend(self.lock.tree(&kernel));
        let files = format!("{:?}", self.recipe.files);
        let inputs = Inputs::of("unpack")
            .text("[files] of the recipe", &files)
            .digests(packages_digests(&self.lock, TREE_ROOT))
            .digests(packages_digests(&self.lock, &kernel))
            .digests(packages_digests(&self.lock, TREE_TOOLS));
        cache.step(&inputs, |directory| {
            unpack::unpack(
                &self.recipe,
                &packages,
                &self.options.packages(),
                tools,
                directory,
            )
        })
    }

    pub(super) fn compose_step(
        &self,
        cache: &Cache<'_>,
        tools: &Tools,
        unpacked: &Finished,
    ) -> Result<Finished> {
        let inputs = self
            .root_inputs(Inputs::of("compose").step(unpacked))?
            .derived_text("the version", &self.identity.version)
            .derived_text("the build id", &self.identity.build_id);
        let [units, files] = self.overlays.clone();
        let overlays = [units, files, self.ours.tree.clone()];
        cache.step(&inputs, |directory| {
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

    pub(super) fn commit_step(&self, cache: &Cache<'_>, composed: &Finished) -> Result<Finished> {
        let branch = format!("{}/{}", self.recipe.name, self.options.product);
        let repository = self.options.cache.join("ostree");
        let inputs = Inputs::of("commit")
            .step(composed)
            .text("the branch", &branch);
        cache.step(&inputs, |directory| {
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

    pub(super) fn erofs_step(
        &self,
        cache: &Cache<'_>,
        tools: &Tools,
        composed: &Finished,
    ) -> Result<Finished> {
        let uuid = derived_uuid("root", &composed.key);
        cache.step(&Inputs::of("erofs").step(composed), |directory| {
            let limit = self.recipe.disk.root_bytes;
            let tar = composed.file(ROOT_TAR);
            root_image::erofs(tools, &tar, uuid, self.timestamp_seconds, limit, directory)
        })
    }

    pub(super) fn verity_step(&self, cache: &Cache<'_>, root: &Finished) -> Result<Finished> {
        let uuid = derived_uuid("verity", &root.key);
        let inputs = Inputs::of("verity")
            .step(root)
            .text("the salt", &self.recipe.verity_salt);
        cache.step(&inputs, |directory| {
            let salt = self.recipe.verity_salt_bytes();
            root_image::hash_tree(&root.file(ROOT_IMAGE), &salt, uuid, directory)
        })
    }

    pub(super) fn initramfs_step(
        &self,
        cache: &Cache<'_>,
        unpacked: &Finished,
    ) -> Result<Finished> {
        let list = self.options.checkout.join("initramfs").join(MODULE_LIST);
        let inputs = Inputs::of("initramfs")
            .step(unpacked)
            .digest("initramfs/modules.toml", Digest::of_file(&list)?)
            .digest("init", Digest::of(&self.ours.init))
            .text("the product", &self.options.product)
            .text("the time stamp", &self.timestamp_seconds.to_string());
        cache.step(&inputs, |directory| {
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

    pub(super) fn uki_step(
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
            .derived_text("the version", &self.identity.version);
        cache.step(&inputs, |directory| {
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

    pub(super) fn disk_step(
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
        cache.step(&inputs, |directory| {
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
