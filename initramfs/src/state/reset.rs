//! The reset of state that was ordered for this boot: what is not kept goes, before anything uses it.
//!
//! It goes in two parts. First everything is moved into one folder of the state file system, which takes a
//! moment however much there is; a power cut in between leaves the order, and the next boot moves the rest.
//! Once all is durably there, the order is forgotten. Then the folder is removed, at this boot or, if the
//! power fails or something cannot be removed, at a later one: by its name alone, so that what was written
//! after the reset is safe. Freed blocks are not overwritten. It does not touch slots, boot entries or the
//! partition table.
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use disk_format::meta::{Kept, RESET_REMAINS, ResetOrder};
use rustix::fs::lremovexattr;

use crate::boot_loader::record;
use crate::disk::choice::BootDisk;
use crate::report::console;
use crate::report::error::{ActionFailed, Context, chain};
use crate::state::reset::plan::{Step, plan};

mod plan;
mod removal;

/// What this boot is to do to state. A record that cannot be read orders nothing.
pub(crate) fn ordered(disk: &BootDisk) -> Option<ResetOrder> {
    match record::read(disk) {
        Ok(record) => record.reset().cloned(),
        Err(error) => {
            console::warning(&format!("no reset is done: {}", chain(&error)));
            None
        }
    }
}

/// Moves everything out of the way that is not kept. On return it is durable; until then it can be repeated.
pub(crate) fn clear(state: &Path, kept: &Kept) -> Result<(), ActionFailed> {
    let mut remains = Remains::open(state)?;
    for step in plan(state, kept)? {
        remains.carry_out(&step)?;
    }
    File::open(state)
        .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
        .context(|| format!("sync {}", state.display()))
}

/// Removes what a reset has moved out of the way. If it cannot, only space is lost.
pub(crate) fn remove_remains(state: &Path) {
    let remains = state.join(RESET_REMAINS);
    let removed = match fs::symlink_metadata(&remains) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => Err(error),
        Ok(_) => removal::remove(&remains),
    };
    match removed.context(|| format!("remove {}", remains.display())) {
        Ok(()) => console::info("what the reset took away is removed"),
        Err(error) => console::warning(&chain(&error)),
    }
}

/// The folder that things are moved into, under numbers.
struct Remains {
    folder: PathBuf,
    next: u64,
}

impl Remains {
    /// What an interrupted reset has moved stays.
    fn open(state: &Path) -> Result<Self, ActionFailed> {
        let folder = state.join(RESET_REMAINS);
        match DirBuilder::new().mode(0o700).create(&folder) {
            // On a file system without a free block everything is removed in its place.
            Err(error) if !is_there_or_full(&error) => {
                Err(error).context(|| format!("create {}", folder.display()))
            }
            _ => Ok(Self { folder, next: 0 }),
        }
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), ActionFailed> {
        match step {
            Step::Open(folder) => make_ordinary(folder),
            Step::Away(path) => self
                .take(path)
                .context(|| format!("remove {}", path.display()))?,
        }
        Ok(())
    }

    fn take(&mut self, path: &Path) -> io::Result<()> {
        removal::unmark(path);
        match fs::rename(path, self.free_place()) {
            Ok(()) => Ok(()),
            Err(_) => removal::remove(path),
        }
    }

    fn free_place(&mut self) -> PathBuf {
        loop {
            let place = self.folder.join(self.next.to_string());
            self.next += 1;
            if fs::symlink_metadata(&place).is_err() {
                return place;
            }
        }
    }
}

fn is_there_or_full(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, QuotaExceeded, StorageFull};
    matches!(error.kind(), AlreadyExists | StorageFull | QuotaExceeded)
}

/// A folder that stays around what is kept loses its marks: not to be changed, and in a layer of `/etc`, to
/// hide what the image has there.
fn make_ordinary(folder: &Path) {
    removal::unmark(folder);
    // Nearly always there is none.
    let _ = lremovexattr(folder, "trusted.overlay.opaque");
}

#[cfg(test)]
mod tests;
