//! The record of a run, on disk: it is there when unit, folder and monitor are gone.
//!
//! It replaces the record of the run before, in one step.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use monitor_protocol::ExitRecord;
use monitor_protocol::exit::Outcome;

use crate::arguments::Arguments;
use crate::clock;

/// Of a run that begins now.
pub(crate) fn new(arguments: &Arguments) -> ExitRecord {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    ExitRecord {
        name: arguments.name.clone(),
        image: arguments.image.clone(),
        unit: arguments.unit.clone(),
        invocation: std::env::var("INVOCATION_ID").ok(),
        boot: boot.trim().to_owned(),
        created_at: clock::now(),
        started_at: None,
        outcome: Outcome::Running,
    }
}

/// Writes it, if it is wanted. The payload does not depend on it, so a full disk is told and no more.
pub(crate) fn write(arguments: &Arguments, record: &ExitRecord) {
    let Some(path) = &arguments.record else {
        return;
    };
    if let Err(error) = replace(path, &record.encode()) {
        eprintln!(
            "launch: {}: the record {} was not written: {error}",
            arguments.name,
            path.display()
        );
    }
}

/// After a power cut there is the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // No container's name begins with a dot.
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let temporary = folder.join(name);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.json");
        for text in ["a longer one", "short"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("no/web.json"), b"a").is_err());
    }
}
