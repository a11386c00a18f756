//! TLS of the API's server: our certificate, and clients' that our authorities vouch for.
//!
//! Files are read when a configuration is made; SIGHUP makes another. What a certificate allows is not
//! judged here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::configuration::TlsFiles;

/// Why TLS cannot be served; names the file.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} for TLS: {reason}", path = path.display())]
pub(crate) struct TlsError {
    path: PathBuf,
    reason: String,
}

/// The configuration of the moment.
pub(crate) struct ServerTls {
    current: ArcSwap<ServerConfig>,
}

impl ServerTls {
    /// Reads the files.
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(server_config(files)?);
        Ok(Self { current })
    }

    /// Reads the files again; on an error what was read before stays.
    pub(crate) fn reload(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.current.store(Arc::new(server_config(files)?));
        Ok(())
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

/// Whether the files can be used.
pub(crate) fn check(files: &TlsFiles) -> Result<(), TlsError> {
    server_config(files).map(drop)
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.authorities)? {
        let added = roots.add(certificate);
        added.map_err(|error| bad(&files.authorities, error))?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| bad(&files.authorities, error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| bad(&files.key, error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&files.certificate, error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.certificate)?, key)
        .map_err(|error| bad(&files.certificate, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| bad(path, error))?
        .collect();
    let found = found.map_err(|error| bad(path, error))?;
    if found.is_empty() {
        return Err(bad(path, "there is no certificate in it"));
    }
    Ok(found)
}

fn bad(path: &Path, reason: impl std::fmt::Display) -> TlsError {
    TlsError {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
