//! Units of containers that have a record, at a boot: links to what launcherd wrote, wanted by the boot if the
//! container is to be started.

use std::path::Path;

use container_model::name::Name;
use container_model::run_record::{FOLDER, RECORD_FILE, START_AT_BOOT_FILE, unit_name};

/// What starts them.
const WANTED_BY: &str = "multi-user.target.wants";

/// Links all of them into systemd's folder for generated units.
pub(super) fn link_all(root: &Path, target: &Path) -> anyhow::Result<()> {
    let folder = root.join(FOLDER.trim_start_matches('/'));
    // Where no container was ever made there is no folder.
    let entries = std::fs::read_dir(&folder).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name().into_string().ok();
        let Some(id) = name.and_then(|name| name.parse::<Name>().ok()) else {
            continue;
        };
        let own = entry.path();
        if !own.join(RECORD_FILE).exists() {
            continue;
        }
        let unit = unit_name(&id);
        super::link(&own.join(&unit), &target.join(&unit))?;
        if own.join(START_AT_BOOT_FILE).exists() {
            let wants = target.join(WANTED_BY);
            super::link(Path::new(&format!("../{unit}")), &wants.join(&unit))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_shall_start_is_wanted() {
        let root = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        let folder = root.path().join("var/lib/keelson/containers");
        for (id, files) in [
            (
                "aa",
                &[RECORD_FILE, "launch-aa.service", START_AT_BOOT_FILE][..],
            ),
            ("bb", &[RECORD_FILE, "launch-bb.service"]),
            ("cc", &["launch-cc.service"]),
        ] {
            fs::create_dir_all(folder.join(id)).unwrap();
            for file in files {
                fs::write(folder.join(id).join(file), "[Service]\n").unwrap();
            }
        }
        link_all(root.path(), target.path()).unwrap();
        let is_there = |path: &str| target.path().join(path).exists();
        assert!(is_there("launch-aa.service") && is_there("launch-bb.service"));
        assert!(!is_there("launch-cc.service"));
        assert!(is_there("multi-user.target.wants/launch-aa.service"));
        assert!(!is_there("multi-user.target.wants/launch-bb.service"));
    }
}
