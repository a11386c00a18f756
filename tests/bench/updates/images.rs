//! The images that updates lead between: five, from three locks and two sets of programs.
//!
//! All are built by `keelson build`, in a folder that is kept for the next run.

use anyhow::Context as _;
use image_build::fetch::PackageCache;
use image_build::lock::{LockedPackage, PackagesLock};
use image_build::output::BuiltImage;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::builds::{Builder, Sources, copy_checkout};
use crate::command;
use crate::updates::daemon;
use crate::updates::locks::{Locks, others};
use crate::updates::peers;

/// An image and the lock it was built from.
#[derive(Debug)]
pub(crate) struct Image {
    /// The image.
    pub(crate) built: BuiltImage,
    /// Path of the lock.
    pub(crate) lock: PathBuf,
}

/// All images.
#[derive(Debug)]
pub(crate) struct Images {
    /// What a machine runs, or updates to.
    pub(crate) current: Image,
    /// The same under another version.
    pub(crate) renamed: Image,
    /// With another daemon.
    pub(crate) daemon: Image,
    /// With another version of one package.
    pub(crate) package_old: Image,
    /// With the packages of a month ago.
    pub(crate) month_old: Image,
    /// The changed daemon's file.
    pub(crate) changed_program: PathBuf,
    /// What differs, for people.
    pub(crate) notes: Vec<String>,
}

/// Where they are built.
struct Site<'a> {
    builder: &'a Builder,
    folder: &'a Path,
    cache: PathBuf,
}

impl Images {
    /// Builds them in `folder`, from the newest packages of today.
    pub(crate) fn build(builder: &Builder, folder: &Path) -> anyhow::Result<Self> {
        let site = Site::prepare(builder, folder)?;
        let locks = site.locks()?;
        let programs = site.fresh("programs")?;
        builder.collect_programs(&programs)?;
        // Of neighbours that share most steps, so that the cache keeps what the next one needs.
        let month_old = site.image("month-old", &locks.month_old, &programs, "1.0~1")?;
        let package_old = site.image("package-old", &locks.package_old, &programs, "1.0~2")?;
        let current = site.image("current", &locks.newest, &programs, "1.0")?;
        let renamed = site.image("renamed", &locks.newest, &programs, "1.1")?;
        let changed_program = daemon::build(builder, folder)?;
        let others = site.programs_with(&changed_program)?;
        Ok(Self {
            month_old,
            package_old,
            current,
            renamed,
            daemon: site.image("daemon", &locks.newest, &others, "1.2")?,
            changed_program,
            notes: locks.notes,
        })
    }
}

impl<'a> Site<'a> {
    fn prepare(builder: &'a Builder, folder: &'a Path) -> anyhow::Result<Self> {
        let cache = folder.join("cache");
        fs::create_dir_all(&cache)?;
        let (packages, link) = (builder.cache.join("packages"), cache.join("packages"));
        fs::create_dir_all(&packages)?;
        if !link.is_symlink() {
            symlink(&packages, &link)
                .with_context(|| format!("cannot create {}", link.display()))?;
        }
        Ok(Self {
            builder,
            folder,
            cache,
        })
    }

    /// A path that nothing stands at.
    fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        Ok(path)
    }

    /// Our programs, but for the changed one.
    fn programs_with(&self, changed: &Path) -> anyhow::Result<PathBuf> {
        let programs = self.fresh("other-programs")?;
        self.builder.collect_programs(&programs)?;
        let program = programs.join(daemon::NAME);
        // It may be a link to cargo's.
        fs::remove_file(&program)?;
        fs::copy(changed, &program)?;
        Ok(programs)
    }

    fn checkout(&self, label: &str) -> anyhow::Result<PathBuf> {
        let path = self.fresh(&format!("checkout-{label}"))?;
        copy_checkout(&self.builder.checkout, &path)?;
        Ok(path)
    }

    /// Resolves today's newest packages.
    fn locks(&self) -> anyhow::Result<Locks> {
        eprintln!("bench: looking for earlier versions of packages");
        let checkout = self.checkout("newest")?;
        let mut lock = self.builder.keelson("lock");
        lock.arg("--checkout").arg(&checkout);
        command::run(lock.arg("--cache").arg(&self.cache))?;
        let mut newest = PackagesLock::load(&checkout.join("image/packages.lock"))?;
        // The same all day, so that the cache holds what an earlier run built.
        newest.resolved = newest.resolved.chars().take(10).collect::<String>() + "T00:00:00Z";
        let here = self.fetch_others(&newest)?;
        Locks::find(newest, &self.cache.join("apt/apt.conf"), &here)
    }

    /// What the checkout's lock has in other versions, as far as the archive still has it.
    fn fetch_others(&self, newest: &PackagesLock) -> anyhow::Result<Vec<LockedPackage>> {
        let path = self.builder.checkout.join("image/packages.lock");
        let mut others = others(&PackagesLock::load(&path)?, newest);
        let mirrors = peers::mirrors()?;
        let cache = PackageCache::new(self.builder.cache.join("packages"));
        let wanted: Vec<&LockedPackage> = others.iter().collect();
        let vanished = cache.fetch(&wanted, &mirrors, &|_| ())?.vanished;
        others.retain(|package| !vanished.contains(package));
        Ok(others)
    }

    fn image(
        &self,
        label: &str,
        lock: &PackagesLock,
        programs: &Path,
        version: &str,
    ) -> anyhow::Result<Image> {
        eprintln!("bench: building the image {label}");
        let checkout = self.checkout(label)?;
        let path = checkout.join("image/packages.lock");
        lock.save(&path)?;
        let built = self.builder.image_of(&Sources {
            checkout: &checkout,
            cache: &self.cache,
            output: &self.folder.join("images").join(label),
            programs,
            version,
        })?;
        Ok(Image { built, lock: path })
    }
}
