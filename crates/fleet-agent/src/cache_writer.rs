//! Keeps the targets on disk in step with what was told.
//!
//! Disks are slow: it has a thread while there is something to write, and nobody waits for it.

use fleet_store::{Contents, Target};
use systemd_unit::UnitName;
use tokio::sync::mpsc;

use crate::target_cache::{CachedTarget, TargetCache};
use crate::unit_directory::UnitDirectory;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum CacheOrder {
    /// A target, with its contents unless the machine has them.
    Keep(UnitName, Target, Option<Contents>),
    /// There is no such target any more.
    Drop(UnitName),
}

/// Carries orders out, for ever.
pub(crate) async fn run(
    cache: TargetCache,
    directory: UnitDirectory,
    mut orders: mpsc::UnboundedReceiver<CacheOrder>,
) {
    while let Some(first) = orders.recv().await {
        let mut all = vec![first];
        while let Ok(next) = orders.try_recv() {
            all.push(next);
        }
        let (cache, directory) = (cache.clone(), directory.clone());
        let written = tokio::task::spawn_blocking(move || {
            for order in all {
                carry_out(&cache, &directory, order);
            }
        });
        if let Err(error) = written.await {
            tracing::error!("targets are not remembered: {error}");
        }
    }
}

fn carry_out(cache: &TargetCache, directory: &UnitDirectory, order: CacheOrder) {
    let (name, result) = match order {
        CacheOrder::Drop(name) => {
            let removed = cache.remove(&name);
            (name, removed)
        }
        CacheOrder::Keep(name, target, contents) => {
            let written = keep(cache, directory, &name, target, contents);
            (name, written)
        }
    };
    if let Err(error) = result {
        tracing::warn!("a boot without the store will not know of {name}: {error}");
    }
}

fn keep(
    cache: &TargetCache,
    directory: &UnitDirectory,
    name: &UnitName,
    target: Target,
    contents: Option<Contents>,
) -> std::io::Result<()> {
    let old = cache.read(name).ok();
    let of_old = old.as_ref().filter(|old| old.target.hash == target.hash);
    let contents = match (contents, of_old) {
        (Some(contents), _) => contents,
        (None, Some(old)) => old.contents.clone(),
        (None, None) => directory.contents(name).map_err(std::io::Error::other)?,
    };
    let new = CachedTarget { target, contents };
    if old.as_ref() == Some(&new) {
        return Ok(());
    }
    cache.write(name, &new)
}
