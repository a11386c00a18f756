//! Keys and values of an announced container, in each form that is wanted.
//!
//! Ours is `PREFIX/SERVICE/MACHINE:CONTAINER:PORT` with JSON; `SkyDNS`' is the reversed domain, the service and a word
//! that can be part of a DNS name; registrator's is `PREFIX/SERVICE/HOST:CONTAINER:PORT` with `ADDRESS:PORT`. Ports that
//! are not TCP's have their protocol behind the number. Keys of one container never collide with those of another one.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::announcement::{Announcement, Health};
use super::service::{Address, Service};
use super::settings::{LayoutName, Settings};
use crate::port::Protocol;

/// Characters of a container's name in a DNS name.
const LABEL_MAX: usize = 30;
/// Digits of a machine's identity by which people know it.
const SHORT: usize = 8;

/// The machine that a container is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its identity.
    pub id: String,
    /// Its host name.
    pub host: String,
    /// By which others reach it; nothing if it has none.
    pub address: Option<IpAddr>,
}

/// Our value.
#[derive(Serialize)]
struct Value<'a> {
    address: IpAddr,
    port: u16,
    container_port: u16,
    protocol: Protocol,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: &'a BTreeMap<String, String>,
    container: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    machine: &'a str,
    host: &'a str,
    image: &'a str,
    digest: &'a str,
    health: Health,
}

/// `SkyDNS`' value, as far as it is known here.
#[derive(Serialize)]
struct Record {
    host: IpAddr,
    port: u16,
}

/// What the store is to have; nothing while the machine has no address that others reach.
pub fn entries(
    announcement: &Announcement,
    machine: &Machine,
    settings: &Settings,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for service in &announcement.services {
        let address = match service.address {
            Address::Given(address) => address,
            Address::Machine => match machine.address {
                Some(address) => address,
                None => continue,
            },
        };
        let entry = Entry {
            announcement,
            service,
            machine,
            address,
        };
        for layout in &settings.layouts {
            let (key, value) = match layout {
                LayoutName::Keelson => entry.keelson(settings),
                LayoutName::SkyDns => entry.skydns(settings),
                LayoutName::Registrator => entry.registrator(settings),
            };
            found.insert(key, value);
        }
    }
    found
}

struct Entry<'a> {
    announcement: &'a Announcement,
    service: &'a Service,
    machine: &'a Machine,
    address: IpAddr,
}

impl Entry<'_> {
    fn keelson(&self, settings: &Settings) -> (String, String) {
        let (announcement, service) = (self.announcement, self.service);
        let value = Value {
            address: self.address,
            port: service.port,
            container_port: service.container_port,
            protocol: service.protocol,
            tags: &service.tags,
            attributes: &service.attributes,
            container: announcement.container.as_str(),
            unit: announcement.unit.as_deref(),
            machine: &self.machine.id,
            host: &self.machine.host,
            image: &announcement.image,
            digest: &announcement.digest,
            health: announcement.health,
        };
        let key = format!(
            "{}/{}/{}",
            settings.keelson.prefix,
            service.name,
            self.id(&self.machine.id)
        );
        (key, json(&value))
    }

    fn skydns(&self, settings: &Settings) -> (String, String) {
        let name = format!("{}.{}", self.service.name, settings.skydns.domain);
        let reversed: Vec<&str> = name.split('.').rev().collect();
        let key = format!(
            "{}/{}/{}",
            settings.skydns.prefix,
            reversed.join("/").to_ascii_lowercase(),
            self.label()
        );
        let record = Record {
            host: self.address,
            port: self.service.port,
        };
        (key, json(&record))
    }

    fn registrator(&self, settings: &Settings) -> (String, String) {
        let id = self.service.id.clone();
        let id = id.map(|id| id.replace('/', "_"));
        let id = id.unwrap_or_else(|| self.id(&self.machine.host));
        let key = format!("{}/{}/{id}", settings.registrator.prefix, self.service.name);
        let port = self.service.port;
        (key, SocketAddr::new(self.address, port).to_string())
    }

    /// A port may be published at several addresses: then they have different numbers, or the addresses tell.
    fn id(&self, machine: &str) -> String {
        let service = self.service;
        let container = &self.announcement.container;
        let mut id = format!("{machine}:{container}:{}", service.container_port);
        if service.protocol != Protocol::Tcp {
            id = format!("{id}:{}", service.protocol);
        }
        if self.is_published_again() {
            id = format!("{id}@{}:{}", self.address, service.port);
        }
        id
    }

    /// Whether an earlier service of that name has the same port of the container.
    fn is_published_again(&self) -> bool {
        let own = self.service;
        let mut before = self.announcement.services.iter();
        let is_same = |other: &&Service| {
            (&other.name, other.container_port, other.protocol)
                == (&own.name, own.container_port, own.protocol)
        };
        before.find(is_same).is_some_and(|first| first != own)
    }

    /// A word of a DNS name that no other container's port has.
    fn label(&self) -> String {
        let name = self.announcement.container.as_str();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let mut label: String = name.chars().take(LABEL_MAX).map(plain).collect();
        if label != name {
            label = format!("{label}-{}", &hexadecimal(name)[..SHORT]);
        }
        let machine = &self.machine.id[..self.machine.id.len().min(SHORT)];
        let mut label = format!("{machine}-{label}-{}", self.service.container_port);
        if self.service.protocol != Protocol::Tcp {
            label = format!("{label}-{}", self.service.protocol);
        }
        if self.is_published_again() {
            let address = format!("{}:{}", self.address, self.service.port);
            label = format!("{label}-{}", &hexadecimal(&address)[..SHORT]);
        }
        label
    }
}

fn hexadecimal(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        // Into a string: it cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

/// Strings, numbers and maps of strings: it cannot fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, port: u16, container_port: u16) -> Service {
        Service {
            name: name.to_owned(),
            address: Address::Machine,
            port,
            container_port,
            protocol: Protocol::Tcp,
            tags: Vec::new(),
            id: None,
            attributes: BTreeMap::new(),
        }
    }

    fn announcement(container: &str, services: Vec<Service>) -> Announcement {
        Announcement {
            container: container.parse().unwrap(),
            process: 1,
            process_started: 1,
            unit: Some("web.service".to_owned()),
            image: "docker.io/library/busybox:1".to_owned(),
            digest: "sha256:00".to_owned(),
            health: Health::Healthy,
            services,
        }
    }

    fn machine(address: &str) -> Machine {
        Machine {
            id: "0123456789abcdef".to_owned(),
            host: "m1".to_owned(),
            address: address.parse().ok(),
        }
    }

    fn made(layout: &str, announcement: &Announcement) -> Vec<(String, String)> {
        let settings = Settings::parse(&format!("layouts = [\"{layout}\"]")).unwrap();
        entries(announcement, &machine("10.0.0.1"), &settings)
            .into_iter()
            .collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn our_values_have_all_that_is_known() {
        let mut udp = service("dns.shop", 53, 5353);
        udp.protocol = Protocol::Udp;
        udp.tags = vec!["a".to_owned()];
        udp.attributes = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
        udp.address = Address::Given("10.0.0.9".parse().unwrap());
        let both = announcement("c", vec![service("web", 8080, 80), udp]);
        let rest = r#""container":"c","unit":"web.service","machine":"0123456789abcdef","host":"m1","image":"docker.io/library/busybox:1","digest":"sha256:00","health":"healthy"}"#;
        let expected = [
            pair(
                "/keelson/services/dns.shop/0123456789abcdef:c:5353:udp",
                &format!(
                    r#"{{"address":"10.0.0.9","port":53,"container_port":5353,"protocol":"udp","tags":["a"],"attributes":{{"region":"eu"}},{rest}"#
                ),
            ),
            pair(
                "/keelson/services/web/0123456789abcdef:c:80",
                &format!(
                    r#"{{"address":"10.0.0.1","port":8080,"container_port":80,"protocol":"tcp",{rest}"#
                ),
            ),
        ];
        assert_eq!(made("keelson", &both), expected);
    }

    #[test]
    fn skydns_finds_them_by_reversed_names() {
        let one = announcement("web", vec![service("Web.shop", 8080, 80)]);
        assert_eq!(
            made("skydns", &one),
            [pair(
                "/skydns/local/skydns/shop/web/01234567-web-80",
                r#"{"host":"10.0.0.1","port":8080}"#
            )]
        );
        // A name that is no word of DNS is told apart from one that looks like it.
        let label = |name: &str| {
            let (key, _) = made("skydns", &announcement(name, vec![service("w", 1, 2)])).remove(0);
            key.rsplit_once('/').unwrap().1.to_owned()
        };
        let long = "a".repeat(128);
        let labels = [
            label("a_b"),
            label("a.b"),
            label("A-b"),
            label("a-b"),
            label(&long),
        ];
        for (at, label) in labels.iter().enumerate() {
            assert!(label.len() <= 63, "{label}");
            assert!(!labels[..at].contains(label), "{label}");
        }
    }

    #[test]
    fn registrator_had_an_address_and_a_port() {
        let mut named = service("web", 443, 443);
        named.id = Some("a/b".to_owned());
        let both = announcement("c", vec![service("web", 8080, 80), named]);
        let expected = [
            pair("/services/web/a_b", "10.0.0.1:443"),
            pair("/services/web/m1:c:80", "10.0.0.1:8080"),
        ];
        assert_eq!(made("registrator", &both), expected);
        let mut v6 = service("web", 1, 2);
        v6.address = Address::Given("fd00::1".parse().unwrap());
        let found = made("registrator", &announcement("c", vec![v6]));
        assert_eq!(found[0].1, "[fd00::1]:1");
    }

    #[test]
    fn one_port_at_two_addresses_is_two_keys() {
        let mut other = service("web", 8080, 80);
        other.address = Address::Given("10.0.0.9".parse().unwrap());
        let both = announcement("c", vec![service("web", 8080, 80), other]);
        for layout in ["keelson", "skydns", "registrator"] {
            assert_eq!(made(layout, &both).len(), 2, "{layout}");
        }
    }

    #[test]
    fn layouts_are_written_at_once_and_none_without_an_address() {
        let one = announcement("c", vec![service("web", 1, 2)]);
        let text = "layouts = [\"keelson\", \"skydns\", \"registrator\"]";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(entries(&one, &machine("10.0.0.1"), &settings).len(), 3);
        assert_eq!(entries(&one, &machine(""), &settings).len(), 0);
    }
}
