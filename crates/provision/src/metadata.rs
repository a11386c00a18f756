//! What a cloud's metadata service says of a machine: its user's data, name, keys, and facts.
//!
//! One service a module, each after its vendor's documentation. All of it is asked for before any of it is used. What
//! is not asked for: networks, credentials, data of vendors. Nothing is
//! reported back but, to Azure, that the machine is ready.

mod azure;
pub mod azure_readiness;
mod client;
mod digital_ocean;
mod ec2;
mod gce;
mod hetzner;
mod no_cloud;
mod open_stack;
mod wishes;

use std::collections::BTreeMap;

pub use client::{Client, MetadataError, Pace};

pub use wishes::Wishes;

use crate::platform::Platform;

/// All that is used of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// What the machine's owner gave it; `None` if nothing.
    pub user_data: Option<Vec<u8>>,
    /// The machine's name.
    pub hostname: Option<String>,
    /// Lines of `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// Facts by [`Fact`].
    pub facts: BTreeMap<Fact, String>,
}

/// Facts of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// Its number.
    InstanceId,
    /// Its size, as the cloud calls it.
    InstanceType,
    /// Where it is.
    Region,
    /// Where exactly.
    AvailabilityZone,
    /// Its address inside.
    LocalIpv4,
    /// Its address outside.
    PublicIpv4,
}

impl Fact {
    /// As a variable of a configuration.
    fn name(self) -> &'static str {
        match self {
            Self::InstanceId => "instance_id",
            Self::InstanceType => "instance_type",
            Self::Region => "region",
            Self::AvailabilityZone => "availability_zone",
            Self::LocalIpv4 => "private_ipv4",
            Self::PublicIpv4 => "public_ipv4",
        }
    }

    /// As a variable of a unit's environment.
    fn variable(self) -> &'static str {
        match self {
            Self::InstanceId => "KEELSON_INSTANCE_ID",
            Self::InstanceType => "KEELSON_INSTANCE_TYPE",
            Self::Region => "KEELSON_REGION",
            Self::AvailabilityZone => "KEELSON_AVAILABILITY_ZONE",
            Self::LocalIpv4 => "KEELSON_LOCAL_IPV4",
            Self::PublicIpv4 => "KEELSON_PUBLIC_IPV4",
        }
    }
}

impl Metadata {
    fn note(&mut self, fact: Fact, value: Option<String>) {
        let value = value.filter(|value| !value.is_empty());
        if let Some(value) = value {
            self.facts.insert(fact, value);
        }
    }
}

/// Asks a platform's service for all of it.
///
/// # Errors
/// If it does not answer in time, or not as it should.
pub fn read(platform: &Platform, client: &Client<'_>) -> Result<Metadata, MetadataError> {
    match platform {
        Platform::Azure => azure::read(client),
        Platform::DigitalOcean => digital_ocean::read(client),
        Platform::Ec2 => ec2::read(client),
        Platform::Gce => gce::read(client),
        Platform::Hetzner => hetzner::read(client),
        Platform::NoCloud(seed) => no_cloud::read(client, seed),
        Platform::OpenStack => open_stack::read(client),
    }
}

/// Lines that have something, without blanks around them.
fn lines(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
