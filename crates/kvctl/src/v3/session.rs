//! A v3 client as the flags and the environment want it.
//!
//! Flags count before `KVCTL_…`, and that before etcdctl's `ETCDCTL_…`, and that before what this machine's member says.
use kv_client::v3::{Client, Leader};
use kv_client::{Config, Credentials, Tls};

use crate::local_member::LocalMember;
use crate::password;
use crate::session::{file, named_or_local, unless_zero, variable};
use crate::v3::arguments::Global;
use crate::v3::failure::{Failure, exit_status};

const DEFAULT_ENDPOINT: &str = "127.0.0.1:2379";

/// The endpoints that were named, or those of this machine's member, or the default.
pub(crate) fn endpoints(global: &Global) -> Result<Vec<String>, Failure> {
    let text = member(global)?.endpoints;
    Ok(text.split(',').map(ToOwned::to_owned).collect())
}

fn member(global: &Global) -> Result<LocalMember, Failure> {
    let given = global.endpoints.clone().filter(|text| !text.is_empty());
    let named = given.or_else(|| variable("ENDPOINTS"));
    named_or_local(named, DEFAULT_ENDPOINT).map_err(Failure::arguments)
}

/// What the flags and the environment say.
pub(crate) fn config(global: &Global, endpoints: &[String]) -> Result<Config, Failure> {
    if global.discovery_srv.is_some() || variable("DISCOVERY_SRV").is_some() {
        let text = "kvctl does not look up SRV records; name the servers with --endpoints";
        return Err(Failure::arguments(text));
    }
    let mut config =
        Config::new(endpoints).map_err(|error| Failure::arguments(error.to_string()))?;
    let tls = member(global)?.tls;
    config.tls = Tls {
        trusted_ca_file: file(global.cacert.as_ref(), "CACERT")
            .or_else(|| file(None, "CA_FILE"))
            .or(tls.trusted_ca_file),
        certificate_file: file(global.cert.as_ref(), "CERT").or(tls.certificate_file),
        key_file: file(global.key.as_ref(), "KEY").or(tls.key_file),
    };
    config.credentials = credentials(global)?;
    config.connect_timeout = unless_zero(global.dial_timeout);
    config.request_timeout = unless_zero(global.command_timeout);
    config.total_timeout = unless_zero(global.command_timeout);
    Ok(config)
}

fn credentials(global: &Global) -> Result<Option<Credentials>, Failure> {
    let Some(user) = global.user.clone().or_else(|| variable("USER")) else {
        return Ok(None);
    };
    let password = global.password.clone().or_else(|| variable("PASSWORD"));
    Ok(Some(match password {
        Some(password) => Credentials { user, password },
        None => password::split_or_ask(&user, "Password: ")?,
    }))
}

/// A client that asks the endpoints in turn.
pub(crate) async fn open(global: &Global) -> Result<Client, Failure> {
    open_at(global, &endpoints(global)?).await
}

/// A client of these endpoints.
pub(crate) async fn open_at(global: &Global, endpoints: &[String]) -> Result<Client, Failure> {
    let config = config(global, endpoints)?;
    // Whoever looks at members wants to hear from one without a leader too.
    let opened = Client::connect(config, Leader::NotRequired).await;
    opened.map_err(|error| {
        // Not even the login worked.
        Failure::new(exit_status::BAD_CONNECTION, error.to_string())
    })
}
