//! What is mounted in a container: the kernel's file systems, what the launcher puts there, then what was
//! asked for. Of the last two those come first that others may be below of.
//!
//! Makes no folder.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount as SpecMount, MountBuilder};

use super::{SpecError, Surroundings, VolumeKey};
use crate::mount::{Access, Mount, MountSource, Propagation};
use crate::options::ContainerOptions;

/// Docker's, in bytes.
const SHARED_MEMORY: u64 = 64 * 1024 * 1024;

pub(super) fn all(
    options: &ContainerOptions,
    around: &Surroundings,
) -> Result<Vec<SpecMount>, SpecError> {
    let asked: Vec<&str> = options
        .mounts
        .iter()
        .map(|mount| mount.target.as_str())
        .collect();
    // What somebody mounts at such a place replaces what would be there.
    let mut mounts: Vec<SpecMount> = kernel(options)?;
    mounts.retain(|mount| {
        !asked
            .iter()
            .any(|target| mount.destination() == Path::new(target))
    });
    let mut others: Vec<SpecMount> = Vec::new();
    for file in &around.bound {
        if !asked.contains(&file.target.as_str()) {
            let private = Propagation::RecursivePrivate;
            others.push(bind(&file.source, &file.target, private, file.access)?);
        }
    }
    for mount in &options.mounts {
        others.push(one(mount, around)?);
    }
    // What is mounted later hides what is below.
    others.sort_by_key(|mount| mount.destination().components().count());
    mounts.extend(others);
    Ok(mounts)
}

fn one(mount: &Mount, around: &Surroundings) -> Result<SpecMount, SpecError> {
    let volume = |key: &VolumeKey| {
        let folder = around.volumes.get(key);
        folder.ok_or_else(|| SpecError::NoVolume(mount.target.clone()))
    };
    let private = Propagation::RecursivePrivate;
    match &mount.source {
        MountSource::Bind {
            path, propagation, ..
        } => bind(Path::new(path), &mount.target, *propagation, mount.access),
        MountSource::Volume(name) => {
            let folder = volume(&VolumeKey::Named(name.clone()))?;
            bind(folder, &mount.target, private, mount.access)
        }
        MountSource::AnonymousVolume => {
            let folder = volume(&VolumeKey::Anonymous(mount.target.clone()))?;
            bind(folder, &mount.target, private, mount.access)
        }
        MountSource::Tmpfs(options) => tmpfs(&mount.target, options, mount.access),
    }
}

fn bind(
    source: &Path,
    target: &str,
    propagation: Propagation,
    access: Access,
) -> Result<SpecMount, SpecError> {
    let kind = if propagation.is_recursive() {
        "rbind"
    } else {
        "bind"
    };
    let options = [kind, propagation.as_str(), access_word(access)];
    mount(target, "bind", source, &options)
}

fn tmpfs(target: &str, options: &[String], access: Access) -> Result<SpecMount, SpecError> {
    // Docker's defaults, which what was asked for overrides.
    let mut words = vec!["nosuid", "nodev", "noexec"];
    words.extend(options.iter().map(String::as_str));
    words.push(access_word(access));
    mount(target, "tmpfs", Path::new("tmpfs"), &words)
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::ReadWrite => "rw",
        Access::ReadOnly => "ro",
    }
}

fn mount(
    target: &str,
    kind: &str,
    source: &Path,
    options: &[&str],
) -> Result<SpecMount, SpecError> {
    let options: Vec<String> = options.iter().copied().map(ToOwned::to_owned).collect();
    let built = MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(PathBuf::from(source))
        .options(options)
        .build()?;
    Ok(built)
}

/// Docker's list. `/sys` and the control groups can be written to by privileged containers only.
fn kernel(options: &ContainerOptions) -> Result<Vec<SpecMount>, SpecError> {
    let access = access_word(if options.privileged {
        Access::ReadWrite
    } else {
        Access::ReadOnly
    });
    let shared = options
        .shared_memory
        .map_or(SHARED_MEMORY, crate::resources::MemorySize::bytes);
    let size = format!("size={shared}");
    let entry = |target, kind, words: &[&str]| mount(target, kind, Path::new(kind), words);
    Ok(vec![
        entry("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
        entry(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        )?,
        entry(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        )?,
        entry("/sys", "sysfs", &["nosuid", "noexec", "nodev", access])?,
        entry(
            "/sys/fs/cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", access],
        )?,
        entry("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        entry(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", &size],
        )?,
    ])
}
