//! TLS of clients and members: configurations for rustls that follow their files.
//!
//! What is shown and asked comes from [`TlsOptions`]. Connections are made and accepted elsewhere;
//! each asks for the configuration of the moment, so a new certificate needs no restart.

mod files;
mod reloading;
mod self_signed;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

pub(crate) use files::TlsError;
pub(crate) use reloading::Reloading;
pub(crate) use verifier::common_name;

use crate::configuration::{ClientCertificates, Credentials, TlsOptions};
use self_signed::SelfSigned;

/// A server's configuration that follows its files.
pub(crate) type ServerTls = Reloading<ServerConfig>;
/// A client's configuration that follows its files.
pub(crate) type ClientTls = Reloading<ClientConfig>;

/// The protocols a server speaks inside TLS.
pub(crate) const SERVE_CLIENTS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// The same towards members.
pub(crate) const SERVE_MEMBERS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// What we ask of a member.
pub(crate) const ASK_MEMBERS: &[&[u8]] = &[b"h2"];
/// What we ask of everybody else.
pub(crate) const ASK_HTTP: &[&[u8]] = &[b"http/1.1"];

/// Prepares a server; none if there is no certificate. `hosts` stand in one of its own making.
pub(crate) fn server(
    what: &'static str,
    options: &TlsOptions,
    protocols: &'static [&'static [u8]],
    hosts: Vec<String>,
) -> Result<Option<ServerTls>, TlsError> {
    if options.credentials == Credentials::None {
        return Ok(None);
    }
    let own = own_certificate(options, hosts)?;
    let paths = watched_files(options);
    let options = options.clone();
    let build = move || server_config(&options, protocols, own.as_ref());
    Reloading::open(what, paths, build).map(Some)
}

/// Prepares a client, with the certificate of the options if they have one. Without CAs those of
/// the system count.
pub(crate) fn client(
    what: &'static str,
    options: &TlsOptions,
    protocols: &'static [&'static [u8]],
) -> Result<ClientTls, TlsError> {
    let paths = watched_files(options);
    let options = options.clone();
    let build = move || client_config(&options, protocols);
    Reloading::open(what, paths, build)
}

fn own_certificate(
    options: &TlsOptions,
    hosts: Vec<String>,
) -> Result<Option<SelfSigned>, TlsError> {
    match options.credentials {
        Credentials::SelfSigned => SelfSigned::make(hosts).map(Some),
        Credentials::None | Credentials::Files { .. } => Ok(None),
    }
}

fn watched_files(options: &TlsOptions) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = options.authorities.iter().cloned().collect();
    if let Credentials::Files { certificates, key } = &options.credentials {
        paths.extend([certificates.clone(), key.clone()]);
    }
    if let ClientCertificates::Required { revoked, .. } = &options.client_certificates {
        paths.extend(revoked.iter().cloned());
    }
    paths
}

/// aws-lc-rs, with the chosen cipher suites only.
fn provider(options: &TlsOptions) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if options.cipher_suites.is_empty() {
        return Ok(Arc::new(provider));
    }
    let all = std::mem::take(&mut provider.cipher_suites);
    for name in &options.cipher_suites {
        // Go's names of TLS 1.3's suites lack the version that rustls puts into them.
        let plain = |suite: &str| suite.replace("TLS13_", "TLS_");
        let named = |suite: &&rustls::SupportedCipherSuite| {
            let known = format!("{:?}", suite.suite());
            known == *name || plain(&known) == *name
        };
        let found = all.iter().find(named).or_else(|| {
            let short = name.strip_suffix("_SHA256")?;
            all.iter()
                .find(|suite| plain(&format!("{:?}", suite.suite())) == short)
        });
        let suite = found.ok_or_else(|| TlsError::CipherSuite(name.clone()))?;
        provider.cipher_suites.push(*suite);
    }
    Ok(Arc::new(provider))
}

fn versions(options: &TlsOptions) -> Vec<&'static SupportedProtocolVersion> {
    let chosen = [
        (options.versions.version_1_2, &rustls::version::TLS12),
        (options.versions.version_1_3, &rustls::version::TLS13),
    ];
    let chosen = chosen.into_iter().filter(|(on, _)| *on);
    chosen.map(|(_, version)| version).collect()
}

fn owned(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}

fn server_config(
    options: &TlsOptions,
    protocols: &[&[u8]],
    own: Option<&SelfSigned>,
) -> Result<ServerConfig, TlsError> {
    let provider = provider(options)?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(options))
        .map_err(TlsError::Versions)?;
    let builder = match &options.client_certificates {
        ClientCertificates::NotAsked => builder.with_no_client_auth(),
        required @ ClientCertificates::Required { .. } => {
            let verifier = verifier::for_clients(required, &provider)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key, path) = match (own, &options.credentials) {
        (Some(own), _) => (own.chain(), own.key(), PathBuf::new()),
        (None, Credentials::Files { certificates, key }) => (
            files::certificates(certificates)?,
            files::key(key)?,
            certificates.clone(),
        ),
        (None, _) => return Err(TlsError::NoCertificate),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Pair { path, source })?;
    config.alpn_protocols = owned(protocols);
    Ok(config)
}

fn client_config(options: &TlsOptions, protocols: &[&[u8]]) -> Result<ClientConfig, TlsError> {
    let provider = provider(options)?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(options))
        .map_err(TlsError::Versions)?;
    let builder = match (&options.authorities, &options.credentials) {
        (Some(path), _) => builder.with_root_certificates(files::authorities(path)?),
        // Certificates that members make themselves can be checked by nobody.
        (None, Credentials::SelfSigned) => {
            let verifier = verifier::AcceptAll::new(&provider);
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
        (None, _) => builder.with_root_certificates(files::system_authorities()?),
    };
    let mut config = match &options.credentials {
        Credentials::Files { certificates, key } => builder
            .with_client_auth_cert(files::certificates(certificates)?, files::key(key)?)
            .map_err(|source| TlsError::Pair {
                path: certificates.clone(),
                source,
            })?,
        Credentials::None | Credentials::SelfSigned => builder.with_no_client_auth(),
    };
    config.alpn_protocols = owned(protocols);
    Ok(config)
}

#[cfg(test)]
mod tests;
