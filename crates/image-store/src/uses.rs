//! When images were used last: an empty file for each, in `/var/lib/keelson/image-uses`, whose time says it.
//!
//! Images are known by digest, so that several names of one share it. What cannot be noted is not: then the image counts as
//! used when it came.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use container_model::digest::Digest;

const FOLDER: &str = "/var/lib/keelson/image-uses";

/// An image is used now.
pub fn note(image: &Digest) {
    let _noted = note_in(Path::new(FOLDER), image);
}

/// When it was used last, if that was noted.
pub fn last(image: &Digest) -> Option<SystemTime> {
    last_in(Path::new(FOLDER), image)
}

/// Forgets images that are not there any more.
pub fn keep_only<'a>(images: impl Iterator<Item = &'a Digest>) {
    let kept: Vec<&str> = images.map(Digest::hex).collect();
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| kept.contains(&name)) {
            // It is tried again the next time.
            let _removed = fs::remove_file(entry.path());
        }
    }
}

fn note_in(folder: &Path, image: &Digest) -> io::Result<()> {
    let path = folder.join(image.hex());
    let file = match File::create(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            File::create(&path)
        }
        other => other,
    };
    file?.set_modified(SystemTime::now())
}

fn last_in(folder: &Path, image: &Digest) -> Option<SystemTime> {
    let found = fs::metadata(folder.join(image.hex()));
    found.and_then(|found| found.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("uses");
        let image = Digest::from_sha256(&[7; 32]);
        assert_eq!(last_in(&folder, &image), None);
        note_in(&folder, &image).unwrap();
        let old = SystemTime::now() - std::time::Duration::from_hours(1);
        let path = folder.join(image.hex());
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert!(
            last_in(&folder, &image)
                .unwrap()
                .elapsed()
                .unwrap()
                .as_secs()
                >= 3600
        );
        note_in(&folder, &image).unwrap();
        assert!(
            last_in(&folder, &image)
                .unwrap()
                .elapsed()
                .unwrap()
                .as_secs()
                < 60
        );
    }
}
