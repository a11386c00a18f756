//! Records of containers on disk, each in a folder of its own with the container's unit and its last run.
//!
//! A record is there whole or not at all. One that cannot be read is told of and left alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use container_model::run_record::{FOLDER, RECORD_FILE, RUN_FILE, RunRecord, START_AT_BOOT_FILE};
use engine_api::{ApiError, Record, unit_file};
use parking_lot::Mutex;

use crate::answer::internal;

/// Where systemd finds the units of containers that have run since the boot.
const UNITS: &str = "/run/systemd/system";

/// All of them.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
    units: PathBuf,
    all: Mutex<BTreeMap<String, Record>>,
}

/// A container's unit.
pub(crate) fn unit_name(id: &str) -> String {
    format!("launch-{id}.service")
}

impl Records {
    /// Those of this machine.
    pub(crate) fn open() -> anyhow::Result<Self> {
        Self::open_in(Path::new(FOLDER), Path::new(UNITS))
    }

    fn open_in(folder: &Path, units: &Path) -> anyhow::Result<Self> {
        // What containers are run with may be secret.
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        made.with_context(|| folder.display().to_string())?;
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            match read_record(&path) {
                Ok(Some(record)) => {
                    all.insert(record.id.clone(), record);
                }
                Ok(None) => {}
                Err(error) => tracing::error!("a container is left out: {error:#}"),
            }
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            units: units.to_path_buf(),
            all: Mutex::new(all),
        })
    }

    /// A container's folder.
    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// All containers, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.all.lock().values().cloned().collect()
    }

    /// One by its whole id.
    pub(crate) fn get(&self, id: &str) -> Option<Record> {
        self.all.lock().get(id).cloned()
    }

    /// One by id, name, or the first digits of its id.
    pub(crate) fn find(&self, text: &str) -> Result<Record, ApiError> {
        let wanted = text.trim_start_matches('/');
        let all = self.all.lock();
        if let Some(record) = all.values().find(|record| record.is_meant(wanted)) {
            return Ok(record.clone());
        }
        let mut begin = all.values().filter(|record| record.id_begins(wanted));
        match (begin.next(), begin.next()) {
            (Some(record), None) => Ok(record.clone()),
            (Some(_), Some(_)) => Err(ApiError::bad_request(format!(
                "{wanted}: the ids of several containers begin so"
            ))),
            (None, _) => Err(ApiError::not_found(format!("No such container: {wanted}"))),
        }
    }

    /// Writes a new container. Its name must be free.
    pub(crate) fn add(&self, record: Record) -> Result<(), ApiError> {
        let mut all = self.all.lock();
        is_free(&all, &record)?;
        self.write(&record).map_err(|error| internal(&error))?;
        all.insert(record.id.clone(), record);
        Ok(())
    }

    /// Writes a container that is there anew.
    pub(crate) fn change(&self, record: Record) -> Result<(), ApiError> {
        let mut all = self.all.lock();
        if !all.contains_key(&record.id) {
            return Err(ApiError::not_found(format!(
                "No such container: {}",
                record.name
            )));
        }
        is_free(&all, &record)?;
        self.write(&record).map_err(|error| internal(&error))?;
        all.insert(record.id.clone(), record);
        Ok(())
    }

    /// Forgets a container. The record goes first: what a power failure leaves of the rest is of nobody.
    pub(crate) fn remove(&self, id: &str) -> anyhow::Result<()> {
        let mut all = self.all.lock();
        let folder = self.folder(id);
        for path in [self.units.join(unit_name(id)), folder.join(RECORD_FILE)] {
            remove_file(&path)?;
        }
        let removed = fs::remove_dir_all(&folder);
        all.remove(id);
        removed.with_context(|| folder.display().to_string())
    }

    /// How the last run began and ended.
    pub(crate) fn last_run(&self, id: &str) -> Option<RunRecord> {
        let bytes = fs::read(self.folder(id).join(RUN_FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Says whether a boot starts it.
    pub(crate) fn start_at_boot(&self, id: &str, starts: bool) -> anyhow::Result<()> {
        let path = self.folder(id).join(START_AT_BOOT_FILE);
        if starts {
            write_whole(&path, b"")
        } else {
            remove_file(&path)
        }
    }

    /// Has systemd find the unit from now on.
    pub(crate) fn link_unit(&self, id: &str) -> anyhow::Result<()> {
        let link = self.units.join(unit_name(id));
        let context = || link.display().to_string();
        fs::create_dir_all(&self.units).with_context(context)?;
        match symlink(self.folder(id).join(unit_name(id)), &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).with_context(context)
            }
            _ => Ok(()),
        }
    }

    fn write(&self, record: &Record) -> anyhow::Result<()> {
        let folder = self.folder(&record.id);
        let context = || folder.display().to_string();
        let path = folder.to_str().with_context(context)?;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.with_context(context)?;
        let unit = unit_file::text(record, path);
        write_whole(&folder.join(unit_name(&record.id)), unit.as_bytes())?;
        write_whole(&folder.join(RECORD_FILE), &serde_json::to_vec(record)?)
    }
}

fn is_free(all: &BTreeMap<String, Record>, record: &Record) -> Result<(), ApiError> {
    let has_it = |other: &&Record| other.name == record.name && other.id != record.id;
    match all.values().find(has_it) {
        Some(other) => Err(ApiError::conflict(format!(
            "Conflict. The container name \"/{}\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
            record.name, other.id
        ))),
        None => Ok(()),
    }
}

fn read_record(folder: &Path) -> anyhow::Result<Option<Record>> {
    let path = folder.join(RECORD_FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            let record = serde_json::from_slice(&bytes);
            record.map(Some).with_context(|| path.display().to_string())
        }
        // It was not finished, or is half removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// The file is there with all of its bytes, whenever the power fails.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let context = || path.display().to_string();
    let folder = path.parent().with_context(context)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    file.sync_all().with_context(context)?;
    fs::rename(&new, path).with_context(context)?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(context)
}

/// A container for tests.
#[cfg(test)]
pub(crate) fn example(id: &str, name: &str) -> Record {
    Record {
        id: id.to_owned(),
        name: name.to_owned(),
        created: 1,
        image: "busybox".to_owned(),
        image_id: "sha256:x".to_owned(),
        launch: vec!["busybox".to_owned()],
        command: Vec::new(),
        restart: engine_api::record::RestartPolicy::OnFailure(2),
        is_removed_at_end: false,
        has_terminal: false,
        has_input: false,
        stop_timeout: 10,
        stop_signal: 15,
        labels: [].into(),
        config: serde_json::Value::Null,
        host_config: serde_json::Value::Null,
        mounts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::example as record;
    use super::*;

    #[test]
    fn records_outlive_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let units = folder.path().join("units");
        let path = folder.path().join("containers");
        let records = Records::open_in(&path, &units).unwrap();
        records.add(record("aa11", "web")).unwrap();
        records.add(record("aa22", "db")).unwrap();
        records.link_unit("aa11").unwrap();
        records.start_at_boot("aa11", true).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        // A folder without a record is of a container that was being made.
        fs::create_dir(path.join("bb")).unwrap();
        drop(records);

        let records = Records::open_in(&path, &units).unwrap();
        assert_eq!(records.all().len(), 2);
        assert_eq!(records.find("web").unwrap(), record("aa11", "web"));
        assert_eq!(records.find("/db").unwrap().id, "aa22");
        assert_eq!(records.find("aa2").unwrap().name, "db");
        assert_eq!(records.find("aa").unwrap_err().status, 400);
        assert_eq!(records.find("").unwrap_err().status, 404);
        let unit = fs::read_to_string(units.join("launch-aa11.service")).unwrap();
        assert!(unit.contains("Container web (busybox)"), "{unit}");
        records.remove("aa11").unwrap();
        assert!(!path.join("aa11").exists() && !units.join("launch-aa11.service").is_symlink());
        assert_eq!(records.find("web").unwrap_err().status, 404);
    }

    #[test]
    fn a_name_is_of_one_container() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open_in(folder.path(), folder.path()).unwrap();
        records.add(record("aa11", "web")).unwrap();
        assert_eq!(records.add(record("aa22", "web")).unwrap_err().status, 409);
        records.change(record("aa11", "web")).unwrap();
        assert_eq!(
            records.change(record("aa22", "db")).unwrap_err().status,
            404
        );
    }
}
