//! One pull of an image at a time on this machine: a second one waits, and then finds all of it there.
//!
//! The lock dies with who holds it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::{Observer, PullEvent};
use crate::error::{Context as _, Result};

const FOLDER: &str = "/run/keelson/pull-locks";
const POLL: Duration = Duration::from_millis(200);

/// Waits for the lock of an image. Its file stays: a file that is removed would be locked twice.
pub(super) async fn take(name: &str, observer: &Observer) -> Result<File> {
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(FOLDER);
    folder.context(FOLDER)?;
    let path = Path::new(FOLDER).join(super::label_value(name));
    let context = || path.display().to_string();
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(context)?;
    let mut is_told = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error).with_context(context),
        }
        if !is_told {
            is_told = true;
            let text = format!("another process pulls {name}: waiting for it");
            observer(PullEvent::Notice(text));
        }
        tokio::time::sleep(POLL).await;
    }
}
