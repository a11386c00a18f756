//! Which packages the older images are made of: what the archive still has of earlier versions.
//!
//! No archive of past states is needed: Debian's suites carry some packages in two versions, the security archive
//! many kernels beside each other, and its pools for some time what the checkout's lock names. Resolving is
//! `keelson lock`'s.

use anyhow::{Context as _, ensure};
use image_build::lock::{ArchiveKind, LockedPackage, PackagesLock, TREE_ROOT, kernel_tree};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::process::Command;

use crate::command;

/// Upstream releases of the kernel between the older and the newest one: a month or somewhat more.
const KERNELS_BACK: usize = 4;
const PRODUCT: &str = "vm";
/// What kernel packages are called before their version, and behind the `+` after it.
const KERNEL: [&str; 2] = ["linux-image-", "-cloud-amd64"];
/// How much older the older images say they are.
const AGE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The locks that images are built from.
#[derive(Debug)]
pub(crate) struct Locks {
    /// Everything in its newest version.
    pub(crate) newest: PackagesLock,
    /// Everything in its oldest version that the archive has, and an earlier kernel.
    pub(crate) month_old: PackagesLock,
    /// The newest, but for one package.
    pub(crate) package_old: PackagesLock,
    /// What differs, for people.
    pub(crate) notes: Vec<String>,
}

impl Locks {
    /// From the newest lock, the apt configuration it was resolved with, and earlier versions that are here.
    pub(crate) fn find(
        newest: PackagesLock,
        apt_configuration: &Path,
        here: &[LockedPackage],
    ) -> anyhow::Result<Self> {
        let apt = |arguments: &[&str]| {
            let mut command = Command::new("apt-cache");
            command.env("APT_CONFIG", apt_configuration).args(arguments);
            anyhow::Ok(command::run(&mut command)?.1)
        };
        let kernels = apt(&["pkgnames", KERNEL[0]])?;
        let current = kernel(&newest)?;
        let earlier = earlier_kernel(&current.name, &kernels)
            .with_context(|| format!("the archive has no kernel before {}", current.name))?;
        let mut names: Vec<&str> = changeable(&newest).map(|p| &p.name[..]).collect();
        names.push(&earlier);
        let mut arguments = vec!["show", "--all-versions"];
        arguments.extend(&names);
        let stanzas = apt(&arguments)?;
        let month_old = older(&newest, &|package| {
            if package.name == current.name {
                return oldest(&stanzas, &earlier, &package.tree);
            }
            let listed = oldest(&stanzas, &package.name, &package.tree);
            let is_older = |other: &LockedPackage| other.version != package.version;
            let mut here = here.iter().filter(|one| is_same(one, package));
            listed.filter(is_older).or_else(|| here.next().cloned())
        })?;
        let changed = largest_change(&newest, &month_old)?.clone();
        let package_old = older(&newest, &|package| {
            is_same(package, &changed).then(|| changed.clone())
        })?;
        let notes = notes(&newest, &month_old, &changed, [&earlier, &current.name]);
        Ok(Self {
            newest,
            month_old,
            package_old,
            notes,
        })
    }
}

fn notes(
    newest: &PackagesLock,
    month_old: &PackagesLock,
    changed: &LockedPackage,
    kernels: [&str; 2],
) -> Vec<String> {
    let others = others(month_old, newest);
    let names: Vec<&str> = others
        .iter()
        .filter(|package| package.tree == TREE_ROOT)
        .map(|package| &package.name[..])
        .collect();
    let new = changeable(newest).find(|new| is_same(new, changed));
    vec![
        format!(
            "One Debian package: {} {} to {}.",
            changed.name,
            changed.version,
            new.map_or("none", |new| &new.version)
        ),
        format!(
            "A month: {} to {}, and {} packages: {}.",
            kernels[0],
            kernels[1],
            names.len(),
            names.join(", ")
        ),
    ]
}

/// Whether these are versions of one package.
fn is_same(one: &LockedPackage, other: &LockedPackage) -> bool {
    one.tree == other.tree && one.name == other.name
}

/// Packages that a lock has in other versions than the newest.
pub(crate) fn others(lock: &PackagesLock, newest: &PackagesLock) -> Vec<LockedPackage> {
    let is_other = |package: &&LockedPackage| {
        changeable(newest).any(|new| is_same(new, package) && new.version != package.version)
    };
    changeable(lock).filter(is_other).cloned().collect()
}

/// The packages that are in an image.
fn changeable(lock: &PackagesLock) -> impl Iterator<Item = &LockedPackage> {
    let kernel = kernel_tree(PRODUCT);
    lock.packages
        .iter()
        .filter(move |package| package.tree == TREE_ROOT || package.tree == kernel)
}

fn kernel(lock: &PackagesLock) -> anyhow::Result<&LockedPackage> {
    changeable(lock)
        .find(|package| upstream(&package.name).is_some())
        .context("the lock has no kernel with a version in its name")
}

/// `6.12` and `118` of `linux-image-6.12.118+deb13-cloud-amd64`.
fn upstream(name: &str) -> Option<(&str, u32)> {
    let version = name.strip_prefix(KERNEL[0])?.strip_suffix(KERNEL[1])?;
    let (series, patch) = version.split_once('+')?.0.rsplit_once('.')?;
    Some((series, patch.parse().ok()?))
}

/// The kernel some upstream releases before `current`, or the earliest there is.
fn earlier_kernel(current: &str, names: &str) -> Option<String> {
    let (series, patch) = upstream(current)?;
    let mut earlier: Vec<(u32, &str)> = names
        .lines()
        .filter_map(|name| Some((upstream(name)?, name)))
        .filter(|((of, number), _)| *of == series && *number < patch)
        .map(|((_, number), name)| (number, name))
        .collect();
    earlier.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    earlier.dedup_by_key(|(number, _)| *number);
    earlier.truncate(KERNELS_BACK);
    earlier.last().map(|(_, name)| (*name).to_owned())
}

/// A lock with other versions, which says that it is older.
fn older(
    newest: &PackagesLock,
    version: &dyn Fn(&LockedPackage) -> Option<LockedPackage>,
) -> anyhow::Result<PackagesLock> {
    let resolved: Timestamp = newest.resolved.parse().context("the lock's time")?;
    let kept = |package: &LockedPackage| {
        let other = changeable(newest).find(|one| *one == package);
        other.and_then(version).unwrap_or_else(|| package.clone())
    };
    let resolved = resolved - AGE;
    Ok(PackagesLock {
        resolved: resolved.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        release: newest.release.clone(),
        packages: newest.packages.iter().map(kept).collect(),
    })
}

/// The last stanza of a package: apt shows its versions from the newest to the oldest.
fn oldest(stanzas: &str, name: &str, tree: &str) -> Option<LockedPackage> {
    let mut found = stanzas.split("\n\n").filter_map(|stanza| {
        let field = |key: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        };
        let path = field("Filename")?.to_owned();
        (field("Package")? == name).then_some(LockedPackage {
            tree: tree.to_owned(),
            name: name.to_owned(),
            version: field("Version")?.to_owned(),
            archive: archive(&path),
            path,
            size: field("Size")?.parse().ok()?,
            sha256: field("SHA256")?.to_owned(),
        })
    });
    let first = found.next()?;
    Some(found.last().unwrap_or(first))
}

/// The security archive's packages stand in a folder of their own below `pool`.
fn archive(path: &str) -> ArchiveKind {
    if path.starts_with("pool/updates/") {
        ArchiveKind::Security
    } else {
        ArchiveKind::Main
    }
}

/// The largest package of the root that the older lock has in another version, as it has it.
fn largest_change<'a>(
    newest: &PackagesLock,
    older: &'a PackagesLock,
) -> anyhow::Result<&'a LockedPackage> {
    let root = older.tree(TREE_ROOT);
    let changed = root.into_iter().filter(|old| {
        let is_changed = |new: &&LockedPackage| is_same(new, old) && new.version != old.version;
        newest.tree(TREE_ROOT).iter().any(is_changed)
    });
    let largest = changed.max_by_key(|package| package.size);
    ensure!(
        largest.is_some(),
        "the archive has no package of the root in two versions today"
    );
    largest.context("just looked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_some_releases_back() {
        let names: Vec<String> = ["118", "117", "116", "115", "113", "111"]
            .iter()
            .map(|number| format!("linux-image-6.12.{number}+deb13-cloud-amd64"))
            .collect();
        let mut text = names.join("\n");
        text += "\nlinux-image-6.12.115+deb13.1-cloud-amd64\nlinux-image-6.1.1+deb13-cloud-amd64";
        text += "\nlinux-image-6.12.113+deb13-amd64\nlinux-image-cloud-amd64\n";
        let found = earlier_kernel(&names[0], &text);
        assert_eq!(
            found.as_deref(),
            Some("linux-image-6.12.113+deb13-cloud-amd64")
        );
        let found = earlier_kernel(&names[4], &text);
        assert_eq!(found.as_ref(), Some(&names[5]));
        assert_eq!(earlier_kernel(&names[5], &text), None);
    }

    #[test]
    fn the_last_stanza_is_the_oldest() {
        let text = "Package: a\nVersion: 2\nFilename: pool/main/a_2.deb\nSize: 7\nSHA256: ff\n\n\
                    Package: a\nVersion: 1\nFilename: pool/updates/main/a_1.deb\nSize: 6\nSHA256: ee\n\n\
                    Package: b\nVersion: 0\nFilename: pool/main/b.deb\nSize: 1\nSHA256: dd\n";
        let found = oldest(text, "a", TREE_ROOT).unwrap();
        assert_eq!((&found.version[..], found.size), ("1", 6));
        assert_eq!(found.archive, ArchiveKind::Security);
        assert_eq!(oldest(text, "b", TREE_ROOT).unwrap().version, "0");
        assert!(oldest(text, "c", TREE_ROOT).is_none());
    }
}
