//! All that is done with volumes: made, used, listed, removed.
//!
//! A named volume is a folder by its name; beside it are its marks and its labels, in names that begin with a dot, as
//! no volume's does. Nameless ones are in a folder for each container.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use container_model::name::Name;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fill::{self, Marks};
use crate::lock::{self, Use};

/// Folders of nameless volumes are in it, by the container's name.
const NAMELESS: &str = ".nameless";

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The volumes.
    pub volumes: PathBuf,
    /// Their locks, until the machine restarts.
    pub run: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        Self {
            volumes: "/var/lib/keelson/volumes".into(),
            run: "/run/keelson/volumes".into(),
        }
    }
}

/// The volumes of a machine.
#[derive(Debug, Clone, Default)]
pub struct Volumes {
    folders: Folders,
}

/// A volume that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name.
    pub name: Name,
    /// Whatever somebody wants to know again.
    pub labels: BTreeMap<String, String>,
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Its name.
    pub name: Name,
    /// Where it is.
    pub path: PathBuf,
    /// Whatever somebody wants to know again.
    pub labels: BTreeMap<String, String>,
    /// Whether a container that runs has it.
    pub used: bool,
}

/// The file of a volume's labels.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Volumes {
    /// Those of other folders than the machine's.
    pub fn in_folders(folders: Folders) -> Self {
        Self { folders }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folders.volumes.join(name.as_str())
    }

    fn record_path(&self, name: &Name) -> PathBuf {
        self.folders.volumes.join(format!(".{name}.toml"))
    }

    fn marks(&self, name: &Name) -> Marks {
        Marks::of(&self.folders.volumes, name.as_str())
    }

    /// All named volumes, by name.
    pub fn list(&self) -> Result<Vec<Volume>, Error> {
        let folder = &self.folders.volumes;
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(folder)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io(folder))?.file_name();
            let name = name.to_str().and_then(|name| name.parse::<Name>().ok());
            if let Some(name) = name {
                found.push(self.find(&name)?);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// One of them.
    pub fn find(&self, name: &Name) -> Result<Volume, Error> {
        let path = self.path(name);
        if !path.is_dir() {
            return Err(Error::Unknown(name.clone()));
        }
        Ok(Volume {
            name: name.clone(),
            path,
            labels: self.record(name)?.labels,
            used: lock::is_used(&self.folders.run, name)?,
        })
    }

    fn record(&self, name: &Name) -> Result<Record, Error> {
        let path = self.record_path(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        toml::from_str(&text).map_err(|error| Error::Record {
            path,
            reason: error.to_string(),
        })
    }

    /// Makes a volume, empty, to be filled by the first container that uses it.
    pub fn create(&self, new: &NewVolume) -> Result<Volume, Error> {
        let _lock = lock::change(&self.folders.run, &new.name)?;
        if self.path(&new.name).exists() {
            return Err(Error::Exists(new.name.clone()));
        }
        self.make(&new.name, &new.labels)?;
        self.find(&new.name)
    }

    /// What tells of the volume is there before it is.
    fn make(&self, name: &Name, labels: &BTreeMap<String, String>) -> Result<(), Error> {
        let folder = &self.folders.volumes;
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        self.remove_rest(name)?;
        if !labels.is_empty() {
            let path = self.record_path(name);
            let record = Record {
                labels: labels.clone(),
            };
            let text = toml::to_string(&record).map_err(|error| Error::Record {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            fs::write(&path, text).map_err(Error::io(&path))?;
        }
        self.marks(name).set_new()?;
        let path = self.path(name);
        DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .map_err(Error::io(&path))?;
        fill::sync(folder)
    }

    /// A volume for a container, made if need be. `contents` is what the container's image has at its place.
    pub fn take(&self, name: &Name, contents: Option<&Path>) -> Result<(PathBuf, Use), Error> {
        let _lock = lock::change(&self.folders.run, name)?;
        let path = self.path(name);
        if !path.exists() {
            self.make(name, &BTreeMap::new())?;
        }
        self.marks(name).fill(&path, contents)?;
        Ok((path, lock::share(&self.folders.run, name)?))
    }

    /// Removes a volume that no container uses.
    pub fn remove(&self, name: &Name) -> Result<(), Error> {
        let _lock = lock::change(&self.folders.run, name)?;
        let path = self.path(name);
        if !path.exists() {
            return Err(Error::Unknown(name.clone()));
        }
        if lock::is_used(&self.folders.run, name)? {
            return Err(Error::InUse(name.clone()));
        }
        // It is gone at once, and what is left of it goes now or when the name is used again.
        let removed = self.removed_path(name);
        remove_folder(&removed)?;
        fs::rename(&path, &removed).map_err(Error::io(&path))?;
        self.remove_rest(name)
    }

    fn removed_path(&self, name: &Name) -> PathBuf {
        self.folders.volumes.join(format!(".{name}.removed"))
    }

    fn remove_rest(&self, name: &Name) -> Result<(), Error> {
        self.marks(name).clear()?;
        let record = self.record_path(name);
        match fs::remove_file(&record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(&record)(error));
            }
            _ => {}
        }
        remove_folder(&self.removed_path(name))
    }

    /// Removes all that no container uses; their names.
    pub fn prune(&self) -> Result<Vec<Name>, Error> {
        let mut removed = Vec::new();
        for volume in self.list()? {
            match self.remove(&volume.name) {
                Ok(()) => removed.push(volume.name),
                Err(Error::InUse(_) | Error::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// A volume without a name for a container, filled with what its image has. `number` tells it from others of the
    /// container, whose name the caller holds.
    pub fn take_nameless(
        &self,
        container: &Name,
        number: usize,
        contents: Option<&Path>,
    ) -> Result<PathBuf, Error> {
        let path = self.nameless(container).join(number.to_string());
        fs::create_dir_all(&path).map_err(Error::io(&path))?;
        if let Some(contents) = contents {
            fill::copy(contents, &path)?;
        }
        Ok(path)
    }

    fn nameless(&self, container: &Name) -> PathBuf {
        self.folders.volumes.join(NAMELESS).join(container.as_str())
    }

    /// Removes the nameless volumes of a container that is dead; that there are none is no error.
    pub fn remove_nameless(&self, container: &Name) -> Result<(), Error> {
        remove_folder(&self.nameless(container))
    }

    /// Which containers have nameless volumes.
    pub fn with_nameless(&self) -> Vec<Name> {
        let entries = fs::read_dir(self.folders.volumes.join(NAMELESS))
            .into_iter()
            .flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    }
}

fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        Ok(()) => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            let synced = File::open(parent).and_then(|folder| folder.sync_all());
            synced.map_err(Error::io(parent))
        }
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        root: tempfile::TempDir,
        volumes: Volumes,
    }

    fn machine() -> Machine {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::in_folders(Folders {
            volumes: root.path().join("volumes"),
            run: root.path().join("run"),
        });
        fs::create_dir(root.path().join("image")).unwrap();
        fs::write(root.path().join("image/file"), "of the image").unwrap();
        Machine { root, volumes }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn names(volumes: &Volumes) -> Vec<String> {
        let all = volumes.list().unwrap();
        all.into_iter().map(|one| one.name.to_string()).collect()
    }

    #[test]
    fn a_volume_stays_with_what_is_in_it() {
        let machine = machine();
        let (volumes, image) = (&machine.volumes, machine.root.path().join("image"));
        assert_eq!(names(volumes), [""; 0]);
        let (path, used) = volumes.take(&name("data"), Some(&image)).unwrap();
        assert_eq!(
            fs::read_to_string(path.join("file")).unwrap(),
            "of the image"
        );
        fs::write(path.join("file"), "of the container").unwrap();
        assert!(volumes.find(&name("data")).unwrap().used);
        assert!(matches!(
            volumes.remove(&name("data")),
            Err(Error::InUse(_))
        ));
        assert_eq!(volumes.prune().unwrap(), []);
        drop(used);
        let (again, _used) = volumes.take(&name("data"), Some(&image)).unwrap();
        assert_eq!(again, path);
        assert_eq!(
            fs::read_to_string(path.join("file")).unwrap(),
            "of the container"
        );
    }

    #[test]
    fn volumes_are_made_and_removed_with_all_that_is_theirs() {
        let machine = machine();
        let volumes = &machine.volumes;
        let new = NewVolume {
            name: name("data"),
            labels: [("owner".to_owned(), "web".to_owned())].into(),
        };
        let made = volumes.create(&new).unwrap();
        assert_eq!(made.labels, new.labels);
        assert!(matches!(volumes.create(&new), Err(Error::Exists(_))));
        assert_eq!(names(volumes), ["data"]);
        volumes.remove(&name("data")).unwrap();
        assert!(matches!(
            volumes.remove(&name("data")),
            Err(Error::Unknown(_))
        ));
        let left = fs::read_dir(machine.root.path().join("volumes")).unwrap();
        assert_eq!(left.count(), 0);
        let (_, used) = volumes.take(&name("data"), None).unwrap();
        assert_eq!(volumes.find(&name("data")).unwrap().labels, BTreeMap::new());
        drop(used);
        assert_eq!(volumes.prune().unwrap(), [name("data")]);
    }

    #[test]
    fn nameless_volumes_go_with_their_container() {
        let machine = machine();
        let (volumes, image) = (&machine.volumes, machine.root.path().join("image"));
        let first = volumes
            .take_nameless(&name("web"), 0, Some(&image))
            .unwrap();
        let second = volumes.take_nameless(&name("web"), 1, None).unwrap();
        assert!(first.join("file").exists() && second.is_dir() && first != second);
        assert_eq!(volumes.with_nameless(), [name("web")]);
        assert_eq!(names(volumes), [""; 0], "they are not listed");
        volumes.remove_nameless(&name("web")).unwrap();
        volumes.remove_nameless(&name("web")).unwrap();
        assert_eq!(volumes.with_nameless(), []);
    }
}
