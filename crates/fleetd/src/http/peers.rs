//! Other machines' fleetds, asked by mutual TLS for what only they can tell.
//!
//! Our certificate must be one of a peer there; theirs must name the address that they are reached by.

use std::time::Duration;

use fleet_api::{Client, Connector, Endpoint, Tls};

use crate::configuration::TlsFiles;

/// How long another fleetd may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A way to other fleetds.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    tls: Option<Tls>,
}

impl Peers {
    /// With our certificate, if there is one.
    pub(crate) fn new(files: Option<&TlsFiles>) -> Self {
        let tls = files.map(|files| Tls {
            authorities: Some(files.authorities.clone()),
            certificate: Some(files.certificate.clone()),
            key: Some(files.key.clone()),
        });
        Self { tls }
    }

    /// A client of the fleetd at an address, or why there is none.
    pub(super) fn client(&self, address: Option<&str>) -> Result<Client, String> {
        let tls = self.tls.as_ref().ok_or(
            "this machine has no certificates to ask others with: set tls-cafile, tls-certfile and tls-keyfile",
        )?;
        let address = address
            .ok_or("it does not offer its API by TLS: set listen and its certificates there")?;
        let endpoint: Endpoint = format!("https://{address}")
            .parse()
            .map_err(|error| format!("{error}"))?;
        let connector = Connector::new(&endpoint, tls).map_err(|error| error.to_string())?;
        Ok(Client::new(connector, TIMEOUT))
    }
}
