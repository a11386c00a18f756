//! `/etc`: the root's own below, what was changed on this machine above, one upper layer for
//! each root hash, so that a rollback brings back the old configuration with the old system.
//!
//! In state: `etc/ROOTHASH/upper` and `work` for overlayfs, `etc/ROOTHASH/last-used` whose time
//! is that of the last boot, and `etc/current`, the root hash whose layer is in use. A version's
//! first boot copies the layer of the version before it. Merging files is not attempted.
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use disk_format::verity::RootHash;
use rustix::mount::{MountFlags, mount};

use crate::report::console;
use crate::report::error::{ActionFailed, Context, chain};
use crate::root::verity_root::ROOT;
use crate::state::durable;
use crate::state::machine_id;
use crate::state::partition::STATE;
use crate::state::tree_copy::{self, CopyError};

/// How many layers are kept: two installed versions and some to go back to by hand.
const KEPT: usize = 4;
/// In the folder of a version: what was changed.
pub(crate) const UPPER: &str = "upper";
/// In the folder of a version: what overlayfs needs.
pub(crate) const WORK: &str = "work";
/// In the folder of a version: its time is that of the last boot.
pub(crate) const LAST_USED: &str = "last-used";
/// Beside the versions' folders: which one is in use.
pub(crate) const CURRENT: &str = "current";
const TEMPORARY_PREFIX: &str = ".new-";
/// Caches that a new version brings anew: an old copy above would mask it. Accounts are inherited; at the first
/// boot of a version systemd-sysusers adds to them the users that only the new version has.
const NOT_INHERITED: [&str; 2] = [".updated", "ld.so.cache"];

/// Why `/etc` could not be assembled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EtcError {
    /// A system call failed.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// The previous version's layer could not be copied.
    #[error("cannot take over the configuration of the version before")]
    Copy(#[from] CopyError),
}

/// The layers in `etc` of the state file system.
#[derive(Debug)]
struct Layers {
    folder: PathBuf,
}

/// Assembles `/etc` of the root for this version.
pub(crate) fn assemble(root_hash: &RootHash) -> Result<(), EtcError> {
    let state = Path::new(STATE);
    let layers = Layers {
        folder: state.join("etc"),
    };
    let previous = layers.current();
    layers.remove_temporaries()?;
    layers.ensure(root_hash, previous.as_ref())?;
    let id = machine_id::ensure(state)?;
    machine_id::install(&id, &layers.upper(root_hash))?;
    mount_overlay(&layers.upper(root_hash), &layers.of(root_hash).join(WORK))?;
    layers.mark_current(root_hash)?;
    let protected = [Some(*root_hash), previous];
    if let Err(error) = layers.prune(&protected.into_iter().flatten().collect::<Vec<_>>()) {
        console::warning(&chain(&error)); // only space is lost
    }
    Ok(())
}

fn mount_overlay(upper: &Path, work: &Path) -> Result<(), ActionFailed> {
    let etc = format!("{ROOT}/etc");
    // The features that record things about the lower layer are off: it changes with updates.
    let options = format!(
        "lowerdir={etc},upperdir={},workdir={},index=off,metacopy=off,redirect_dir=off,xino=off",
        upper.display(),
        work.display()
    );
    let data = CString::new(options)
        .map_err(io::Error::from)
        .context(|| format!("mount {etc}"))?;
    mount(
        "overlay",
        &etc,
        "overlay",
        MountFlags::empty(),
        data.as_c_str(),
    )
    .context(|| format!("mount the overlay {etc} ({})", data.to_string_lossy()))
}

impl Layers {
    fn of(&self, root_hash: &RootHash) -> PathBuf {
        self.folder.join(root_hash.to_string())
    }

    fn upper(&self, root_hash: &RootHash) -> PathBuf {
        self.of(root_hash).join(UPPER)
    }

    /// The version that was booted last and still has its layer.
    fn current(&self) -> Option<RootHash> {
        let text = fs::read_to_string(self.folder.join(CURRENT)).ok()?;
        let root_hash: RootHash = text.trim().parse().ok()?;
        self.upper(&root_hash).is_dir().then_some(root_hash)
    }

    fn mark_current(&self, root_hash: &RootHash) -> Result<(), ActionFailed> {
        let stamp = self.of(root_hash).join(LAST_USED);
        File::create(&stamp)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .context(|| format!("write {}", stamp.display()))?;
        let path = self.folder.join(CURRENT);
        let text = format!("{root_hash}\n");
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(()); // the usual case needs no sync
        }
        durable::write_file(&path, text.as_bytes(), 0o644)
            .context(|| format!("write {}", path.display()))
    }

    /// What a power cut has left of a layer being made.
    fn remove_temporaries(&self) -> Result<(), ActionFailed> {
        for (path, name) in self.children()? {
            if name.starts_with(TEMPORARY_PREFIX) {
                fs::remove_dir_all(&path).context(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Makes the layer if there is none: a copy of the previous version's, or empty.
    fn ensure(&self, root_hash: &RootHash, previous: Option<&RootHash>) -> Result<(), EtcError> {
        let place = self.of(root_hash);
        if place.exists() {
            return Ok(());
        }
        let temporary = self.folder.join(format!("{TEMPORARY_PREFIX}{root_hash}"));
        let making = || format!("create {}", temporary.display());
        fs::create_dir(&temporary).context(making)?;
        let upper = temporary.join(UPPER);
        match previous {
            Some(previous) => tree_copy::copy(&self.upper(previous), &upper, &NOT_INHERITED)?,
            None => fs::create_dir(&upper).context(making)?,
        }
        fs::create_dir(temporary.join(WORK)).context(making)?;
        self.publish(&temporary, &place)
            .context(|| format!("create {}", place.display()))?;
        Ok(())
    }

    /// All of it is durable before it has its name.
    fn publish(&self, temporary: &Path, place: &Path) -> io::Result<()> {
        rustix::fs::syncfs(File::open(&self.folder)?)?;
        fs::rename(temporary, place)?;
        durable::sync_folder_of(place)
    }

    fn prune(&self, protected: &[RootHash]) -> Result<(), ActionFailed> {
        let mut layers = Vec::new();
        for (path, name) in self.children()? {
            if let Ok(root_hash) = name.parse::<RootHash>() {
                let stamp = fs::metadata(path.join(LAST_USED)).and_then(|m| m.modified());
                layers.push((root_hash, stamp.unwrap_or(SystemTime::UNIX_EPOCH)));
            }
        }
        for root_hash in superfluous(layers, protected) {
            self.remove(&root_hash)?;
        }
        Ok(())
    }

    /// Renamed first, so that a power cut leaves no half layer under a valid name.
    fn remove(&self, root_hash: &RootHash) -> Result<(), ActionFailed> {
        let place = self.of(root_hash);
        let condemned = self.folder.join(format!("{TEMPORARY_PREFIX}{root_hash}"));
        fs::rename(&place, &condemned)
            .and_then(|()| fs::remove_dir_all(&condemned))
            .context(|| format!("remove {}", place.display()))
    }

    fn children(&self) -> Result<Vec<(PathBuf, String)>, ActionFailed> {
        let listing = || format!("list {}", self.folder.display());
        let mut children = Vec::new();
        for entry in fs::read_dir(&self.folder).context(listing)? {
            let entry = entry.context(listing)?;
            children.push((
                entry.path(),
                entry.file_name().to_string_lossy().into_owned(),
            ));
        }
        Ok(children)
    }
}

/// The layers beyond [`KEPT`], those used longest ago, never a protected one.
fn superfluous(mut layers: Vec<(RootHash, SystemTime)>, protected: &[RootHash]) -> Vec<RootHash> {
    let excess = layers.len().saturating_sub(KEPT);
    layers.retain(|(root_hash, _)| !protected.contains(root_hash));
    layers.sort_by_key(|(root_hash, used)| (*used, *root_hash));
    layers
        .into_iter()
        .take(excess)
        .map(|(root_hash, _)| root_hash)
        .collect()
}

#[cfg(test)]
mod tests;
