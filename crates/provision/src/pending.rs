//! What `/init` leaves to the network stage, in `/run`: the wish for it, and a configuration that was found and waits, or
//! that the stage is where the boot stops.
//!
//! The wish is a link that makes the stage's target the one that this boot is for. Both are gone with the boot.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;

use anyhow::Context as _;
use provision::{Found, waiting};

/// Below `/run`: what systemd starts, unless `/etc` says otherwise, which it does not before the first boot.
const DEFAULT_TARGET: &str = "systemd/system/default.target";
/// Where that leads.
const TARGET: &str = "/usr/lib/systemd/system/keelson-first-boot.target";
/// Below `/run`: is there until the boot that the machine is for has been started.
const REQUESTED: &str = "keelson/first-boot/requested";
/// Below `/run`.
const CONFIGURATION: &str = "keelson/first-boot/configuration.json";

/// Below `/run`: nothing that the network could bring lets this boot go on.
const STOPPED: &str = "keelson/first-boot/stopped";

/// Asks for the network stage, with the configuration if there is one already.
pub(crate) fn request(run: &Path, found: Option<&Found>) -> anyhow::Result<()> {
    mark(run, REQUESTED)?;
    if let Some(found) = found {
        let path = run.join(CONFIGURATION);
        put(&path, &waiting::to_bytes(found))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let link = run.join(DEFAULT_TARGET);
    make_link(&link).with_context(|| format!("cannot make {}", link.display()))
}

/// Asks for the stage as the place where this boot stops.
pub(crate) fn stop(run: &Path) -> anyhow::Result<()> {
    mark(run, STOPPED)?;
    request(run, None)
}

/// Whether this boot stops there.
pub(crate) fn is_stopped(run: &Path) -> bool {
    run.join(STOPPED).exists()
}

fn mark(run: &Path, name: &str) -> anyhow::Result<()> {
    let path = run.join(name);
    put(&path, b"").with_context(|| format!("cannot write {}", path.display()))
}

/// It may hold secrets, so that it is root's alone from the first byte.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_folder(path.parent().unwrap_or(path))?;
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600);
    file.open(path)?.write_all(bytes)
}

/// Only the last is root's alone: others look for files of theirs in those above.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn make_link(link: &Path) -> io::Result<()> {
    fs::create_dir_all(link.parent().unwrap_or(link))?;
    remove(link)?;
    symlink(TARGET, link)
}

/// The configuration that waits, if one does.
pub(crate) fn configuration(run: &Path) -> anyhow::Result<Option<Found>> {
    let path = run.join(CONFIGURATION);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let found = waiting::from_bytes(&text);
    found
        .map(Some)
        .with_context(|| format!("{}, which /init wrote", path.display()))
}

/// Whether the stage was asked for, and the boot behind it was not started yet.
pub(crate) fn is_requested(run: &Path) -> bool {
    run.join(REQUESTED).exists()
}

/// From now on the boot is for what it would be for without the stage.
pub(crate) fn give_target_back(run: &Path) -> anyhow::Result<()> {
    let link = run.join(DEFAULT_TARGET);
    remove(&link).with_context(|| format!("cannot remove {}", link.display()))
}

/// Nothing is left to the stage.
pub(crate) fn clear(run: &Path) -> anyhow::Result<()> {
    for path in [CONFIGURATION, REQUESTED].map(|path| run.join(path)) {
        remove(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use provision::Afterwards;

    use super::*;

    #[test]
    fn what_waits_is_roots_alone_and_gone_once_it_is_done() {
        let run = tempfile::tempdir().unwrap();
        let run = run.path();
        assert!(!is_requested(run) && configuration(run).unwrap().is_none());
        let found = Found {
            bytes: b"\xffhello".to_vec(),
            source: "the ESP".to_owned(),
            name: "config.toml".to_owned(),
            afterwards: Afterwards::ErasedFromEsp,
        };
        request(run, Some(&found)).unwrap();
        request(run, Some(&found)).unwrap();
        assert!(is_requested(run));
        assert_eq!(configuration(run).unwrap(), Some(found));
        let mode = |path: &str| fs::metadata(run.join(path)).unwrap().permissions().mode();
        assert_eq!(mode(CONFIGURATION) & 0o777, 0o600);
        assert_eq!(mode("keelson/first-boot") & 0o777, 0o700);
        assert_ne!(mode("keelson") & 0o777, 0o700);
        give_target_back(run).unwrap();
        assert!(is_requested(run) && !run.join(DEFAULT_TARGET).is_symlink());
        clear(run).unwrap();
        assert!(!is_requested(run) && configuration(run).unwrap().is_none());
    }
}
