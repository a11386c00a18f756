//! Machines in namespaces: a real systemd on this kernel, a second after it was asked for.
//!
//! A [`NamespaceMachine`] boots a root tree with its own processes, mounts, network, host name and
//! control groups; several are joined by a [`Bridge`]. Everything is in namespaces that die with the
//! machine, also if this process is killed: no mount, interface or process is left on the host. Its
//! writes go to an overlay in the run directory, which survives [`RunningNamespace::boot_again`].
//!
//! There is no kernel of its own, no boot loader, no disk, and no memory or CPU controller: what needs
//! those belongs into a [`crate::Machine`]. It needs root.

mod bridge;
mod commands;
mod pseudo_terminal;
mod running;

pub use bridge::Bridge;
pub use running::RunningNamespace;

use std::path::{Path, PathBuf};

use crate::{LogPolicy, QemuError};

/// What a machine's root is made of; it is not written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootTree {
    /// A directory with a Debian tree in it.
    Directory(PathBuf),
    /// An image of a file system that this kernel can mount, such as the builder's EROFS.
    Image {
        /// The file.
        path: PathBuf,
        /// The file system's name for `mount`.
        file_system: &'static str,
    },
}

/// A file that a machine has over its root tree before it boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Absolute, in the machine.
    pub path: PathBuf,
    /// All of it.
    pub contents: Vec<u8>,
    /// Its permissions, such as `0o755`.
    pub mode: u32,
}

/// A file or folder of the host that is seen in a machine, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// Absolute, in the machine.
    pub target: PathBuf,
}

/// A machine that is to run in namespaces.
#[derive(Debug, Clone)]
pub struct NamespaceMachine {
    /// Its host name: at most 12 letters, digits and dashes.
    pub name: String,
    /// Its root.
    pub root: RootTree,
    /// systemd's machine id, 32 hexadecimal digits; a random one if none.
    pub machine_id: Option<String>,
    /// Its address in the bridge's network, such as `172.18.0.2`.
    pub address: Option<String>,
    /// Files over the root tree.
    pub files: Vec<GuestFile>,
    /// Files of the host.
    pub binds: Vec<Bind>,
    /// Units that do not start, whoever wants them.
    pub masked: Vec<String>,
    /// What becomes of the console's log.
    pub logs: LogPolicy,
    /// Console lines with one of these texts do not end a wait.
    pub tolerated: Vec<String>,
}

impl GuestFile {
    /// A file that everybody can read.
    pub fn new(path: impl Into<PathBuf>, contents: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            contents: contents.into(),
            mode: 0o644,
        }
    }

    /// A program.
    pub fn executable(path: impl Into<PathBuf>, contents: impl Into<Vec<u8>>) -> Self {
        Self {
            mode: 0o755,
            ..Self::new(path, contents)
        }
    }
}

impl NamespaceMachine {
    /// A machine without network, with what the root tree has and no login on the console.
    pub fn new(name: &str, root: RootTree) -> Self {
        Self {
            name: name.to_owned(),
            root,
            machine_id: None,
            address: None,
            files: Vec::new(),
            binds: Vec::new(),
            masked: vec!["console-getty.service".to_owned()],
            logs: LogPolicy::Remove,
            tolerated: Vec::new(),
        }
    }

    /// Starts the machine with a temporary directory in `run_directory_parent`, which must be on a
    /// file system that overlays can write to. With an address it is joined to the bridge.
    pub fn start(
        &self,
        run_directory_parent: &Path,
        bridge: Option<&Bridge>,
    ) -> Result<RunningNamespace, QemuError> {
        self.validate(bridge)?;
        RunningNamespace::start(self, run_directory_parent, bridge)
    }

    fn validate(&self, bridge: Option<&Bridge>) -> Result<(), QemuError> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_name = (1..=12).contains(&self.name.len()) && self.name.bytes().all(is_good);
        if !is_name {
            return Err(self.invalid("the name must be up to 12 letters, digits and dashes"));
        }
        let is_id = |id: &String| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        if self.machine_id.as_ref().is_some_and(|id| !is_id(id)) {
            return Err(self.invalid("a machine id has 32 hexadecimal digits"));
        }
        if self.address.is_some() != bridge.is_some() {
            return Err(self.invalid("an address needs a bridge, and a bridge an address"));
        }
        let targets = self.binds.iter().map(|bind| &bind.target);
        let paths = self.files.iter().map(|file| &file.path).chain(targets);
        for path in paths {
            if !path.is_absolute() || path.components().any(|c| c.as_os_str() == "..") {
                let reason = format!("{} is not an absolute path without `..`", path.display());
                return Err(self.invalid(&reason));
            }
        }
        Ok(())
    }

    fn invalid(&self, reason: &str) -> QemuError {
        QemuError::Configuration {
            machine: self.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        let good = NamespaceMachine::new("m1", RootTree::Directory("/".into()));
        good.validate(None).unwrap();
        let mut machines = vec![good; 6];
        machines[0].name = "a/b".to_owned();
        machines[1].name = "a-name-that-is-long".to_owned();
        machines[2].machine_id = Some("1".to_owned());
        machines[3].address = Some("10.0.0.1".to_owned());
        machines[4].files = vec![GuestFile::new("etc/passwd", "")];
        machines[5].binds = vec![Bind {
            source: "/".into(),
            target: "/a/../..".into(),
        }];
        for machine in machines {
            let error = machine.validate(None).unwrap_err();
            assert!(error.to_string().starts_with("machine "), "{error}");
        }
    }
}
