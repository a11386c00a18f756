//! The files of the fleet's units, where systemd finds them until the next boot.
//!
//! A unit's file is in `/run/fleet/units`, with a link in `/run/systemd/system`, as fleet had it: systemd
//! says `linked-runtime`. Its drop-ins are in a folder beside it, linked as well. A mark in
//! `/run/fleet/launched` says that its start was called. All of it is read back when the agent starts anew,
//! and gone after a boot. systemd is not told of anything here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fleet_api::{DropIn, Unit};
use fleet_model::OnPartition;
use fleet_store::Contents;
use fleet_store::value::ContentsError;
use machine_facts::system_root::SystemRoot;
use systemd_unit::{EditError, SyntaxError, UnitFile, UnitName};
use thiserror::Error;

/// Where the files are.
const UNITS: &str = "/run/fleet/units";
/// Where systemd looks.
const LINKS: &str = "/run/systemd/system";
/// What was launched.
const LAUNCHED: &str = "/run/fleet/launched";

/// The files of this boot.
#[derive(Debug, Clone)]
pub(crate) struct UnitDirectory {
    root: SystemRoot,
}

/// A unit whose file is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldUnit {
    /// Of its contents; see [`Unit::hash`].
    pub(crate) hash: String,
    /// Whether the start of these contents was called.
    pub(crate) is_launched: bool,
    /// `OnPartition=`
    pub(crate) on_partition: OnPartition,
    /// Whether it has an `[Install]` section.
    pub(crate) is_installable: bool,
}

/// Why a unit is not on disk.
#[derive(Debug, Error)]
pub(crate) enum DirectoryError {
    /// A file cannot be written, read or removed.
    #[error("cannot {what} {path}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// With the file of the machine.
        path: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The name belongs to the machine.
    #[error("the machine has a unit of this name already: {}", .0.display())]
    Foreign(PathBuf),
    /// The contents are no unit.
    #[error("its contents are no unit")]
    Contents(#[from] ContentsError),
    /// The file cannot be parsed.
    #[error("its file is no unit file")]
    Syntax(#[from] SyntaxError),
    /// The file cannot be hashed.
    #[error("its options cannot stand in a file")]
    Options(#[from] EditError),
    /// A drop-in would be written somewhere else.
    #[error("invalid name of a drop-in: `{0}`")]
    DropInName(String),
    /// The store does not have them.
    #[error("its contents are not in the store")]
    NoContents,
    /// What came is not what was asked for.
    #[error("its contents have the hash {found} instead of {wanted}")]
    Hash {
        /// Of the contents.
        found: String,
        /// Of the target.
        wanted: String,
    },
}

/// What contents are, without a look at any file.
pub(crate) fn inspect(name: &UnitName, contents: &Contents) -> Result<HeldUnit, DirectoryError> {
    // In the order in which systemd reads them, and in which they are read back.
    let mut texts: Vec<_> = contents.drop_ins.iter().collect();
    texts.sort_by(|a, b| a.name.cmp(&b.name));
    let drop_ins = texts.into_iter();
    let drop_ins = drop_ins
        .map(|one| {
            Ok(DropIn::from_file(
                &one.name,
                &UnitFile::parse(one.file.as_str())?,
            ))
        })
        .collect::<Result<_, SyntaxError>>()?;
    let file = UnitFile::parse(contents.file.as_str())?;
    let unit = Unit {
        drop_ins,
        ..Unit::from_file(name.as_str(), &file)
    };
    Ok(HeldUnit {
        hash: unit.hash()?,
        is_launched: false,
        on_partition: contents.options(name)?.on_partition,
        is_installable: unit.all_options().any(|option| option.section == "Install"),
    })
}

/// Whether contents are what a target asks for.
pub(crate) fn check(
    name: &UnitName,
    contents: &Contents,
    wanted: &str,
) -> Result<HeldUnit, DirectoryError> {
    let found = inspect(name, contents)?;
    if found.hash == wanted {
        return Ok(found);
    }
    let wanted = wanted.to_owned();
    let found = found.hash;
    Err(DirectoryError::Hash { found, wanted })
}

impl UnitDirectory {
    pub(crate) fn new(root: SystemRoot) -> Self {
        Self { root }
    }

    /// Every unit that is here. One that cannot be read is left out: it is written anew if it is wanted.
    pub(crate) fn read_all(&self) -> BTreeMap<UnitName, HeldUnit> {
        // No folder is no units.
        let names = self.root.list(UNITS).unwrap_or_default();
        let names = names
            .into_iter()
            .filter_map(|name| UnitName::new(name).ok());
        let read = |name: UnitName| match self.read(&name) {
            Ok(held) => Some((name, held)),
            Err(error) => {
                tracing::warn!("{UNITS}/{name} is not what was written there: {error}");
                None
            }
        };
        names.filter_map(read).collect()
    }

    fn read(&self, name: &UnitName) -> Result<HeldUnit, DirectoryError> {
        let contents = self.contents(name)?;
        let held = inspect(name, &contents)?;
        let mark = fs::read_to_string(self.root.path(&mark_of(name))).unwrap_or_default();
        Ok(HeldUnit {
            is_launched: mark == held.hash,
            ..held
        })
    }

    /// A unit's contents as they stand here.
    pub(crate) fn contents(&self, name: &UnitName) -> Result<Contents, DirectoryError> {
        let read = |path: &str| {
            let text = fs::read_to_string(self.root.path(path));
            text.map_err(failure("read", path))
        };
        let folder = drop_ins_of(UNITS, name);
        let mut drop_ins = Vec::new();
        // No folder is no drop-ins.
        for drop_in in self.root.list(&folder).unwrap_or_default() {
            let file = read(&format!("{folder}/{drop_in}"))?;
            drop_ins.push(fleet_store::DropInText {
                name: drop_in,
                file,
            });
        }
        Ok(Contents {
            file: read(&format!("{UNITS}/{name}"))?,
            drop_ins,
        })
    }

    /// Writes a unit in place of what there is of it, and links it. It counts as not launched.
    pub(crate) fn write(&self, name: &UnitName, contents: &Contents) -> Result<(), DirectoryError> {
        self.set_launched(name, None)?;
        let folder = drop_ins_of(UNITS, name);
        self.remove_folder(&folder)?;
        for drop_in in &contents.drop_ins {
            if !is_drop_in(&drop_in.name) {
                return Err(DirectoryError::DropInName(drop_in.name.clone()));
            }
            self.replace(&format!("{folder}/{}", drop_in.name), &drop_in.file)?;
        }
        // systemd may look at any moment: whoever finds the unit has to find its drop-ins.
        if contents.drop_ins.is_empty() {
            self.remove_file(&drop_ins_of(LINKS, name))?;
        } else {
            self.link(&folder, &drop_ins_of(LINKS, name))?;
        }
        let file = format!("{UNITS}/{name}");
        self.replace(&file, &contents.file)?;
        self.link(&file, &format!("{LINKS}/{name}"))
    }

    /// Removes a unit. What is not there is no error.
    pub(crate) fn remove(&self, name: &UnitName) -> Result<(), DirectoryError> {
        self.set_launched(name, None)?;
        self.remove_file(&format!("{LINKS}/{name}"))?;
        self.remove_file(&drop_ins_of(LINKS, name))?;
        self.remove_file(&format!("{UNITS}/{name}"))?;
        self.remove_folder(&drop_ins_of(UNITS, name))
    }

    /// Remembers whether the start of contents was called, and of which.
    pub(crate) fn set_launched(
        &self,
        name: &UnitName,
        hash: Option<&str>,
    ) -> Result<(), DirectoryError> {
        match hash {
            Some(hash) => self.replace(&mark_of(name), hash),
            None => self.remove_file(&mark_of(name)),
        }
    }

    /// A unit's file in one of systemd's folders that is not ours, if there is one.
    pub(crate) fn check_name(
        &self,
        name: &UnitName,
        search_path: &[PathBuf],
    ) -> Result<(), DirectoryError> {
        let own = format!("{UNITS}/{name}");
        let files = search_path.iter().map(|folder| folder.join(name.as_str()));
        for file in files {
            let place = self.root.path(&file.to_string_lossy());
            let is_own = fs::read_link(&place).is_ok_and(|target| target == Path::new(&own));
            if !is_own && place.symlink_metadata().is_ok() {
                return Err(DirectoryError::Foreign(file));
            }
        }
        Ok(())
    }

    fn replace(&self, path: &str, text: &str) -> Result<(), DirectoryError> {
        self.root
            .replace(path, text)
            .map_err(failure("write", path))
    }

    /// A link to a path of the machine.
    fn link(&self, target: &str, path: &str) -> Result<(), DirectoryError> {
        let place = self.root.path(path);
        if fs::read_link(&place).is_ok_and(|found| found == Path::new(target)) {
            return Ok(());
        }
        self.remove_file(path)?;
        let parent = place.parent().unwrap_or(&place);
        let made = fs::create_dir_all(parent).and_then(|()| symlink(target, &place));
        made.map_err(failure("link", path))
    }

    fn remove_file(&self, path: &str) -> Result<(), DirectoryError> {
        match fs::remove_file(self.root.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failure("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, path: &str) -> Result<(), DirectoryError> {
        match fs::remove_dir_all(self.root.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failure("remove", path)(error))
            }
            _ => Ok(()),
        }
    }
}

fn mark_of(name: &UnitName) -> String {
    format!("{LAUNCHED}/{name}")
}

fn drop_ins_of(folder: &str, name: &UnitName) -> String {
    format!("{folder}/{name}.d")
}

/// Whether systemd reads a file of this name, and it stays in its folder.
fn is_drop_in(name: &str) -> bool {
    let is_file_name = Path::new(name)
        .extension()
        .is_some_and(|found| found == "conf");
    is_file_name && !name.starts_with('.') && !name.contains('/')
}

fn failure(what: &'static str, path: &str) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::File { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_store::DropInText;

    fn machine() -> (tempfile::TempDir, UnitDirectory) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = SystemRoot::new(folder.path());
        (folder, UnitDirectory::new(root))
    }

    fn hello() -> UnitName {
        UnitName::new("hello.service").expect("a name")
    }

    fn contents(command: &str) -> Contents {
        let drop_in = |name: &str, file: &str| DropInText {
            name: name.to_owned(),
            file: file.to_owned(),
        };
        Contents {
            file: format!("# Why\n[Service]\nExecStart={command}\n[X-Fleet]\nOnPartition=stop\n"),
            drop_ins: vec![
                drop_in("10-a.conf", "[Unit]\nDescription=a\n"),
                drop_in("20-b.conf", "[Install]\nWantedBy=a.target\n"),
            ],
        }
    }

    #[test]
    fn a_unit_is_read_back_as_it_was_written() {
        let (folder, directory) = machine();
        let hash = inspect(&hello(), &contents("a")).expect("a unit").hash;
        directory.write(&hello(), &contents("a")).expect("written");
        directory
            .set_launched(&hello(), Some(&hash))
            .expect("marked");
        let held = HeldUnit {
            hash,
            is_launched: true,
            on_partition: OnPartition::Stop,
            is_installable: true,
        };
        assert_eq!(directory.read_all(), [(hello(), held)].into());
        let link = folder.path().join("run/systemd/system/hello.service");
        let target = fs::read_link(link).expect("a link");
        assert_eq!(target, Path::new("/run/fleet/units/hello.service"));
        let link = folder.path().join("run/systemd/system/hello.service.d");
        assert!(fs::read_link(link).is_ok());
    }

    #[test]
    fn other_contents_are_not_launched() {
        let (_folder, directory) = machine();
        let first = inspect(&hello(), &contents("a")).expect("a unit").hash;
        directory.write(&hello(), &contents("a")).expect("written");
        directory
            .set_launched(&hello(), Some(&first))
            .expect("marked");
        let without = Contents {
            drop_ins: Vec::new(),
            ..contents("a")
        };
        directory.write(&hello(), &without).expect("written");
        let all = directory.read_all();
        assert!(!all[&hello()].is_launched);
        assert_ne!(all[&hello()].hash, first);
    }

    #[test]
    fn nothing_is_left_of_a_removed_unit() {
        let (folder, directory) = machine();
        directory.write(&hello(), &contents("a")).expect("written");
        directory.remove(&hello()).expect("removed");
        directory.remove(&hello()).expect("removed already");
        for path in ["run/fleet/units", "run/systemd/system"] {
            let left = fs::read_dir(folder.path().join(path)).expect("a folder");
            assert_eq!(left.count(), 0, "{path}");
        }
    }

    #[test]
    fn a_unit_of_the_machine_is_not_replaced() {
        let (folder, directory) = machine();
        let usr = folder.path().join("usr/lib/systemd/system");
        fs::create_dir_all(&usr).expect("a folder");
        fs::write(usr.join("ssh.service"), "").expect("written");
        directory.write(&hello(), &contents("a")).expect("written");
        let search_path = [LINKS, "/usr/lib/systemd/system"].map(PathBuf::from);
        directory.check_name(&hello(), &search_path).expect("ours");
        let ssh = UnitName::new("ssh.service").expect("a name");
        let error = directory
            .check_name(&ssh, &search_path)
            .expect_err("theirs");
        assert!(
            error
                .to_string()
                .ends_with("/usr/lib/systemd/system/ssh.service"),
            "{error}"
        );
    }

    #[test]
    fn contents_that_are_not_those_asked_for_are_refused() {
        let error = check(&hello(), &contents("a"), "abc").expect_err("another hash");
        assert!(error.to_string().contains("instead of abc"), "{error}");
    }

    #[test]
    fn a_drop_in_stays_in_its_folder() {
        let (_folder, directory) = machine();
        let mut contents = contents("a");
        contents.drop_ins[0].name = "../x.conf".to_owned();
        let error = directory.write(&hello(), &contents).expect_err("refused");
        assert!(error.to_string().contains("../x.conf"), "{error}");
    }
}
