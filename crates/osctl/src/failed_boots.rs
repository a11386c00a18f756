//! How often this version failed to become healthy: the record in the `meta` partition.
//!
//! `/init` counts every boot as failed; a healthy one is uncounted here. It does not demote.
use crate::boot_record;
use machine_facts::boot_facts::BootFacts;
use machine_facts::error::Fact;
use machine_facts::system_root::SystemRoot;

/// Failed boots of the running version in a row, this boot included until it is healthy.
pub(crate) fn read(root: &SystemRoot, boot: &BootFacts) -> Fact<u32> {
    Ok(boot_record::read(root, boot)?.failed_boots(&boot.root_hash))
}

/// Forgets the failed boots of the running version; writes nothing if there are none.
pub(crate) fn clear(root: &SystemRoot, boot: &BootFacts) -> Fact<()> {
    boot_record::change(root, boot, |record| {
        record.clear_failed_boots(&boot.root_hash);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_machine::facts;
    use disk_format::meta::BootRecord;
    use disk_format::verity::RootHash;
    use std::fs::{self, File};

    const OTHER: RootHash = RootHash([7; 32]);

    fn machine(contents: &[u8]) -> (tempfile::TempDir, SystemRoot) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dev")).unwrap();
        fs::write(folder.path().join("dev/vda6"), contents).unwrap();
        let root = SystemRoot::new(folder.path());
        (folder, root)
    }

    fn count_failures(root: &SystemRoot, hashes: &[RootHash]) {
        let path = root.path("/dev/vda6");
        let mut device = File::options().read(true).write(true).open(path).unwrap();
        let mut record = BootRecord::default();
        for hash in hashes {
            record.count_failed_boot(hash);
        }
        record.write(&mut device).unwrap();
    }

    #[test]
    fn only_the_running_version_is_cleared() {
        let (_folder, root) = machine(&vec![0; 1 << 20]);
        let facts = facts();
        count_failures(&root, &[facts.root_hash, OTHER, facts.root_hash]);
        assert_eq!(read(&root, &facts).unwrap(), 2);
        clear(&root, &facts).unwrap();
        assert_eq!(read(&root, &facts).unwrap(), 0);
        let mut device = File::open(root.path("/dev/vda6")).unwrap();
        let (record, _) = BootRecord::read(&mut device).unwrap();
        assert_eq!(record.failed_boots(&OTHER), 1);
    }

    #[test]
    fn a_clean_record_is_not_written_again() {
        let (_folder, root) = machine(&vec![0; 1 << 20]);
        clear(&root, &facts()).unwrap();
        let contents = fs::read(root.path("/dev/vda6")).unwrap();
        assert!(contents.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn damage_and_absence_are_errors() {
        let (_folder, root) = machine(&[0xff; 4096]);
        let reason = read(&root, &facts()).unwrap_err().reason();
        assert!(
            reason.starts_with("the meta partition /dev/vda6: both copies"),
            "{reason}"
        );
        let without = BootFacts {
            meta: None,
            ..facts()
        };
        let reason = clear(&root, &without).unwrap_err().reason();
        assert_eq!(reason, "/dev/vda has no partition named \"meta\"");
    }
}
