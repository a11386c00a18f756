//! The disk that state is on: `/init` has made it before anything of a configuration is applied, or says why not.
//!
//! Nothing is made here, and state is never moved: it would be another machine.

use std::fs;
use std::io;
use std::path::Path;

use disk_format::state_disk::{PLACE_FILE, PROBLEM_FILE, Site};

/// Whether state is where a configuration wants it; the reason in words if not.
pub(super) fn judge(wanted: &Site, run: &Path) -> Result<(), String> {
    if let Some(problem) = read(&run.join(PROBLEM_FILE))? {
        return Err(problem);
    }
    let place = read(&run.join(PLACE_FILE))?;
    if place.as_deref() == Some(&wanted.to_string()) {
        return Ok(());
    }
    let place = place.unwrap_or_else(|| "the disk that is booted from".to_owned());
    Err(format!(
        "state is on {place} already, and stays there: only a configuration that /init finds at the first boot, or at the \
         one after `osctl reset --erase` while it is on that disk, can put it on {wanted}, and none from the network"
    ))
}

/// Without its line break.
fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_where_init_says_and_nowhere_else() {
        let run = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = run.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let judge = |name: &str| judge(&name.parse().unwrap(), run.path());
        let error = judge("serial A").unwrap_err();
        assert!(error.contains("on the disk that is booted from"), "{error}");
        put(PLACE_FILE, "serial A\n");
        assert_eq!(judge("serial A"), Ok(()));
        let error = judge("wwid A").unwrap_err();
        assert!(error.contains("state is on serial A already"), "{error}");
        put(PROBLEM_FILE, "no disk has it\n");
        assert_eq!(judge("serial A"), Err("no disk has it".to_owned()));
    }
}
