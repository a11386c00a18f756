//! TLS to a server, with our own certificate if one is named.
//!
//! Files are read once, when the client is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Where Debian keeps the authorities that the system trusts.
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that servers' certificates must come from; the system's if none.
    pub authorities: Option<PathBuf>,
    /// Our certificate, with those between it and the authority.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("cannot use {path} for TLS: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate without its key, or the reverse.
    #[error("a client certificate needs both its certificate file and its key file")]
    HalfCertificate,
    /// The library's defaults do not work.
    #[error("cannot set up TLS: {0}")]
    Library(String),
}

pub(super) fn connector(files: &Tls) -> Result<TlsConnector, TlsError> {
    let bundle = files.authorities.as_deref();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle.unwrap_or(Path::new(SYSTEM_BUNDLE)))? {
        // The system's bundle may hold one that the library does not take; the others still count.
        let added = roots.add(certificate);
        if let (Err(error), Some(path)) = (added, bundle) {
            return Err(bad_file(path, &error));
        }
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Library(error.to_string()))?
        .with_root_certificates(roots);
    let config = match (&files.certificate, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| bad_file(certificate, &error))?,
        _ => return Err(TlsError::HalfCertificate),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| bad_file(path, &error))?
        .collect();
    let found = found.map_err(|error| bad_file(path, &error))?;
    if found.is_empty() {
        return Err(bad_file(path, &"there is no certificate in it"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| bad_file(path, &error))
}

fn bad_file(path: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
