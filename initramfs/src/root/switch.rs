//! The end of `/init`: the root becomes `/`, the initramfs is emptied, systemd takes over.
//!
//! It does not choose another init: what runs is what the verified root brings.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::mount::mount_move;

use crate::kernel::mounts::MOUNT_POINTS;
use crate::report::error::{ActionFailed, Context};
use crate::root::verity_root::ROOT;

const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// The kernel passes on every word of its command line that it does not know; systemd reads
/// the command line itself and needs only this.
const KEPT_VARIABLES: [&str; 1] = ["TERM"];

/// Moves the kernel's mounts into the root, enters it, and becomes systemd.
pub(crate) fn switch() -> Result<Infallible, ActionFailed> {
    for path in MOUNT_POINTS {
        let target = format!("{ROOT}{path}");
        mount_move(path, &target).context(|| format!("move {path} to {target}"))?;
    }
    empty_initramfs();
    enter_root().context(|| format!("make {ROOT} the root"))?;
    let error = Command::new(SYSTEMD)
        .arg0("/sbin/init")
        .env_clear()
        .envs(kept_variables(std::env::vars_os()))
        .exec();
    Err(error).context(|| format!("start {SYSTEMD}"))
}

fn kept_variables(all: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
    all.filter(|(name, _)| KEPT_VARIABLES.iter().any(|kept| name == *kept))
        .collect()
}

/// The rootfs itself stays mounted below the new root for ever; its files would cost memory.
fn empty_initramfs() {
    if let Ok(root) = fs::symlink_metadata("/") {
        remove_contents(Path::new("/"), root.dev());
    }
}

/// Stays on one file system; what cannot be removed costs memory and nothing else.
fn remove_contents(folder: &Path, device: u64) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.dev() != device => {}
            Ok(metadata) if metadata.is_dir() => {
                remove_contents(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => drop(fs::remove_file(&path)),
        }
    }
}

/// As `switch_root(8)`: the mount is moved over `/` and entered.
fn enter_root() -> io::Result<()> {
    rustix::process::chdir(ROOT)?;
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_terminal_is_passed_on() {
        let all = [("HOME", "/"), ("TERM", "linux"), ("splash", "1")];
        let kept = kept_variables(all.into_iter().map(|(n, v)| (n.into(), v.into())));
        assert_eq!(kept, BTreeMap::from([("TERM".into(), "linux".into())]));
    }

    #[test]
    fn a_tree_is_emptied_without_following_links() {
        let base = tempfile::tempdir().unwrap();
        let (tree, outside) = (base.path().join("tree"), base.path().join("outside"));
        fs::create_dir_all(tree.join("modules/deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        fs::write(tree.join("modules/deep/x.ko"), "").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        remove_contents(&tree, fs::symlink_metadata(&tree).unwrap().dev());
        assert_eq!(fs::read_dir(&tree).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn another_file_system_is_left_alone() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("kept"), "").unwrap();
        remove_contents(tree.path(), u64::MAX);
        assert!(tree.path().join("kept").exists());
    }
}
