//! Connections: TLS by rustls with aws-lc-rs, the system's authorities and those of the settings.

use std::sync::Arc;

use container_model::registries::Registries;
use reqwest::redirect::{Attempt, Policy};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use crate::settings::SettingsError;
use crate::{Patience, RegistryError, Result};

/// Storage behind a registry is one step away; nobody needs more than a few.
const REDIRECTS_MAX: usize = 5;

/// What speaks HTTP to a registry, and to whom that leads.
pub(crate) fn client(
    registries: &Registries,
    host: &str,
    patience: &Patience,
) -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(configuration(registries.authorities(host))?)
        .redirect(Policy::custom(follow))
        .connect_timeout(patience.connect)
        .read_timeout(patience.stall)
        .user_agent(concat!("keelson/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|error| RegistryError::transport(host, error))
}

/// From TLS to TLS only. Logins are not taken along to other hosts: the HTTP client sees to that.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from = attempt.previous().last();
    let is_downgrade =
        from.is_some_and(|from| from.scheme() == "https") && attempt.url().scheme() != "https";
    if is_downgrade {
        attempt.error("it leads from https to http")
    } else if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("it leads from one address to another for ever")
    } else {
        attempt.follow()
    }
}

fn configuration(authorities: Option<&str>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let refuse = |reason: String| SettingsError::Authorities {
        path: authorities.unwrap_or("the system's authorities").to_owned(),
        reason,
    };
    let extra = match authorities {
        Some(path) => read(path).map_err(refuse)?,
        None => Vec::new(),
    };
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
        .map_err(|error| refuse(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(error.to_string()))?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn read(path: &str) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("it is no PEM file of certificates: {error}")),
    }
}
