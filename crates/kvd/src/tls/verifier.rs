//! Who may connect: a certificate of our CAs, not revoked, with the names that are asked for.
//!
//! Signatures and chains are checked by rustls; this adds the names.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{TlsError, files};
use crate::configuration::ClientCertificates;

/// The common name of a certificate's subject.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    Some(name.as_str().ok()?.to_owned())
}

/// The verifier of a server; [`ClientCertificates::NotAsked`] has none.
pub(super) fn for_clients(
    asked: &ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let ClientCertificates::Required {
        authorities,
        revoked,
        common_name,
        host_name,
    } = asked
    else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let roots = files::authorities(authorities)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    if let Some(path) = revoked {
        // As in etcd: a list speaks of the CAs it is of, others' certificates are not judged by it.
        builder = builder
            .with_crls(files::revocation_lists(path)?)
            .allow_unknown_revocation_status();
    }
    let chain = builder.build().map_err(|error| TlsError::Verifier {
        path: revoked.as_ref().unwrap_or(authorities).clone(),
        reason: error.to_string(),
    })?;
    let host_name = match host_name {
        None => None,
        Some(name) => {
            let parsed = ServerName::try_from(name.clone());
            Some(parsed.map_err(|_| TlsError::HostName(name.clone()))?)
        }
    };
    Ok(Arc::new(Named {
        chain,
        common_name: common_name.clone(),
        host_name,
    }))
}

/// Checks the chain, then the names.
#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    common_name: Option<String>,
    host_name: Option<ServerName<'static>>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        if self.common_name.is_some() && common_name(end_entity) != self.common_name {
            return Err(refused);
        }
        if let Some(name) = &self.host_name {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Takes any server for what it says it is: for certificates that members make themselves.
#[derive(Debug)]
pub(super) struct AcceptAll {
    provider: Arc<CryptoProvider>,
}

impl AcceptAll {
    pub(super) fn new(provider: &Arc<CryptoProvider>) -> Self {
        let provider = Arc::clone(provider);
        Self { provider }
    }
}

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
