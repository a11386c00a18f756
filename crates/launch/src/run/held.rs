//! What a container holds of the machine while it runs: its networks, its ports and its volumes. One in a pod holds no
//! network: the pod has them.
//!
//! All of it is held by descriptors, which the monitor gets: whoever is killed holds nothing any more.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use container_model::name::Name;
use container_model::network::{BoundPort, Connection};
use container_model::options::ContainerOptions;
use container_network::Attachment;

use super::folder::keep_across_exec;
use super::pod::Pod;
use super::unit::Unit;
use super::{network, volumes};

/// All of it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) attachment: Option<Attachment>,
    pub(super) pod: Option<Pod>,
    /// Of the pod if it is in one; the first has the ports.
    connections: Vec<Connection>,
    pub(super) volumes: volumes::Taken,
}

impl Held {
    /// Takes everything. If that fails, or later something else does, [`give_back`] removes what was made.
    pub(super) fn take(
        name: &Name,
        unit: &Unit,
        options: &ContainerOptions,
        pod: Option<Pod>,
    ) -> anyhow::Result<Self> {
        // First: a volume may take long to fill, and a port that is in use is told at once.
        let (attachment, connections) = match &pod {
            Some(pod) => (None, pod.connections()?),
            None => {
                let attachment = network::connect(name, unit, options)?;
                let connections = attachment.as_ref().map(Attachment::connections);
                let connections = connections.map_or(Vec::new(), ToOwned::to_owned);
                (attachment, connections)
            }
        };
        Ok(Self {
            attachment,
            pod,
            connections,
            volumes: volumes::take(name, options)?,
        })
    }

    /// By which path the runtime finds the namespace of the networks.
    pub(super) fn network_namespace(&self) -> Option<PathBuf> {
        match &self.pod {
            Some(pod) => pod.network_namespace(),
            None => {
                let attachment = self.attachment.as_ref();
                attachment.map(|one| one.namespace_path().into())
            }
        }
    }

    /// What of the machine leads to the container.
    pub(super) fn ports(&self) -> &[BoundPort] {
        let first = self.connections.first();
        first.map_or(&[][..], |connection| connection.ports.as_slice())
    }

    /// The container's own in its first network, over IPv4 if it has one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let first = self.connections.first()?;
        first.addresses.first().copied()
    }

    fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let network = self.attachment.iter().flat_map(Attachment::descriptors);
        network.chain(self.volumes.uses.iter().map(AsFd::as_fd))
    }

    /// Lets the program that this one becomes hold it.
    pub(super) fn keep_across_exec(&self) -> anyhow::Result<()> {
        self.descriptors().try_for_each(keep_across_exec)
    }
}

/// Removes what was made for a container, or a pod. That there is nothing is no error, and one failure does not hinder the other.
pub(super) fn give_back(name: &Name) -> anyhow::Result<()> {
    let disconnected = network::disconnect(name);
    let removed = volumes::remove_nameless(name);
    let pod = Pod::held_by(name).map_or(Ok(()), |pod| pod.remove());
    disconnected.and(removed).and(pod)
}

/// Which containers and pods something was made for.
pub(super) fn holders() -> Vec<Name> {
    let mut names = network::connected();
    names.extend(volumes::with_nameless());
    names.extend(Pod::holders());
    names
}
