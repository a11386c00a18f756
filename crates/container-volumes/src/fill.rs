//! A volume's first contents: what the image has at its place.
//!
//! Two marks beside the volume say how far that is. `new`: nobody used it yet. `filling`: it is being filled, or that was
//! cut off, and it is to be done again. They are on the disk before what they speak of, and go after it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

/// Keeps owners, modes, times, links and extended attributes, and holes.
const COPY: &str = "/usr/bin/cp";

/// The marks of one volume.
pub(crate) struct Marks {
    folder: PathBuf,
    name: String,
}

impl Marks {
    pub(crate) fn of(folder: &Path, name: &str) -> Self {
        Self {
            folder: folder.to_path_buf(),
            name: name.to_owned(),
        }
    }

    fn new_mark(&self) -> PathBuf {
        self.folder.join(format!(".{}.new", self.name))
    }

    fn filling_mark(&self) -> PathBuf {
        self.folder.join(format!(".{}.filling", self.name))
    }

    /// Before the volume is made.
    pub(crate) fn set_new(&self) -> Result<(), Error> {
        let path = self.new_mark();
        File::create(&path).map_err(Error::io(&path))?;
        sync(&self.folder)
    }

    /// Once nothing of it is to be done any more, or the volume is gone.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        remove(&self.new_mark())?;
        remove(&self.filling_mark())
    }

    /// Copies what an image has, if that is to be done, and was not.
    pub(crate) fn fill(&self, volume: &Path, contents: Option<&Path>) -> Result<(), Error> {
        let (new, filling) = (self.new_mark(), self.filling_mark());
        if !filling.exists() {
            if !new.exists() {
                return Ok(());
            }
            // Somebody put something into it, by hand.
            if !is_empty(volume)? {
                return remove(&new);
            }
            fs::rename(&new, &filling).map_err(Error::io(&filling))?;
            sync(&self.folder)?;
        }
        if let Some(contents) = contents {
            copy(contents, volume)?;
        }
        sync(volume)?;
        remove(&filling)
    }
}

/// Copies all of a folder into another, over what a copy that was cut off left there.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let output = Command::new(COPY)
        .args([
            "--archive",
            "--remove-destination",
            "--no-target-directory",
            "--",
        ])
        // Whatever the link of a descriptor leads to.
        .arg(from.join("."))
        .arg(to)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io(COPY))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Copy {
        path: to.to_path_buf(),
        reason: String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', "; "),
    })
}

fn is_empty(folder: &Path) -> Result<bool, Error> {
    let mut entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    Ok(entries.next().is_none())
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

/// All that was written to the folder's file system.
pub(crate) fn sync(folder: &Path) -> Result<(), Error> {
    let file = File::open(folder).map_err(Error::io(folder))?;
    rustix::fs::syncfs(&file).map_err(|error| Error::io(folder)(error.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Folders {
        _root: tempfile::TempDir,
        all: PathBuf,
        volume: PathBuf,
        image: PathBuf,
    }

    fn folders() -> Folders {
        let root = tempfile::tempdir().unwrap();
        let [all, image] = ["volumes", "image"].map(|name| root.path().join(name));
        let volume = all.join("data");
        for folder in [&volume, &image.join("sub")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(image.join("sub/file"), "contents").unwrap();
        std::os::unix::fs::symlink("nowhere", image.join("link")).unwrap();
        fs::set_permissions(&image, fs::Permissions::from_mode(0o751)).unwrap();
        Folders {
            _root: root,
            all,
            volume,
            image,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_volume_is_filled_once() {
        let folders = folders();
        let marks = Marks::of(&folders.all, "data");
        marks.set_new().unwrap();
        marks.fill(&folders.volume, Some(&folders.image)).unwrap();
        assert_eq!(names(&folders.volume), ["link", "sub"]);
        assert_eq!(names(&folders.all), ["data"], "no mark stays");
        let mode = fs::metadata(&folders.volume).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o751);
        fs::remove_dir_all(folders.volume.join("sub")).unwrap();
        marks.fill(&folders.volume, Some(&folders.image)).unwrap();
        assert_eq!(
            names(&folders.volume),
            ["link"],
            "what was removed stays so"
        );
    }

    #[test]
    fn what_was_cut_off_is_done_again() {
        let folders = folders();
        let marks = Marks::of(&folders.all, "data");
        fs::write(folders.all.join(".data.filling"), "").unwrap();
        fs::create_dir(folders.volume.join("sub")).unwrap();
        fs::write(folders.volume.join("sub/file"), "cont").unwrap();
        // A link is replaced, and not followed.
        std::os::unix::fs::symlink("/etc/passwd", folders.volume.join("link")).unwrap();
        marks.fill(&folders.volume, Some(&folders.image)).unwrap();
        assert_eq!(
            fs::read_to_string(folders.volume.join("sub/file")).unwrap(),
            "contents"
        );
        let leads_to = fs::read_link(folders.volume.join("link")).unwrap();
        assert_eq!(leads_to, Path::new("nowhere"));
        assert_eq!(names(&folders.all), ["data"]);
    }

    #[test]
    fn what_somebody_put_there_is_left_alone() {
        let folders = folders();
        let marks = Marks::of(&folders.all, "data");
        marks.set_new().unwrap();
        fs::write(folders.volume.join("own"), "").unwrap();
        marks.fill(&folders.volume, Some(&folders.image)).unwrap();
        assert_eq!(names(&folders.volume), ["own"]);
        assert_eq!(names(&folders.all), ["data"]);
    }

    #[test]
    fn a_copy_that_fails_leaves_the_mark() {
        let folders = folders();
        let marks = Marks::of(&folders.all, "data");
        marks.set_new().unwrap();
        let nowhere = folders.image.join("nowhere");
        let error = marks.fill(&folders.volume, Some(&nowhere)).unwrap_err();
        assert!(matches!(error, Error::Copy { .. }), "{error}");
        assert_eq!(names(&folders.all), [".data.filling", "data"]);
    }
}
