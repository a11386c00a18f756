//! The table `cluster`: a machine that comes up as a member of a key-value store, with its fleet.
//!
//! ```toml
//! [cluster]
//! name = "m1"                                   # else `hostname`
//! members = { m1 = "10.0.0.1", m2 = "10.0.0.2", m3 = "10.0.0.3" }
//! # or: discovery = "https://discovery.example.com/TOKEN"  and  address = "10.0.0.1"
//! # or: dns = "example.com"                                 and  address = "m1.example.com"
//! metadata = { disk = "ssd", zone = "$availability_zone" }   # variables: see [`crate::Variables`]
//! tls = { authority = "…", certificate = "…", key = "…" }   # PEM
//! ```
//!
//! It comes to files: `/etc/keelson/kvd.toml`, `/etc/keelson/fleet.toml`, and those of TLS. Settings beyond these are for
//! whoever writes the files instead. With `tls` the fleet's API is offered to other machines, too, by the same certificates;
//! what one may do there its organizational unit says.

use core::net::IpAddr;

use toml::{Table, Value};

use super::Reading;
use super::keys::{Cluster, ClusterTls};
use crate::key_path::KeyPath;
use crate::plan::{Account, Contents, File, Mode, Node, Overwrite, Stated, Writing};

const KVD_SETTINGS: &str = "/etc/keelson/kvd.toml";
const FLEET_SETTINGS: &str = "/etc/keelson/fleet.toml";
const AUTHORITY: &str = "/etc/keelson/cluster/authority.pem";
const CERTIFICATE: &str = "/etc/keelson/cluster/certificate.pem";
const KEY: &str = "/etc/keelson/cluster/key.pem";
/// The group that kvd runs in.
const KVD_GROUP: &str = "kvd";
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// Of the fleet's API.
const FLEET_PORT: u16 = 49153;

/// A member that the settings are written for.
struct Member<'a> {
    name: &'a str,
    address: &'a str,
    cluster: &'a Cluster,
}

impl Reading {
    pub(super) fn cluster(&mut self, cluster: &Cluster) {
        let key = KeyPath::top().key("cluster");
        let before = self.problems.len();
        let name = self.member_name(cluster, &key);
        let address = self.member_address(cluster, name.as_deref(), &key);
        self.check_cluster(cluster, &key);
        let (Some(name), Some(address)) = (name, address) else {
            return;
        };
        if self.problems.len() > before {
            return;
        }
        let member = Member {
            name: &name,
            address: &address,
            cluster,
        };
        self.settings_file(KVD_SETTINGS, &member.kvd(), &key);
        self.settings_file(FLEET_SETTINGS, &member.fleet(), &key);
        if let Some(tls) = &cluster.tls {
            self.tls_files(tls, &key.key("tls"));
        }
    }

    fn member_name(&mut self, cluster: &Cluster, key: &KeyPath) -> Option<String> {
        let hostname = self.plan.hostname.as_ref().map(|name| name.value.clone());
        let name = cluster.name.clone().or(hostname);
        if name.is_none() {
            self.problem(key, "says no name of this member, and there is no hostname");
        }
        name
    }

    /// That of the member's name in the list, if there is a list.
    fn member_address(
        &mut self,
        cluster: &Cluster,
        name: Option<&str>,
        key: &KeyPath,
    ) -> Option<String> {
        let listed = name.and_then(|name| cluster.members.get(name));
        if !cluster.members.is_empty() && listed.is_none() {
            let text = format!(
                "this member, {:?}, is not among them",
                name.unwrap_or_default()
            );
            self.problem(&key.key("members"), text);
            return None;
        }
        let address = cluster.address.clone().or(listed.cloned());
        if address.is_none() {
            self.problem(key, "says no address at which others reach this member");
        }
        address
    }

    fn check_cluster(&mut self, cluster: &Cluster, key: &KeyPath) {
        let is_listed = !cluster.members.is_empty();
        let ways = [
            is_listed,
            cluster.discovery.is_some(),
            cluster.dns.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() != 1 {
            self.problem(key, "has to have one of members, discovery and dns");
        }
        for (name, address) in &cluster.members {
            if !is_word(name) {
                self.problem(&key.key("members").key(name), "is no name of a member");
            }
            self.check_address(address, &key.key("members").key(name));
        }
        if let Some(address) = &cluster.address {
            self.check_address(address, &key.key("address"));
        }
        if let Some(name) = cluster.name.as_ref().filter(|name| !is_word(name)) {
            self.problem(&key.key("name"), format!("{name:?} is no name of a member"));
        }
        if let Some(domain) = cluster.dns.as_ref().filter(|domain| !is_word(domain)) {
            self.problem(&key.key("dns"), format!("{domain:?} is no domain"));
        }
        if let Some(url) = &cluster.discovery
            && !url.starts_with("http://")
            && !url.starts_with("https://")
        {
            let text = format!("{url:?} is no address of http or https");
            self.problem(&key.key("discovery"), text);
        }
        for (name, value) in &cluster.metadata {
            if name.is_empty() || [name, value].iter().any(|text| text.contains(['=', ','])) {
                let text = "has an equals sign or a comma, which separate metadata, or no name";
                self.problem(&key.key("metadata").key(name), text);
            }
        }
    }

    fn check_address(&mut self, address: &str, key: &KeyPath) {
        if address.parse::<IpAddr>().is_err() && !is_word(address) {
            let text = format!("{address:?} is neither an IP address nor a host's name");
            self.problem(key, text);
        }
    }

    fn settings_file(&mut self, path: &str, settings: &Table, key: &KeyPath) {
        self.cluster_file(path, &settings.to_string(), None, key);
    }

    /// The key is for root, and for the store's daemon, which is not root.
    fn tls_files(&mut self, tls: &ClusterTls, key: &KeyPath) {
        let certificate = "-----BEGIN CERTIFICATE-----";
        for (path, text, begin, secret, name) in [
            (AUTHORITY, &tls.authority, certificate, None, "authority"),
            (
                CERTIFICATE,
                &tls.certificate,
                certificate,
                None,
                "certificate",
            ),
            (KEY, &tls.key, "PRIVATE KEY-----", Some(KVD_GROUP), "key"),
        ] {
            if !text.contains(begin) {
                self.problem(&key.key(name), "is not PEM of that kind");
            }
            self.cluster_file(path, text, secret, &key.key(name));
        }
    }

    fn cluster_file(&mut self, path: &str, text: &str, group: Option<&str>, key: &KeyPath) {
        let file = File {
            node: Node {
                overwrite: Overwrite::Replace,
                group: group.map(|name| Account::Name(name.to_owned())),
                ..Node::new(path)
            },
            mode: group.and_then(|_| Mode::new(0o640)),
            writing: Writing::Whole(Contents::inline(text)),
        };
        self.plan.files.push(Stated::new(file, key.clone()));
    }
}

impl Member<'_> {
    fn scheme(&self) -> &'static str {
        if self.cluster.tls.is_some() {
            "https"
        } else {
            "http"
        }
    }

    fn url(&self, address: &str, port: u16) -> String {
        let scheme = self.scheme();
        if address.contains(':') {
            return format!("{scheme}://[{address}]:{port}");
        }
        format!("{scheme}://{address}:{port}")
    }

    /// Whichever address the machine has by the time that a daemon listens.
    fn everywhere(&self) -> &'static str {
        if self.address.contains(':') {
            "::"
        } else {
            "0.0.0.0"
        }
    }

    /// kvd's flags.
    fn kvd(&self) -> Table {
        let mut table = Table::new();
        let mut set = |name: &str, value: Value| table.insert(name.to_owned(), value);
        set("name", self.name.into());
        let everywhere = self.everywhere();
        set("listen-peer-urls", self.url(everywhere, PEER_PORT).into());
        set(
            "listen-client-urls",
            self.url(everywhere, CLIENT_PORT).into(),
        );
        set(
            "initial-advertise-peer-urls",
            self.url(self.address, PEER_PORT).into(),
        );
        set(
            "advertise-client-urls",
            self.url(self.address, CLIENT_PORT).into(),
        );
        let cluster = self.cluster;
        if let Some(url) = &cluster.discovery {
            set("discovery", url.as_str().into());
        }
        if let Some(domain) = &cluster.dns {
            set("discovery-srv", domain.as_str().into());
        }
        let members = cluster.members.iter();
        let members: Vec<_> = members
            .map(|(name, address)| format!("{name}={}", self.url(address, PEER_PORT)))
            .collect();
        if !members.is_empty() {
            set("initial-cluster", members.into());
        }
        if let Some(token) = &cluster.token {
            set("initial-cluster-token", token.as_str().into());
        }
        if cluster.tls.is_some() {
            for prefix in ["", "peer-"] {
                set(&format!("{prefix}cert-file"), CERTIFICATE.into());
                set(&format!("{prefix}key-file"), KEY.into());
                set(&format!("{prefix}trusted-ca-file"), AUTHORITY.into());
                set(&format!("{prefix}client-cert-auth"), true.into());
            }
        }
        table
    }

    /// fleetd's settings: the store is this member, and the others that are known.
    fn fleet(&self) -> Table {
        let mut table = Table::new();
        let mut set = |name: &str, value: Value| table.insert(name.to_owned(), value);
        let others = self.cluster.members.values();
        let others = others.filter(|address| *address != self.address);
        let servers = std::iter::once(self.address).chain(others.map(String::as_str));
        let servers: Vec<_> = servers
            .map(|address| self.url(address, CLIENT_PORT))
            .collect();
        set("etcd-servers", servers.into());
        if self.address.parse::<IpAddr>().is_ok() {
            set("public-ip", self.address.into());
        }
        let metadata = self.cluster.metadata.iter();
        let metadata: Table = metadata
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        if !metadata.is_empty() {
            set("metadata", metadata.into());
        }
        if self.cluster.tls.is_some() {
            let url = self.url(self.everywhere(), FLEET_PORT);
            set("listen", url.trim_start_matches("https://").into());
            for prefix in ["etcd", "tls"] {
                set(&format!("{prefix}-cafile"), AUTHORITY.into());
                set(&format!("{prefix}-certfile"), CERTIFICATE.into());
                set(&format!("{prefix}-keyfile"), KEY.into());
            }
        }
        table
    }
}

/// Letters, digits, and what names of hosts have beside them.
fn is_word(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !text.is_empty() && text.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use crate::plan::{Plan, Source, Writing};
    use crate::{Configuration, Variables, parse};

    fn plan(text: &str) -> Plan {
        parse(text.as_bytes()).unwrap().1
    }

    fn text(plan: &Plan, path: &str) -> String {
        let mut files = plan.files.iter();
        let file = files.find(|file| file.value.node.path == path);
        let file = file.unwrap_or_else(|| panic!("no {path}"));
        let Writing::Whole(contents) = &file.value.writing else {
            panic!("{path} is not whole");
        };
        let Source::Inline(bytes) = &contents.source else {
            panic!("{path} is remote");
        };
        String::from_utf8(bytes.clone()).unwrap()
    }

    #[test]
    fn members_are_named_to_the_store_and_its_fleet() {
        let plan = plan(
            "hostname = 'm2'\n[cluster]\nmetadata = { disk = 'ssd' }\n\
             members = { m1 = '10.0.0.1', m2 = '10.0.0.2', m3 = 'fd00::3' }\n",
        );
        let kvd: toml::Table = text(&plan, "/etc/keelson/kvd.toml").parse().unwrap();
        assert_eq!(kvd["name"].as_str(), Some("m2"));
        let cluster = toml::Value::from(vec![
            "m1=http://10.0.0.1:2380",
            "m2=http://10.0.0.2:2380",
            "m3=http://[fd00::3]:2380",
        ]);
        assert_eq!(kvd["initial-cluster"], cluster);
        let advertised = kvd["initial-advertise-peer-urls"].as_str();
        assert_eq!(advertised, Some("http://10.0.0.2:2380"));
        let fleet: toml::Table = text(&plan, "/etc/keelson/fleet.toml").parse().unwrap();
        assert_eq!(fleet["public-ip"].as_str(), Some("10.0.0.2"));
        assert_eq!(fleet["metadata"]["disk"].as_str(), Some("ssd"));
        assert_eq!(
            fleet["etcd-servers"][0].as_str(),
            Some("http://10.0.0.2:2379")
        );
        assert_eq!(fleet["etcd-servers"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn discovery_and_dns_need_an_address() {
        for (way, flag) in [
            ("discovery = 'https://d/1'", "discovery"),
            ("dns = 'example.com'", "discovery-srv"),
        ] {
            let plan = plan(&format!(
                "[cluster]\nname = 'a'\naddress = 'a.example.com'\n{way}\n"
            ));
            let kvd = text(&plan, "/etc/keelson/kvd.toml");
            assert!(kvd.contains(&format!("{flag} = ")), "{kvd}");
            assert!(!kvd.contains("initial-cluster ="), "{kvd}");
            let fleet = text(&plan, "/etc/keelson/fleet.toml");
            assert!(!fleet.contains("public-ip"), "{fleet}");
        }
    }

    #[test]
    fn what_the_platform_says_of_the_machine_stands_for_variables() {
        let text = "[cluster]\nname = '$hostname'\naddress = '$private_ipv4'\n\
                    discovery = 'https://d/1'\nmetadata = { zone = '$availability_zone' }\n\
                    [[files]]\npath = '/etc/a'\ncontents = '$private_ipv4'\n";
        let mut variables = Variables::default();
        for (name, value) in [("hostname", "n7"), ("private_ipv4", "10.0.0.7")] {
            variables.set(name, value);
        }
        let problems = Configuration::parse(text.as_bytes(), variables.clone()).unwrap_err();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(
            told[0].starts_with("5:14: cluster.metadata.zone: $availability_zone is not known"),
            "{told:?}"
        );
        variables.set("availability_zone", "eu-1a");
        let plan = Configuration::parse(text.as_bytes(), variables)
            .unwrap()
            .plan;
        let kvd = self::text(&plan, "/etc/keelson/kvd.toml");
        assert!(kvd.contains("name = \"n7\""), "{kvd}");
        assert!(kvd.contains("\"http://10.0.0.7:2380\""), "{kvd}");
        let fleet = self::text(&plan, "/etc/keelson/fleet.toml");
        assert!(fleet.contains("zone = \"eu-1a\""), "{fleet}");
        assert_eq!(
            self::text(&plan, "/etc/a"),
            "$private_ipv4",
            "not a cluster's"
        );
        assert!(
            parse(text.as_bytes()).is_ok(),
            "away from the machine it is judged"
        );
    }

    #[test]
    fn a_key_is_for_the_store_alone() {
        let pem = |kind: &str| format!("-----BEGIN {kind}-----\\nAA\\n-----END {kind}-----\\n");
        let (certificate, key) = (pem("CERTIFICATE"), pem("EC PRIVATE KEY"));
        let plan = plan(&format!(
            "[cluster]\nname = 'a'\nmembers = {{ a = '10.0.0.1' }}\n\
             tls = {{ authority = \"{certificate}\", certificate = \"{certificate}\", key = \"{key}\" }}\n"
        ));
        let kvd = text(&plan, "/etc/keelson/kvd.toml");
        assert!(kvd.contains("peer-client-cert-auth = true"), "{kvd}");
        assert!(kvd.contains("a=https://10.0.0.1:2380"), "{kvd}");
        let fleet: toml::Table = text(&plan, "/etc/keelson/fleet.toml").parse().unwrap();
        assert_eq!(fleet["listen"].as_str(), Some("0.0.0.0:49153"));
        assert_eq!(fleet["tls-keyfile"], fleet["etcd-keyfile"]);
        let mut files = plan.files.iter();
        let file = files.find(|file| file.value.node.path.ends_with("/key.pem"));
        let file = &file.unwrap().value;
        assert_eq!(file.mode.unwrap().to_string(), "0640");
        assert_eq!(file.node.group.as_ref().unwrap().to_string(), "kvd");
    }
}
