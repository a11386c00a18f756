//! What a build is made from: our programs, the lock, and the packages it names, fetched or renewed.
//!
//! Only the order and the reports; cargo, apt and downloads are other modules'.

use super::BuildOptions;
use crate::cache::{Cache, Event};
use crate::error::{BuildError, Result};
use crate::fetch::Fetched;
use crate::lock::{LockedPackage, PackagesLock, TREE_ROOT, TREE_TOOLS, kernel_tree};
use crate::mirror::Mirrors;
use crate::programs::{self, Programs, Source};
use crate::recipe::Recipe;
use crate::renew;

/// Cargo runs at every build and knows what is stale; explaining uses what stands.
pub(super) fn programs_step(
    options: &BuildOptions,
    recipe: &Recipe,
    cache: &Cache<'_>,
) -> Result<Programs> {
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

pub(super) fn resolve_step(
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
pub(super) fn fetch_step(
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
    options
        .packages()
        .fetch(&wanted(lock, &options.product), mirrors, cache.reporter())
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
