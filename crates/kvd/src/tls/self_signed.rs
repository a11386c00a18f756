//! A certificate of our own making: it hides what is said, and proves nothing.

use std::collections::BTreeSet;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::TlsError;

/// A certificate and its key, in memory only.
pub(super) struct SelfSigned {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl SelfSigned {
    /// For these hosts, names or addresses, and this machine.
    pub(super) fn make(hosts: Vec<String>) -> Result<Self, TlsError> {
        let mut names: BTreeSet<String> = hosts.into_iter().collect();
        names.insert("localhost".to_owned());
        names.insert("127.0.0.1".to_owned());
        let names: Vec<String> = names.into_iter().collect();
        let made = rcgen::generate_simple_self_signed(names).map_err(TlsError::SelfSigned)?;
        Ok(Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        })
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }
}
