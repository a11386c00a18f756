//! Renewing `packages.lock`: all of it, or just the entries the archive no longer has.

use std::path::Path;

use crate::apt::PrivateApt;
use crate::build::BuildOptions;
use crate::cache::{Cache, Event, Mode};
use crate::error::{BuildError, Result};
use crate::lock::{LockedPackage, PackagesLock, renew as renewed};
use crate::mirror::Mirrors;
use crate::recipe::Recipe;

/// Resolves every package anew and replaces the lock. `now` becomes the time stamp of what is built.
pub fn lock(
    options: &BuildOptions,
    now: jiff::Timestamp,
) -> Result<(Option<PackagesLock>, PackagesLock)> {
    let recipe = Recipe::load(&options.recipe_path())?;
    // A build that renews its lock uses the same private apt.
    let _no_build_meanwhile = Cache::open(&options.cache, Mode::Build, &|_| ())?;
    let mirrors = Mirrors::find(
        options.mirror.as_deref(),
        options.security_mirror.as_deref(),
    )?;
    let path = options.lock_path();
    let old = if path.exists() {
        Some(PackagesLock::load(&path)?)
    } else {
        None
    };
    let fresh = resolve(&options.cache, &recipe, &mirrors, now)?;
    fresh.save(&path)?;
    Ok((old, fresh))
}

/// Renews the vanished entries of a lock and says which. The time stamp stays: the sources are the same.
pub fn renew(
    options: &BuildOptions,
    recipe: &Recipe,
    old: &PackagesLock,
    vanished: &[LockedPackage],
    mirrors: &Mirrors,
    cache: &Cache<'_>,
) -> Result<PackagesLock> {
    let path = options.lock_path();
    let now = old.resolved.parse().map_err(|e| BuildError::Recipe {
        path: path.clone(),
        reason: format!("resolved: {e}"),
    })?;
    let fresh = resolve(&options.cache, recipe, mirrors, now)?;
    let lock = renewed(old, &fresh, vanished);
    for line in differences(old, &lock) {
        cache.report(Event::Notice {
            text: &format!("{}: {line}", path.display()),
        });
    }
    lock.save(&path)?;
    Ok(lock)
}

fn resolve(
    cache: &Path,
    recipe: &Recipe,
    mirrors: &Mirrors,
    now: jiff::Timestamp,
) -> Result<PackagesLock> {
    let directory =
        std::path::absolute(cache.join("apt")).map_err(|e| BuildError::io("find", cache, e))?;
    PrivateApt::new(&directory, recipe, mirrors)?.resolve(recipe, now)
}

/// What changed between two locks, a line a package.
pub fn differences(old: &PackagesLock, new: &PackagesLock) -> Vec<String> {
    let find = |lock: &PackagesLock, package: &LockedPackage| {
        lock.packages
            .iter()
            .find(|p| p.tree == package.tree && p.name == package.name)
            .cloned()
    };
    let mut lines = Vec::new();
    for package in &new.packages {
        match find(old, package) {
            None => lines.push(format!(
                "{}: {} {} is new",
                package.tree, package.name, package.version
            )),
            Some(before) if before.version != package.version => lines.push(format!(
                "{}: {} {} -> {}",
                package.tree, package.name, before.version, package.version
            )),
            Some(_) => {}
        }
    }
    for package in old
        .packages
        .iter()
        .filter(|package| find(new, package).is_none())
    {
        lines.push(format!(
            "{}: {} {} is gone",
            package.tree, package.name, package.version
        ));
    }
    lines
}
