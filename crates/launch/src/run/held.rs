//! What a container holds of the machine while it runs: its users, its networks, its ports and its volumes. One in a pod
//! holds no network: the pod has them.
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
use super::user_namespace::{self, UserNamespace};
use super::{network, volumes};

/// All of it.
#[derive(Debug)]
pub(super) struct Held {
    /// Its own, if it has not the machine's.
    pub(super) users: Option<UserNamespace>,
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
        let users = match options.user_namespace {
            container_model::user_namespace::UserNamespace::Host => None,
            container_model::user_namespace::UserNamespace::Auto => {
                Some(UserNamespace::take(name)?)
            }
        };
        // First: a volume may take long to fill, and a port that is in use is told at once.
        let (attachment, connections) = match &pod {
            Some(pod) => (None, pod.connections()?),
            None => connect(name, unit, options, users.as_ref())?,
        };
        let mut volumes = volumes::take(name, options)?;
        if let Some(users) = &users {
            volumes.map(users)?;
        }
        Ok(Self {
            users,
            attachment,
            pod,
            connections,
            volumes,
        })
    }

    /// By which path the runtime finds the namespace of the networks.
    pub(super) fn network_namespace(&self) -> Option<PathBuf> {
        if let Some(pod) = &self.pod {
            return pod.network_namespace();
        }
        let attachment = self.attachment.as_ref();
        attachment.map(|one| one.namespace_path().into())
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
        let users = self.users.iter().map(UserNamespace::descriptor);
        let volumes = self.volumes.uses.iter().map(AsFd::as_fd);
        network.chain(users).chain(volumes)
    }

    /// Lets the program that this one becomes hold it.
    pub(super) fn keep_across_exec(&self) -> anyhow::Result<()> {
        self.descriptors().try_for_each(keep_across_exec)
    }
}

/// Puts the container into networks of its own, if it is in any.
fn connect(
    name: &Name,
    unit: &Unit,
    options: &ContainerOptions,
    users: Option<&UserNamespace>,
) -> anyhow::Result<(Option<Attachment>, Vec<Connection>)> {
    // A container rules a network only if that belongs to its users.
    let namespace = users.map(UserNamespace::network).transpose()?;
    let attachment = network::connect(name, unit, options, namespace)?;
    let connections = attachment.as_ref().map(Attachment::connections);
    let connections = connections.map_or(Vec::new(), ToOwned::to_owned);
    Ok((attachment, connections))
}

/// Removes what was made for a container, or a pod. That there is nothing is no error, and one failure does not hinder the other.
pub(super) fn give_back(name: &Name) -> anyhow::Result<()> {
    let disconnected = network::disconnect(name);
    let removed = volumes::remove_nameless(name);
    let given_back = user_namespace::give_back(name);
    let pod = Pod::held_by(name).map_or(Ok(()), |pod| pod.remove());
    disconnected.and(removed).and(given_back).and(pod)
}

/// Which containers and pods something was made for.
pub(super) fn holders() -> Vec<Name> {
    let mut names = network::connected();
    names.extend(volumes::with_nameless());
    names.extend(user_namespace::holders());
    names.extend(Pod::holders());
    names
}
