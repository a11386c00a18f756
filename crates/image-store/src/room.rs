//! Room on the disk: how much there is where images are, and whether one fits.
//!
//! What an image needs is told from below, since nobody says how large its layers are unpacked: a pull is refused only if
//! it cannot fit.

use std::path::Path;

use container_model::digest::Digest;
use container_model::housekeeping::Disk;
use container_model::oci_spec::image::ImageManifest;

use crate::error::{Context as _, Error, Result};
use crate::store::Store;

/// Where containerd keeps images.
pub const FOLDER: &str = "/var/lib/containerd";
/// What the rest of the machine is left with.
const RESERVE: u64 = 32 * 1024 * 1024;

/// How full the file system is that images are on.
pub fn disk() -> Result<Disk> {
    // Before containerd ran for the first time there is no folder.
    let existing = Path::new(FOLDER).ancestors().find(|path| path.exists());
    let path = existing.ok_or_else(|| Error::Place(FOLDER.to_owned()))?;
    let found = rustix::fs::statvfs(path).with_context(|| path.display().to_string())?;
    Ok(Disk {
        size: found.f_blocks * found.f_frsize,
        available: found.f_bavail * found.f_frsize,
    })
}

/// Refuses an image that cannot fit, with the sizes. What is there already is not counted.
pub(crate) async fn check(store: &Store, name: &str, manifest: &ImageManifest) -> Result<()> {
    let mut missing = 0;
    for layer in manifest.layers() {
        let digest: Digest = layer.digest().to_string().parse()?;
        if !store.has(&digest).await? {
            missing += layer.size();
        }
    }
    fits(name, missing, disk()?)
}

/// Each byte that is fetched is on the disk twice: as it came, and unpacked, where it is hardly ever less.
fn fits(name: &str, missing: u64, disk: Disk) -> Result<()> {
    let needed = missing.saturating_mul(2);
    if missing == 0 || needed.saturating_add(RESERVE) <= disk.available {
        return Ok(());
    }
    Err(Error::NoRoom(format!(
        "{name} does not fit: {} are to be fetched, which needs {} at least on {FOLDER}, and {} of {} are free, of \
         which {} stay so; `launch prune` removes images that nobody uses",
        mebibytes(missing),
        mebibytes(needed),
        mebibytes(disk.available),
        mebibytes(disk.size),
        mebibytes(RESERVE),
    )))
}

/// Rounded up.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_fit_is_refused() {
        const MIB: u64 = 1024 * 1024;
        let disk = Disk {
            size: 1000 * MIB,
            available: 132 * MIB,
        };
        assert!(fits("a", 50 * MIB, disk).is_ok());
        assert!(
            fits(
                "a",
                0,
                Disk {
                    available: 0,
                    ..disk
                }
            )
            .is_ok()
        );
        let error = fits("a", 50 * MIB + 1, disk).unwrap_err().to_string();
        let sizes = "51 MiB are to be fetched, which needs 101 MiB at least";
        assert!(error.contains(sizes), "{error}");
        assert!(error.contains("132 MiB of 1000 MiB are free"), "{error}");
        assert!(fits("a", u64::MAX, disk).is_err());
    }
}
