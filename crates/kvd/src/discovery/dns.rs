//! The first members by DNS: SRV records `_etcd-server-ssl._tcp` and `_etcd-server._tcp`.
//!
//! All members must read the same list, names included, and SRV records have no names. So a member
//! is named by the host its record points to, by the first label where that tells them apart.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

use crate::endpoint::{Endpoint, Place};

/// Why DNS names no cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnsError {
    /// The system's resolver cannot be used.
    #[error("--discovery-srv={domain}: cannot ask DNS: {reason}")]
    Resolver { domain: String, reason: String },
    /// No such records.
    #[error("--discovery-srv={domain}: no SRV records at {asked}: {reason}")]
    NoRecords {
        domain: String,
        asked: String,
        reason: String,
    },
}

/// The members found, and which one this is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) members: Vec<(String, Vec<String>)>,
    /// The name of the member whose record is at an address that we advertise.
    pub(crate) own_name: Option<String>,
}

/// Asks for the records of a domain; the suffix is of --discovery-srv-name.
pub(crate) async fn find_by_dns(
    domain: &str,
    suffix: &str,
    advertised: &[String],
) -> Result<Found, DnsError> {
    let resolver = TokioResolver::builder_tokio()
        .and_then(hickory_resolver::ResolverBuilder::build)
        .map_err(|error| DnsError::Resolver {
            domain: domain.to_owned(),
            reason: error.to_string(),
        })?;
    let endpoints = records(&resolver, domain, suffix).await?;
    let own = own_record(&resolver, &endpoints, advertised).await;
    let members = name_members(&endpoints);
    let own_name = own.map(|position| members[position].0.clone());
    let mut members: Vec<_> = (members.into_iter())
        .map(|(name, url)| (name, vec![url]))
        .collect();
    members.sort();
    Ok(Found { members, own_name })
}

/// What the records of a domain point to.
async fn records(
    resolver: &TokioResolver,
    domain: &str,
    suffix: &str,
) -> Result<Vec<Endpoint>, DnsError> {
    let mut endpoints = Vec::new();
    let mut reasons = Vec::new();
    let mut asked = Vec::new();
    for (service, tls) in [("etcd-server-ssl", true), ("etcd-server", false)] {
        let name = service_name(service, suffix, domain);
        match resolver.srv_lookup(name.as_str()).await {
            Ok(lookup) => {
                let records = lookup
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::SRV(srv) => Some((srv.target.to_utf8(), srv.port)),
                        _ => None,
                    });
                endpoints.extend(records.map(|(host, port)| endpoint(&host, port, tls)));
            }
            Err(error) => reasons.push(error.to_string()),
        }
        asked.push(name);
    }
    if endpoints.is_empty() {
        return Err(DnsError::NoRecords {
            domain: domain.to_owned(),
            asked: asked.join(" and "),
            reason: reasons
                .pop()
                .unwrap_or_else(|| "the answers are empty".to_owned()),
        });
    }
    Ok(endpoints)
}

/// The record that is this member's: the one that reads as an advertised URL, or else, as etcd has it,
/// one at the same address and port.
async fn own_record(
    resolver: &TokioResolver,
    endpoints: &[Endpoint],
    advertised: &[String],
) -> Option<usize> {
    let reads_alike = |one: &Endpoint| advertised.contains(&one.to_string());
    if let Some(position) = endpoints.iter().position(reads_alike) {
        return Some(position);
    }
    let mut own = BTreeSet::new();
    for one in advertised.iter().filter_map(|url| url.parse().ok()) {
        own.extend(addresses(resolver, &one).await);
    }
    for (position, one) in endpoints.iter().enumerate() {
        if !own.is_disjoint(&addresses(resolver, one).await) {
            return Some(position);
        }
    }
    None
}

/// Where an endpoint is, and whether TLS is spoken there; nowhere if its host is unknown.
async fn addresses(resolver: &TokioResolver, endpoint: &Endpoint) -> BTreeSet<(bool, SocketAddr)> {
    let Place::Tcp { host, port } = &endpoint.place else {
        return BTreeSet::new();
    };
    let found: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => (resolver.lookup_ip(host.as_str()).await)
            .map(|lookup| lookup.iter().collect())
            .unwrap_or_default(),
    };
    (found.into_iter())
        .map(|address| (endpoint.tls, SocketAddr::new(address, *port)))
        .collect()
}

fn service_name(service: &str, suffix: &str, domain: &str) -> String {
    let dash = if suffix.is_empty() { "" } else { "-" };
    let domain = domain.trim_end_matches('.');
    format!("_{service}{dash}{suffix}._tcp.{domain}.")
}

fn endpoint(host: &str, port: u16, tls: bool) -> Endpoint {
    let host = host.trim_end_matches('.').to_owned();
    let place = Place::Tcp { host, port };
    Endpoint { tls, place }
}

/// Gives every endpoint a name that depends on the list alone, and its URL, in the order of the list.
fn name_members(endpoints: &[Endpoint]) -> Vec<(String, String)> {
    let unique = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let hosts: Vec<String> = endpoints
        .iter()
        .map(|one| match &one.place {
            Place::Tcp { host, .. } => host.clone(),
            Place::Unix(path) => path.display().to_string(),
        })
        .collect();
    let labels: Vec<String> = hosts
        .iter()
        .map(|host| host.split('.').next().unwrap_or_default().to_owned())
        .collect();
    let names = if unique(&labels) {
        labels
    } else if unique(&hosts) {
        hosts
    } else {
        endpoints.iter().map(Endpoint::authority).collect()
    };
    let urls = endpoints.iter().map(ToString::to_string);
    names.into_iter().zip(urls).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(targets: &[(&str, u16)]) -> Vec<String> {
        let endpoints: Vec<Endpoint> = targets
            .iter()
            .map(|(host, port)| endpoint(host, *port, false))
            .collect();
        let named = name_members(&endpoints).into_iter();
        named.map(|(name, _)| name).collect()
    }

    #[test]
    fn members_are_named_by_what_tells_them_apart() {
        assert_eq!(names(&[("b.x.org.", 1), ("a.x.org.", 1)]), ["b", "a"]);
        let two_domains = names(&[("a.x.org.", 1), ("a.y.org.", 1)]);
        assert_eq!(two_domains, ["a.x.org", "a.y.org"]);
        assert_eq!(names(&[("a.", 1), ("a.", 2)]), ["a:1", "a:2"]);
    }

    #[test]
    fn services_are_named_as_etcd_names_them() {
        let name = service_name("etcd-server-ssl", "", "example.com");
        assert_eq!(name, "_etcd-server-ssl._tcp.example.com.");
        let name = service_name("etcd-server", "blue", "example.com.");
        assert_eq!(name, "_etcd-server-blue._tcp.example.com.");
    }
}
