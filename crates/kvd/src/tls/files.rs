//! Certificates, keys, CAs and revocation lists, read from their files.
//!
//! Whether they fit together is rustls' to say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// The bundle of the system's CAs, where Debian and most others keep it.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why TLS cannot be set up; names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no {expected} in PEM")]
    Content {
        path: PathBuf,
        expected: &'static str,
    },
    /// A certificate that cannot be a CA.
    #[error("{path} holds a certificate that cannot be used as a CA: {source}")]
    Authority {
        path: PathBuf,
        source: rustls::Error,
    },
    /// Certificate and key do not belong together, or one is not understood.
    #[error("the certificate {path} and its key cannot be used together: {source}")]
    Pair {
        path: PathBuf,
        source: rustls::Error,
    },
    /// CAs and revocation lists do not go together.
    #[error("clients' certificates cannot be checked against {path}: {reason}")]
    Verifier { path: PathBuf, reason: String },
    /// A cipher suite that is unknown or not safe.
    #[error("--cipher-suites: {0} is unknown or not safe: leave it out")]
    CipherSuite(String),
    /// No suite is left for a version.
    #[error(
        "--cipher-suites, --tls-min-version and --tls-max-version leave nothing to talk by: {0}"
    )]
    Versions(rustls::Error),
    /// A server without a certificate.
    #[error("there is no certificate to serve TLS with")]
    NoCertificate,
    /// A certificate of our own making could not be made.
    #[error("cannot make a certificate: {0}")]
    SelfSigned(rcgen::Error),
    /// A name that no certificate can carry.
    #[error("{0:?} is no DNS name")]
    HostName(String),
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn content(path: &Path, expected: &'static str) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        expected,
    }
}

/// A chain of certificates.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(content(path, "certificate")),
    }
}

/// A private key of any kind.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| content(path, "private key"))
}

/// CAs; every one of the file must be usable.
pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|source| TlsError::Authority {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(Arc::new(store))
}

/// The system's CAs; those that rustls cannot use are left out.
pub(super) fn system_authorities() -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    let path = Path::new(SYSTEM_AUTHORITIES);
    store.add_parsable_certificates(certificates(path)?);
    Ok(Arc::new(store))
}

/// Revocation lists: PEM, or one in DER as etcd wants it.
pub(super) fn revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => Ok(lists),
        // A DER list is an ASN.1 sequence.
        Ok(_) if bytes.first() == Some(&0x30) => Ok(vec![bytes.into()]),
        _ => Err(content(path, "revocation list")),
    }
}
