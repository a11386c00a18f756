//! The settings of TLS, for clients and for members. No file is read.

use std::path::PathBuf;

use super::wrong;
use crate::settings::{Settings, UsageError};

/// What a server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// No TLS.
    None,
    /// A certificate chain and its key.
    Files { certificates: PathBuf, key: PathBuf },
    /// A certificate of its own making, which proves nothing.
    SelfSigned,
}

/// What is asked of those that connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientCertificates {
    /// Nothing.
    NotAsked,
    /// A certificate of one of these CAs.
    Required {
        authorities: PathBuf,
        revoked: Option<PathBuf>,
        /// A CN it must have.
        common_name: Option<String>,
        /// A DNS name it must carry.
        host_name: Option<String>,
    },
}

/// The range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TlsVersions {
    pub(crate) version_1_2: bool,
    pub(crate) version_1_3: bool,
}

/// TLS of one kind of listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub(crate) credentials: Credentials,
    pub(crate) client_certificates: ClientCertificates,
    /// Whether a certificate's CN is a user's name.
    pub(crate) names_users: bool,
    /// CAs that servers are checked against, where we connect.
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) versions: TlsVersions,
    /// By their names in the standard; empty for all safe ones.
    pub(crate) cipher_suites: Vec<String>,
}

/// For clients.
pub(super) fn client_tls(settings: &Settings) -> Result<TlsOptions, UsageError> {
    options(
        settings,
        "",
        "client-crl-file",
        "client-cert-allowed-hostname",
    )
}

/// For members.
pub(super) fn peer_tls(settings: &Settings) -> Result<TlsOptions, UsageError> {
    options(
        settings,
        "peer-",
        "peer-crl-file",
        "peer-cert-allowed-hostname",
    )
}

fn options(
    settings: &Settings,
    prefix: &str,
    revoked: &str,
    host_name: &str,
) -> Result<TlsOptions, UsageError> {
    let name = |rest: &str| format!("{prefix}{rest}");
    let text = |name: &str| Some(settings.text(name).to_owned()).filter(|text| !text.is_empty());
    let file = |name: &str| text(name).map(PathBuf::from);
    let credentials = credentials(settings, prefix)?;
    let authorities = file(&name("trusted-ca-file"));
    let common_name = match prefix {
        "" => None,
        _ => text("peer-cert-allowed-cn"),
    };
    // As in etcd, CAs alone make certificates required; the switch makes their CN a user too.
    let names_users = settings.switch(&name("client-cert-auth"));
    let asked = names_users
        || authorities.is_some()
        || common_name.is_some()
        || !settings.text(revoked).is_empty()
        || !settings.text(host_name).is_empty();
    let client_certificates = match (&authorities, asked) {
        (_, false) => ClientCertificates::NotAsked,
        (Some(authorities), true) => ClientCertificates::Required {
            authorities: authorities.clone(),
            revoked: file(revoked),
            common_name,
            host_name: text(host_name),
        },
        (None, true) => {
            return Err(UsageError(format!(
                "--{prefix}client-cert-auth: say what certificates are checked against: --{prefix}trusted-ca-file"
            )));
        }
    };
    if names_users && credentials == Credentials::None {
        return Err(UsageError(format!(
            "--{prefix}client-cert-auth: without --{prefix}cert-file and --{prefix}key-file there is no TLS to ask by"
        )));
    }
    Ok(TlsOptions {
        credentials,
        client_certificates,
        names_users,
        authorities,
        versions: versions(settings)?,
        cipher_suites: settings
            .list("cipher-suites")
            .into_iter()
            .map(str::to_owned)
            .collect(),
    })
}

fn credentials(settings: &Settings, prefix: &str) -> Result<Credentials, UsageError> {
    let certificates = format!("{prefix}cert-file");
    let key = format!("{prefix}key-file");
    match (settings.text(&certificates), settings.text(&key)) {
        ("", "") if settings.switch(&format!("{prefix}auto-tls")) => Ok(Credentials::SelfSigned),
        ("", "") => Ok(Credentials::None),
        ("", _) => wrong(
            settings,
            &key,
            &format!("enough: --{certificates} is missing"),
        ),
        (_, "") => wrong(
            settings,
            &certificates,
            &format!("enough: --{key} is missing"),
        ),
        (certificates, key) => Ok(Credentials::Files {
            certificates: PathBuf::from(certificates),
            key: PathBuf::from(key),
        }),
    }
}

fn versions(settings: &Settings) -> Result<TlsVersions, UsageError> {
    let old_allowed = match settings.text("tls-min-version") {
        "TLS1.2" => true,
        "TLS1.3" => false,
        _ => return wrong(settings, "tls-min-version", "TLS1.2 or TLS1.3"),
    };
    let new_allowed = match settings.text("tls-max-version") {
        "" | "TLS1.3" => true,
        "TLS1.2" => false,
        _ => return wrong(settings, "tls-max-version", "TLS1.2 or TLS1.3"),
    };
    if !old_allowed && !new_allowed {
        return wrong(settings, "tls-max-version", "above --tls-min-version");
    }
    Ok(TlsVersions {
        version_1_2: old_allowed,
        version_1_3: new_allowed,
    })
}
