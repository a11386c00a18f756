//! Who needs an image: containers that run, records of containers, units, Quadlet files, and units of the fleet.
//!
//! Commands are not parsed: an image is needed if its name stands anywhere in such a file. That keeps one too many at
//! worst.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use container_model::ImageReference;
use container_model::housekeeping::words;
use container_model::run_record;
use image_store::store::Image;

use crate::quadlet_files;
use crate::running::statuses;

/// Where units are whose command may be `launch run`, systemd's order aside.
const UNITS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/transient",
    "/run/systemd/generator",
    "/run/fleet/units",
    "/var/lib/fleet/targets",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];
/// Files that are no units.
const SIZE_MAX: u64 = 1024 * 1024;
/// Folders in folders, such as drop-ins.
const DEPTH_MAX: usize = 2;

/// Names of images, and who needs them.
#[derive(Debug, Default)]
pub(super) struct Needs(BTreeMap<String, String>);

impl Needs {
    /// Asks monitors and reads files. What cannot be read needs nothing.
    pub(super) fn look() -> Self {
        let mut needs = Self::default();
        for status in statuses() {
            needs.add(
                &status.image,
                &format!("the container {} has it", status.name),
            );
        }
        for folder in UNITS {
            needs.read(Path::new(folder), 0, &|text| text.contains("launch"));
        }
        for folder in quadlet_files::FOLDERS {
            needs.read(Path::new(folder), 0, &|_| true);
        }
        needs.read(Path::new(run_record::FOLDER), 0, &|_| true);
        needs
    }

    fn add(&mut self, word: &str, by: &str) {
        if let Ok(reference) = word.parse::<ImageReference>() {
            let name = reference.to_string();
            self.0.entry(name).or_insert_with(|| by.to_owned());
        }
    }

    fn read(&mut self, folder: &Path, depth: usize, is_meant: &dyn Fn(&str) -> bool) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let Ok(about) = fs::metadata(&path) else {
                continue;
            };
            if about.is_dir() && depth < DEPTH_MAX {
                self.read(&path, depth + 1, is_meant);
            } else if about.is_file() && about.len() <= SIZE_MAX {
                self.read_file(&path, is_meant);
            }
        }
    }

    fn read_file(&mut self, path: &PathBuf, is_meant: &dyn Fn(&str) -> bool) {
        let text = fs::read_to_string(path).unwrap_or_default();
        if is_meant(&text) {
            let by = format!("{} names it", path.display());
            words(&text).for_each(|word| self.add(word, &by));
        }
    }

    /// Who needs an image, if anybody does: by its name, or by its digest in its repository.
    pub(super) fn of(&self, image: &Image) -> Option<String> {
        let repository = image.name.parse::<ImageReference>().ok()?;
        let repository = format!("{}/{}", repository.registry(), repository.repository());
        let pinned = format!("{repository}@{}", image.digest);
        let found = self.0.get(&image.name).or_else(|| self.0.get(&pinned));
        let with_tag = || {
            // A tag and a digest: the digest counts.
            let ending = format!("@{}", image.digest);
            let mut all = self.0.iter();
            all.find(|(name, _)| name.starts_with(&repository) && name.ends_with(&ending))
                .map(|(_, by)| by)
        };
        found.or_else(with_tag).cloned()
    }
}

#[cfg(test)]
mod tests {
    use container_model::digest::Digest;

    use super::*;

    fn image(name: &str) -> Image {
        Image {
            name: name.to_owned(),
            digest: Digest::from_sha256(&[1; 32]),
            media_type: String::new(),
            size: 0,
        }
    }

    #[test]
    fn images_are_needed_by_name_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::from_sha256(&[1; 32]);
        fs::create_dir(folder.path().join("b.service.d")).unwrap();
        let files = [
            ("a.service", "ExecStart=launch run busybox:1 sh".to_owned()),
            (
                "b.service.d/10.conf",
                format!("ExecStart=launch run q.io/b@{digest}\n"),
            ),
            (
                "c.service",
                format!("ExecStart=launch run q.io/c:tag@{digest}\n"),
            ),
            ("d.service", "ExecStart=podman run other:1".to_owned()),
        ];
        for (name, text) in &files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut needs = Needs::default();
        needs.read(folder.path(), 0, &|text| text.contains("launch"));
        let by = |name: &str| needs.of(&image(name));
        assert!(
            by("docker.io/library/busybox:1")
                .unwrap()
                .ends_with("a.service names it")
        );
        assert!(by("q.io/b:latest").unwrap().contains("10.conf"));
        assert!(by("q.io/c:other").unwrap().contains("c.service"));
        for unneeded in [
            "docker.io/library/busybox:2",
            "docker.io/library/other:1",
            "q.io/bb:1",
        ] {
            assert_eq!(by(unneeded), None, "{unneeded}");
        }
    }
}
