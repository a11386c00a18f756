//! The container's volumes: taken before the bundle is written, with what its image has at their places; and the
//! sources of bound folders.
//!
//! The container's root is mounted before, and nobody else sees it.

use std::collections::HashMap;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use container_model::mount::{MissingSource, MountSource};
use container_model::name::Name;
use container_model::options::ContainerOptions;
use container_model::spec::VolumeKey;
use container_volumes::{Use, Volumes};

use super::user_namespace::UserNamespace;
use super::{image_files, root};

/// The folders of all volumes.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) folders: HashMap<VolumeKey, PathBuf>,
    /// Whoever watches the container has to hold them.
    pub(super) uses: Vec<Use>,
}

/// Where volumes are whose users are the container's. What is mounted there is the launcher's and the monitor's alone.
const MAPPED: &str = "/run/keelson/launch-volumes";

impl Taken {
    /// Has the owners of what is in them be the container's users: they stay so for whoever has the volume next.
    pub(super) fn map(&mut self, users: &UserNamespace) -> anyhow::Result<()> {
        for (number, folder) in self.folders.values_mut().enumerate() {
            let place = Path::new(MAPPED).join(number.to_string());
            users.map(folder, &place)?;
            *folder = place;
        }
        Ok(())
    }
}

/// Takes all volumes, and makes sources of bound folders that may be made.
pub(super) fn take(container: &Name, options: &ContainerOptions) -> anyhow::Result<Taken> {
    let volumes = Volumes::default();
    let mut taken = Taken::default();
    for (number, mount) in options.mounts.iter().enumerate() {
        match &mount.source {
            MountSource::Volume(name) => {
                let (path, used) =
                    with_contents(&mount.target, |contents| Ok(volumes.take(name, contents)?))?;
                taken.folders.insert(VolumeKey::Named(name.clone()), path);
                taken.uses.push(used);
            }
            MountSource::AnonymousVolume => {
                let path = with_contents(&mount.target, |contents| {
                    Ok(volumes.take_nameless(container, number, contents)?)
                })?;
                taken
                    .folders
                    .insert(VolumeKey::Anonymous(mount.target.clone()), path);
            }
            MountSource::Bind { path, missing, .. } => source(Path::new(path), *missing)?,
            MountSource::Tmpfs(_) => {}
        }
    }
    Ok(taken)
}

/// With the folder that the image has at a place, if it has one.
fn with_contents<T>(
    target: &str,
    act: impl FnOnce(Option<&Path>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let folder = image_files::open_folder(Path::new(root::MOUNT_POINT), target)?;
    // The path that the image's links make of it leads nowhere else, even for another program.
    let path = |folder: &std::os::fd::OwnedFd| {
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            folder.as_raw_fd()
        ))
    };
    act(folder.as_ref().map(path).as_deref())
}

/// Removes the nameless volumes of a container.
pub(super) fn remove_nameless(container: &Name) -> anyhow::Result<()> {
    Ok(Volumes::default().remove_nameless(container)?)
}

/// Which containers have nameless volumes.
pub(super) fn with_nameless() -> Vec<Name> {
    Volumes::default().with_nameless()
}

fn source(path: &Path, missing: MissingSource) -> anyhow::Result<()> {
    let context = || path.display().to_string();
    match (path.try_exists().with_context(context)?, missing) {
        (true, _) => Ok(()),
        (false, MissingSource::Create) => std::fs::create_dir_all(path).with_context(context),
        (false, MissingSource::Refuse) => bail!("{} is not there", path.display()),
    }
}
