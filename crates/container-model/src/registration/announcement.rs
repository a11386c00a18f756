//! What is handed from `launch run` to fleetd, and what fleetd leaves for whoever asks.
//!
//! Both are files in `/run`, which no other version of these programs reads after an update.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::service::Service;
use crate::name::Name;

/// What is known of a container that is to be found. It is made before the payload starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// The container's, as people know it; the file's name is its own.
    pub container: Name,
    /// The process whose end is the container's: its monitor.
    pub process: u32,
    /// When that was started, as the kernel counts in `/proc/PID/stat`: numbers are given again.
    pub process_started: u64,
    /// Its unit, if it has one, such as `web.service`.
    pub unit: Option<String>,
    /// The image's full name.
    pub image: String,
    /// Of the image's manifest or index.
    pub digest: String,
    /// What is known of its health as long as it is announced.
    pub health: Health,
    /// At least one.
    pub services: Vec<Service>,
}

/// Of a container that is announced. One that is unhealthy is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Its checks succeed.
    Healthy,
    /// It has no checks.
    Unchecked,
}

/// What fleetd wrote into the store for a container, or was about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Whether the store has it for certain.
    pub confirmed: bool,
    /// The machine's lease, in hexadecimal digits as etcdctl has it.
    pub lease: String,
    /// Keys and values.
    pub entries: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Protocol;
    use crate::registration::Address;

    #[test]
    fn announcements_are_read_as_they_are_written() {
        let announcement = Announcement {
            container: "web".parse().unwrap(),
            process: 7,
            process_started: 9,
            unit: None,
            image: "docker.io/library/busybox:latest".to_owned(),
            digest: "sha256:0".to_owned(),
            health: Health::Unchecked,
            services: vec![Service {
                name: "web".to_owned(),
                address: Address::Given("10.0.0.1".parse().unwrap()),
                port: 1,
                container_port: 2,
                protocol: Protocol::Tcp,
                tags: Vec::new(),
                id: None,
                attributes: BTreeMap::new(),
            }],
        };
        let text = serde_json::to_string(&announcement).unwrap();
        assert_eq!(
            serde_json::from_str::<Announcement>(&text).unwrap(),
            announcement
        );
        let later = text.replacen('{', "{\"colour\":1,", 1);
        assert!(serde_json::from_str::<Announcement>(&later).is_err());
    }
}
