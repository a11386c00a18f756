//! `update`: limits and the restart policy, of what runs and for each start after it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use engine_api::update::{Update, limit_files};
use engine_api::{ApiError, Record};

use super::reread;
use crate::answer::internal;
use crate::engine::Engine;
use crate::processes;
use crate::records::unit_name;

/// The control group of a container's processes, in its unit's.
const PAYLOAD: &str = "payload";

pub(crate) async fn update(engine: &Engine, record: Record, body: &[u8]) -> Result<(), ApiError> {
    let _one_at_a_time = engine.lock(&record.id).await;
    let update = Update::parse(&record, body)?;
    let record = update.record;
    let state = engine.state(&record).await?;
    if let Some(limits) = update.limits.as_ref().filter(|_| state.is_running()) {
        let group = own_group(&record, &processes::group(&record)?);
        for (file, text) in limit_files(limits) {
            write(&group.join(file), &text)?;
        }
    }
    engine.records.change(record.clone())?;
    if update.names_policy {
        let starts = state.is_alive() && record.restart.starts_at_boot();
        let boots = engine.records.start_at_boot(&record.id, starts);
        boots.map_err(|error| internal(&error))?;
    }
    engine.tell("update", &record);
    reread(engine).await
}

/// What the limits hold for: its processes may have made groups of their own below.
fn own_group(record: &Record, group: &Path) -> PathBuf {
    let unit = unit_name(&record.id);
    let found = group.ancestors().find(|path| {
        path.ends_with(PAYLOAD) && path.parent().is_some_and(|parent| parent.ends_with(&unit))
    });
    found.unwrap_or(group).to_path_buf()
}

fn write(path: &Path, text: &str) -> Result<(), ApiError> {
    // It is not to be made: where there is none the kernel says something else.
    let file = File::options().write(true).open(path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = "the machine does not limit that: its controller is off";
            Err(ApiError::conflict(format!("{}: {reason}", path.display())))
        }
        Err(error) => Err(ApiError::internal(format!("{}: {error}", path.display()))),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_off_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.max");
        let error = write(&path, "1").unwrap_err();
        assert!(
            error
                .message
                .contains("memory.max: the machine does not limit that")
        );
        File::create(&path).unwrap();
        write(&path, "1").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "1");
    }
}
