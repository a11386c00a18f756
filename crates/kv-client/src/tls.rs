//! TLS to servers, with our own certificate if one is named.
//!
//! Files are read once, when the client is made.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::config::Tls;
use crate::error::ConfigError;

/// Where Debian keeps the authorities that the system trusts.
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Reads the files. With a protocol, servers are told to speak that one (ALPN).
pub(crate) fn connector(
    files: &Tls,
    protocol: Option<&'static [u8]>,
) -> Result<TlsConnector, ConfigError> {
    let bundle = files
        .trusted_ca_file
        .clone()
        .unwrap_or_else(|| PathBuf::from(SYSTEM_BUNDLE));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&bundle)? {
        // The system's bundle may hold one that the library does not take; the others still count.
        let added = roots.add(certificate);
        if let (Err(error), Some(path)) = (added, &files.trusted_ca_file) {
            return Err(bad_file(path, &error));
        }
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::Tls(error.to_string()))?
        .with_root_certificates(roots);
    let mut config = match (&files.certificate_file, &files.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| bad_file(certificate, &error))?,
        _ => return Err(ConfigError::HalfCertificate),
    };
    config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| bad_file(path, &error))?
        .collect();
    let found = found.map_err(|error| bad_file(path, &error))?;
    if found.is_empty() {
        return Err(bad_file(path, &"there is no certificate in it"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| bad_file(path, &error))
}

fn bad_file(path: &Path, reason: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::TlsFile {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
