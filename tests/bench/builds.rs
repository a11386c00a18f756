//! Runs the builder: once for the image that is measured, then timed, cold, warm and idle.
//!
//! Timed builds happen in a cache and a copy of the recipe of their own, so that nobody's steps
//! get lost. Compiling our programs is not timed: cargo's time says nothing about the builder.

use anyhow::Context as _;
use image_build::output::BuiltImage;
use image_build::recipe::Recipe;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::command;
use crate::stock::Stock;
use crate::table::{Peer, Row, Target, Unit};

const COLD_SECONDS_LIMIT: f64 = 30.0;
const WARM_SECONDS_LIMIT: f64 = 8.0;
/// The file that is changed before a warm build.
const TOUCHED_FILE: &str = "image/files/etc/issue";
/// What a build with built programs reads of a checkout.
const CHECKOUT_FOLDERS: [&str; 3] = ["image", "units", "initramfs"];
/// Where cargo puts what is linked statically, from the folder of the other programs.
const STATIC_PROGRAMS: &str = "../x86_64-unknown-linux-gnu/release";

/// The builder, and where it works.
#[derive(Debug)]
pub(crate) struct Builder {
    program: PathBuf,
    /// The checkout that is built.
    pub(crate) checkout: PathBuf,
    /// The cache of the image that is measured.
    pub(crate) cache: PathBuf,
    /// The manifest of an image that is there already.
    built: Option<PathBuf>,
}

/// What an image is built from, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// With `image/`, `units/` and `initramfs/`.
    pub(crate) checkout: &'a Path,
    /// Cached steps and packages.
    pub(crate) cache: &'a Path,
    /// Where the image goes.
    pub(crate) output: &'a Path,
    /// Our programs.
    pub(crate) programs: &'a Path,
    /// The image's version.
    pub(crate) version: &'a str,
}

/// A checkout and a cache that nobody else uses; they go when this does.
#[derive(Debug)]
struct Laboratory {
    folder: TempDir,
}

impl Builder {
    /// With absolute paths; makes the cache if there is none.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let cache = std::path::absolute(&arguments.cache)?;
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        Ok(Self {
            program: std::path::absolute(&arguments.builder)?,
            checkout: std::path::absolute(&arguments.checkout)?,
            cache,
            built: arguments.image.clone(),
        })
    }

    /// The image of the checkout, built if it is not; or the one that was given.
    pub(crate) fn image(&self) -> anyhow::Result<BuiltImage> {
        if let Some(manifest) = &self.built {
            return Ok(BuiltImage::load(manifest)?);
        }
        eprintln!("bench: building Keelson's image");
        let mut build = self.command(&self.checkout, &self.cache, &self.cache.join("image"));
        command::run(build.arg("--renew-vanished"))?;
        Ok(BuiltImage::load(&self.cache.join("image/keelson-vm.json"))?)
    }

    /// An image of another checkout and other programs, in another cache.
    pub(crate) fn image_of(&self, sources: &Sources<'_>) -> anyhow::Result<BuiltImage> {
        let mut build = self.command(sources.checkout, sources.cache, sources.output);
        build.arg("--programs").arg(sources.programs);
        command::run(build.arg("--version").arg(sources.version))?;
        Ok(BuiltImage::load(&sources.output.join("keelson-vm.json"))?)
    }

    /// The builder with one of its commands.
    pub(crate) fn keelson(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(subcommand);
        command
    }

    /// The folder of our programs as cargo built them.
    pub(crate) fn programs(&self) -> anyhow::Result<&Path> {
        self.program.parent().context("the builder has no folder")
    }

    fn command(&self, checkout: &Path, cache: &Path, output: &Path) -> Command {
        let mut command = self.keelson("build");
        command.arg("--checkout").arg(checkout);
        command.arg("--cache").arg(cache);
        command.arg("--output").arg(output);
        command
    }

    /// Seconds of one build in `laboratory`.
    fn timed(&self, laboratory: &Laboratory) -> anyhow::Result<f64> {
        let cache = laboratory.path("cache");
        let output = cache.join("image");
        let mut build = self.command(&laboratory.path("checkout"), &cache, &output);
        let (took, _) = command::run(build.arg("--programs").arg(laboratory.path("programs")))?;
        Ok(took.as_secs_f64())
    }

    /// Our programs as cargo built them for the image, in one folder.
    pub(crate) fn collect_programs(&self, target: &Path) -> anyhow::Result<()> {
        let built = self.programs()?;
        let recipe = Recipe::load(&self.checkout.join("image/os.toml"))?;
        fs::create_dir(target)?;
        let names = recipe
            .program
            .iter()
            .map(|program| program.package.as_str());
        for name in names {
            link_or_copy(&built.join(name), &target.join(name))?;
        }
        link_or_copy(
            &built.join(STATIC_PROGRAMS).join("init"),
            &target.join("init"),
        )
    }
}

impl Laboratory {
    /// With packages and programs, without any step done.
    fn new(builder: &Builder) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&builder.cache)?;
        let laboratory = Self { folder };
        copy_checkout(&builder.checkout, &laboratory.path("checkout"))?;
        let packages = laboratory.path("cache").join("packages");
        copy_folder(&builder.cache.join("packages"), &packages, &|from, to| {
            fs::hard_link(from, to)
        })?;
        builder.collect_programs(&laboratory.path("programs"))?;
        Ok(laboratory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn touch(&self) -> anyhow::Result<()> {
        let path = self.path("checkout").join(TOUCHED_FILE);
        let mut file = fs::File::options().append(true).open(&path)?;
        file.write_all(b"touched\n")?;
        Ok(())
    }
}

/// Times builds.
pub(crate) fn measure(builder: &Builder, runs: u32, peer: &Stock) -> anyhow::Result<Vec<Row>> {
    let (mut cold, mut warm, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=runs {
        eprintln!("bench: builds, run {run} of {runs}");
        let laboratory = Laboratory::new(builder)?;
        cold.push(builder.timed(&laboratory)?);
        laboratory.touch()?;
        warm.push(builder.timed(&laboratory)?);
        idle.push(builder.timed(&laboratory)?);
    }
    let stock = match peer.build_seconds() {
        Some(seconds) => Peer::Measured(vec![seconds]),
        None => Peer::Absent(peer.absence()),
    };
    let seconds = Unit::Seconds;
    Ok(vec![
        Row::new(
            "image from fetched packages (stock: mmdebstrap, with fetching)",
            seconds,
            cold,
            stock,
        )
        .with_target(Target::AtMost(COLD_SECONDS_LIMIT)),
        Row::new(
            "image after a change to one laid-over file",
            seconds,
            warm,
            Peer::Absent("–"),
        )
        .with_target(Target::AtMost(WARM_SECONDS_LIMIT)),
        Row::new("image without a change", seconds, idle, Peer::Absent("–")),
    ])
}

fn link_or_copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Copies what a build with built programs reads.
pub(crate) fn copy_checkout(from: &Path, to: &Path) -> anyhow::Result<()> {
    CHECKOUT_FOLDERS.iter().try_for_each(|name| {
        copy_folder(&from.join(name), &to.join(name), &|from, to| {
            fs::copy(from, to).map(drop)
        })
    })
}

pub(crate) type TakeFile<'a> = &'a dyn Fn(&Path, &Path) -> std::io::Result<()>;

/// Makes `to` as `from`, its files by `take_file`; symbolic links stay what they are.
pub(crate) fn copy_folder(from: &Path, to: &Path, take_file: TakeFile<'_>) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&source, &target, take_file)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else {
            take_file(&source, &target)
                .with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_folder_keeps_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/file"), "text").unwrap();
        std::os::unix::fs::symlink("nowhere", from.join("link")).unwrap();
        copy_folder(&from, &to, &|from, to| fs::copy(from, to).map(drop)).unwrap();
        assert_eq!(fs::read(to.join("inner/file")).unwrap(), b"text");
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("nowhere")
        );
    }
}
