//! The record of what became of the configuration, written durably below a root.
//!
//! Reading it is for [`machine_facts`].

use std::io;
use std::path::Path;

use machine_facts::provision_record::{DONE, Outcome, PATH, Record, Step};
use machine_facts::system_root::SystemRoot;

use crate::root::{Owner, Root};

/// Problems may quote a configuration, so that only root reads them.
const MODE: u32 = 0o600;

/// Replaces the record; then puts the mark that keeps later boots from looking, if there is nothing left to do. A
/// machine that has it keeps it: what fails on it later is no first boot.
///
/// # Errors
/// If the kernel refuses.
pub fn write(root: &Root, record: &Record) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(record).map_err(io::Error::other)?;
    text.push('\n');
    put(root, PATH, text.as_bytes())?;
    match record.outcome {
        Outcome::Nothing | Outcome::Applied => put(root, DONE, b""),
        Outcome::Deferred { .. } | Outcome::Refused { .. } | Outcome::Failed { .. } => Ok(()),
    }
}

/// A file of root's alone.
pub(crate) fn put(root: &Root, path: &str, bytes: &[u8]) -> io::Result<()> {
    let path = root.real_path(path).map_err(io::Error::other)?;
    root.make_parents(&path)?;
    root.write(&path, bytes, MODE, Owner::default())
}

/// The steps of the record below a folder that is a root; none if there is none that can be read.
pub fn steps(root: &Path) -> Vec<Step> {
    let record = Record::read(&SystemRoot::new(root)).ok().flatten();
    record.map_or_else(Vec::new, |record| record.steps)
}

/// Whether a configuration was dealt with for good.
pub fn is_done(root: &Root) -> bool {
    root.exists(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_comes_once_nothing_is_left_to_do_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let record = |outcome| Record {
            outcome,
            source: None,
            format: None,
            digest: None,
            steps: Vec::new(),
        };
        let failed = Outcome::Failed {
            reason: "x".to_owned(),
        };
        for (outcome, done) in [
            (failed.clone(), false),
            (Outcome::Applied, true),
            (failed, true),
            (Outcome::Nothing, true),
        ] {
            write(&root, &record(outcome)).unwrap();
            assert_eq!(is_done(&root), done);
        }
        assert_eq!(root.look(PATH).unwrap().unwrap().mode, 0o600);
    }
}
