//! A client as the flags and the environment want it.
//!
//! Flags count before `KVCTL_…`, and that before etcdctl's `ETCDCTL_…`, and that before what this machine's member says.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kv_client::{Client, Config, Endpoint, Error, Observer, Request, Tls};

use crate::arguments::Global;
use crate::failure::Failure;
use crate::local_member::{LocalMember, local_member};
use crate::password;

const DEFAULT_ENDPOINTS: &str = "http://127.0.0.1:2379,http://127.0.0.1:4001";

/// A variable of the environment: ours, then etcdctl's.
pub(crate) fn variable(name: &str) -> Option<String> {
    ["KVCTL_", "ETCDCTL_"]
        .iter()
        .filter_map(|prefix| std::env::var(format!("{prefix}{name}")).ok())
        .find(|value| !value.is_empty())
}

pub(crate) fn file(flag: Option<&PathBuf>, name: &str) -> Option<PathBuf> {
    flag.cloned().or_else(|| variable(name).map(PathBuf::from))
}

/// The servers that were named, else this machine's member if it wants TLS, else those of the default.
pub(crate) fn named_or_local(named: Option<String>, default: &str) -> Result<LocalMember, String> {
    let with_endpoints = |endpoints: String| LocalMember {
        endpoints,
        tls: Tls::default(),
    };
    if let Some(endpoints) = named {
        return Ok(with_endpoints(endpoints));
    }
    let local = local_member()?;
    Ok(local.unwrap_or_else(|| with_endpoints(default.to_owned())))
}

/// What the flags and the environment say.
pub(crate) fn config(global: &Global) -> Result<Config, Failure> {
    if global.discovery_srv.is_some() || variable("DISCOVERY_SRV").is_some() {
        let text = "kvctl does not look up SRV records; name the servers with --endpoints";
        return Err(Failure::Plain(text.to_owned()));
    }
    let given = global.endpoints.clone().filter(|text| !text.is_empty());
    let given = given
        .or_else(|| variable("ENDPOINTS"))
        .or_else(|| variable("ENDPOINT"))
        .or_else(|| variable("PEERS"));
    let LocalMember { endpoints, tls } =
        named_or_local(given, DEFAULT_ENDPOINTS).map_err(Failure::Plain)?;
    let mut config = Config::new(endpoints.split(',')).map_err(Failure::plain)?;
    config.tls = Tls {
        trusted_ca_file: file(global.ca_file.as_ref(), "CA_FILE").or(tls.trusted_ca_file),
        certificate_file: file(global.cert_file.as_ref(), "CERT_FILE").or(tls.certificate_file),
        key_file: file(global.key_file.as_ref(), "KEY_FILE").or(tls.key_file),
    };
    let user = global.username.clone().or_else(|| variable("USERNAME"));
    config.credentials = user
        .map(|user| password::split_or_ask(&user, "Password: "))
        .transpose()?;
    config.request_timeout = unless_zero(global.timeout);
    config.connect_timeout = unless_zero(global.timeout);
    config.total_timeout = unless_zero(global.total_timeout);
    if global.debug {
        config.observer = Some(observer());
    }
    Ok(config)
}

/// Go's zero means without end.
pub(crate) fn unless_zero(duration: Duration) -> Duration {
    if duration.is_zero() {
        Duration::from_hours(24)
    } else {
        duration
    }
}

fn observer() -> Observer {
    Arc::new(|endpoint: &Endpoint, request: &Request| {
        let (method, target) = (request.method(), request.target());
        let is_bare = request.body().is_empty() && matches!(method, "GET" | "DELETE");
        let body = if is_bare {
            String::new()
        } else {
            format!(" -d {:?}", String::from_utf8_lossy(request.body()))
        };
        eprintln!("cURL Command: curl -X {method} {endpoint}{target}{body}");
    })
}

fn list(client: &Client, separator: &str) -> String {
    let endpoints: Vec<String> = client.endpoints().iter().map(ToString::to_string).collect();
    endpoints.join(separator)
}

/// A client that asks only the endpoints that were named.
pub(crate) fn open_without_sync(global: &Global) -> Result<Client, Failure> {
    let client = Client::new(config(global)?).map_err(Failure::plain)?;
    if global.debug {
        eprintln!("Cluster-Endpoints: {}", list(&client, ", "));
    }
    Ok(client)
}

/// A client that asks the endpoints that the members publish, unless that is not wanted.
pub(crate) async fn open(global: &Global) -> Result<Client, Failure> {
    if global.no_sync {
        return open_without_sync(global);
    }
    let client = Client::new(config(global)?).map_err(Failure::plain)?;
    if global.debug {
        eprintln!(
            "start to sync cluster using endpoints({})",
            list(&client, ",")
        );
    }
    match client.sync().await {
        Err(error @ Error::NoPublishedEndpoints) => {
            eprintln!("etcd cluster has no published client endpoints.");
            eprintln!(
                "Try '--no-sync' if you want to access non-published client endpoints({}).",
                list(&client, ",")
            );
            return Err(Failure::Request(error));
        }
        Err(error) if error.is_connection() => return Err(Failure::Connection(error)),
        // Whoever may not see the members can still use keys.
        Ok(()) | Err(_) => {}
    }
    if global.debug {
        eprintln!("got endpoints({}) after sync", list(&client, ","));
        eprintln!("Cluster-Endpoints: {}", list(&client, ", "));
    }
    Ok(client)
}
