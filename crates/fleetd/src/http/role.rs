//! Who may do what: by the role in the client's certificate, or everything on the local socket.
//!
//! A role is an organizational unit (`OU`) of the certificate's subject. The authority that signs the
//! certificate decides who has which.

use rustls::pki_types::CertificateDer;

/// What a certificate allows its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `fleet-read`: to look at everything, journals included.
    Read,
    /// `fleet-operate`: that, and to start, stop and move units that exist, to cordon and drain machines.
    Operate,
    /// `fleet-admin`: that, and to create, replace and destroy units, and to change metadata. Whoever
    /// creates units runs what they like on every machine.
    Admin,
    /// `fleet-peer`: another machine's fleetd, which asks for journal and status of units here, and for what
    /// this machine uses.
    Peer,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To look.
    Read,
    /// To look at what runs on this machine, without asking others.
    ReadHere,
    /// To change what is wanted of what is there.
    Operate,
    /// To change what there is.
    Admin,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Somebody on this machine whom the socket's permissions let in.
    Local,
    /// The holder of a certificate that our authorities vouch for.
    Certificate {
        /// Its common name, for messages.
        name: String,
        roles: Vec<Role>,
    },
    /// Somebody on the network without encryption.
    Unencrypted,
}

impl Role {
    const ALL: [(&'static str, Self); 4] = [
        ("fleet-read", Self::Read),
        ("fleet-operate", Self::Operate),
        ("fleet-admin", Self::Admin),
        ("fleet-peer", Self::Peer),
    ];

    fn permits(self, need: Need) -> bool {
        match self {
            Self::Admin => true,
            Self::Operate => need != Need::Admin,
            Self::Read => matches!(need, Need::Read | Need::ReadHere),
            Self::Peer => need == Need::ReadHere,
        }
    }
}

impl Caller {
    /// The holder of a certificate.
    pub(crate) fn from_certificate(certificate: &CertificateDer<'_>) -> Self {
        let mut name = String::new();
        let mut roles = Vec::new();
        if let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) {
            let subject = parsed.subject();
            let first = subject.iter_common_name().next();
            let first = first.and_then(|name| name.as_str().ok());
            first.unwrap_or_default().clone_into(&mut name);
            let units = subject.iter_organizational_unit();
            let texts = units.filter_map(|unit| unit.as_str().ok());
            let role = |text| Role::ALL.into_iter().find(|(word, _)| *word == text);
            roles = texts.filter_map(role).map(|(_, role)| role).collect();
        }
        Self::Certificate { name, roles }
    }

    /// Why the request is refused, if it is.
    pub(crate) fn refusal(&self, need: Need) -> Option<String> {
        match self {
            Self::Local => None,
            Self::Certificate { roles, .. } if roles.iter().any(|role| role.permits(need)) => None,
            Self::Certificate { name, .. } => {
                let wanted = match need {
                    Need::ReadHere => "fleet-peer or fleet-read",
                    Need::Read => "fleet-read",
                    Need::Operate => "fleet-operate",
                    Need::Admin => "fleet-admin",
                };
                Some(format!(
                    "the certificate of `{name}` does not allow this: its organizational unit (OU) must be {wanted}"
                ))
            }
            Self::Unencrypted => Some(
                "TCP is closed without mutual TLS: set tls-cafile, tls-certfile and tls-keyfile in /etc/keelson/fleet.toml, or use the local socket"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(units: &[&str]) -> CertificateDer<'static> {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        let name = &mut parameters.distinguished_name;
        name.push(rcgen::DnType::CommonName, "alice");
        for unit in units {
            name.push(rcgen::DnType::OrganizationalUnitName, *unit);
        }
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = parameters.self_signed(&key).expect("a certificate");
        made.der().clone()
    }

    #[test]
    fn the_role_stands_in_the_certificate() {
        let rows = [
            ("fleet-read", [true, true, false, false]),
            ("fleet-operate", [true, true, true, false]),
            ("fleet-admin", [true, true, true, true]),
            ("fleet-peer", [true, false, false, false]),
            ("accounting", [false, false, false, false]),
        ];
        for (unit, allowed) in rows {
            let caller = Caller::from_certificate(&certificate(&[unit]));
            let needs = [Need::ReadHere, Need::Read, Need::Operate, Need::Admin];
            let found = needs.map(|need| caller.refusal(need).is_none());
            assert_eq!(found, allowed, "{unit}");
        }
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let caller = Caller::from_certificate(&certificate(&["fleet-read"]));
        let text = caller.refusal(Need::Admin).expect("refused");
        assert!(
            text.contains("alice") && text.contains("fleet-admin"),
            "{text}"
        );
        assert_eq!(Caller::Local.refusal(Need::Admin), None);
        assert!(Caller::Unencrypted.refusal(Need::Read).is_some());
    }
}
