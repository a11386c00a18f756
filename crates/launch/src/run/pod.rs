//! A pod on this machine: the namespaces that its containers share, each held by a file in `/run`, with the files that all of
//! them have.
//!
//! No process holds a pod. The name under which it is in a network, and its ports, are held by systemd for the pod's unit;
//! once they are not, the pod is a leftover like a container's, and whoever sweeps removes it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use container_model::mount::Access;
use container_model::name::Name;
use container_model::network::{BoundPort, Connection, Network};
use container_model::options::ContainerOptions;
use container_model::port::{HostPort, PublishedPort};
use container_model::spec::{BoundFile, SharedNamespaces};
use container_network::Networks;
use rustix::mount::{UnmountFlags, unmount};

const FOLDER: &str = "/run/keelson/pods";
/// Behind the pod's name, so that a container may have that one.
const HOLDER_SUFFIX: &str = "-pod";
/// It is there once all is made.
const COMPLETE: &str = "complete";

pub(super) const NETWORK: &str = "net";
pub(super) const IPC: &str = "ipc";
pub(super) const UTS: &str = "uts";
pub(super) const SHARED_MEMORY: &str = "shm";

/// Where it is.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    name: Name,
    folder: PathBuf,
}

impl Pod {
    /// One of that name, whether it is there or not.
    pub(super) fn named(name: &Name) -> Self {
        Self {
            name: name.clone(),
            folder: Path::new(FOLDER).join(name.as_str()),
        }
    }

    /// One that a container can join.
    pub(super) fn find(name: &Name) -> anyhow::Result<Self> {
        let pod = Self::named(name);
        if !pod.folder.join(COMPLETE).exists() {
            bail!(
                "there is no pod {name}: start the unit of its file, which for {name}.pod is {name}-pod.service"
            );
        }
        Ok(pod)
    }

    /// The holders' names of all that something is there of.
    pub(super) fn holders() -> Vec<Name> {
        let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let pods = names.filter_map(|name| name.parse().ok());
        pods.filter_map(|name| Self::named(&name).holder().ok())
            .collect()
    }

    /// The one that a holder's name is of.
    pub(super) fn held_by(holder: &Name) -> Option<Self> {
        let name = holder.as_str().strip_suffix(HOLDER_SUFFIX)?;
        Some(Self::named(&name.parse().ok()?))
    }

    /// The name that it has in its network, and that no container can have meanwhile.
    pub(super) fn holder(&self) -> anyhow::Result<Name> {
        Ok(format!("{}{HOLDER_SUFFIX}", self.name).parse()?)
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on it can be found.
    pub(super) fn complete(&self) -> anyhow::Result<()> {
        let path = self.folder.join(COMPLETE);
        std::fs::write(&path, "").with_context(|| path.display().to_string())
    }

    /// What its containers share beside the network.
    pub(super) fn namespaces(&self) -> SharedNamespaces {
        SharedNamespaces {
            ipc: self.folder.join(IPC),
            uts: self.folder.join(UTS),
        }
    }

    /// None for a pod in the machine's network.
    pub(super) fn network_namespace(&self) -> Option<PathBuf> {
        let path = self.folder.join(NETWORK);
        path.exists().then_some(path)
    }

    pub(super) fn host_name(&self) -> anyhow::Result<String> {
        let path = self.folder.join("hostname");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().to_owned())
    }

    /// Its networks; the first has the ports.
    pub(super) fn connections(&self) -> anyhow::Result<Vec<Connection>> {
        let holder = self.holder()?;
        let mut all = Networks::default().connections()?;
        all.retain(|one| one.container == holder);
        all.sort_by_key(|one| one.number);
        Ok(all)
    }

    /// The options of a container in it, with the networks that it has through the pod.
    pub(super) fn joined(&self, options: ContainerOptions) -> anyhow::Result<ContainerOptions> {
        let connections = self.connections()?;
        let networks = match (self.network_namespace(), connections.is_empty()) {
            (None, _) => vec![Network::Host.into()],
            (Some(_), true) => vec![Network::None.into()],
            (Some(_), false) => {
                let names = connections.iter().map(|one| one.network.name.as_str());
                names.map(str::parse).collect::<Result<_, _>>()?
            }
        };
        let first = connections.first();
        let ports = first.map_or(Vec::new(), |one| one.ports.iter().map(published).collect());
        Ok(ContainerOptions {
            networks,
            ports,
            ..options
        })
    }

    /// The files that its containers have.
    pub(super) fn files(&self) -> Vec<BoundFile> {
        let files = [
            ("hostname", "/etc/hostname"),
            ("hosts", "/etc/hosts"),
            ("resolv.conf", "/etc/resolv.conf"),
            (SHARED_MEMORY, "/dev/shm"),
        ];
        let files = files.iter().map(|(name, target)| BoundFile {
            source: self.folder.join(name),
            target: (*target).to_owned(),
            access: Access::ReadWrite,
        });
        files.filter(|file| file.source.exists()).collect()
    }

    /// Lets go of the namespaces, and removes the files; that there are none is no error.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        for name in [NETWORK, IPC, UTS, SHARED_MEMORY] {
            let path = self.folder.join(name);
            match unmount(&path, UnmountFlags::DETACH) {
                // Nothing was mounted there, or it is not there.
                Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| self.folder.display().to_string())
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn published(port: &BoundPort) -> PublishedPort {
    PublishedPort {
        address: port.address,
        host: HostPort::Given(port.host),
        container: port.container,
        protocol: port.protocol,
    }
}
