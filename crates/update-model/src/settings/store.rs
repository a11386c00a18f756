//! Where the cluster's key-value store is: the section `[store]` of `update.toml`.
//!
//! The reboot lock and the outcomes of updates are kept there. Does not read the files that it names.

use serde::Deserialize;

use super::InvalidSetting;

/// The section's keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Store {
    /// URLs of members, which are asked in turn.
    pub endpoints: Vec<String>,
    /// Who may vouch for the members, in PEM; without it the system's bundle.
    #[serde(default)]
    pub trusted_ca_file: Option<String>,
    /// What this machine shows the members, if they want to see something.
    #[serde(default)]
    pub client_certificate: Option<ClientCertificate>,
    /// As whom this machine asks, if users are enabled in the store.
    #[serde(default)]
    pub credentials: Option<Credentials>,
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientCertificate {
    /// The certificate, with its chain.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
}

/// A user of the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// A file whose first line is the password.
    pub password_file: String,
}

impl Store {
    /// Whether the values can be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let invalid = |key, problem| Err(InvalidSetting { key, problem });
        if self.endpoints.is_empty() {
            let problem = "at least one member's URL is needed".to_owned();
            return invalid("store.endpoints", problem);
        }
        if let Some(other) = self.endpoints.iter().find(|url| !is_url(url)) {
            let problem = format!("{other:?} is no URL of http or https");
            return invalid("store.endpoints", problem);
        }
        let files = [
            ("store.trusted-ca-file", self.trusted_ca_file.as_deref()),
            (
                "store.client-certificate.cert-file",
                self.client_certificate
                    .as_ref()
                    .map(|files| &*files.cert_file),
            ),
            (
                "store.client-certificate.key-file",
                self.client_certificate
                    .as_ref()
                    .map(|files| &*files.key_file),
            ),
            (
                "store.credentials.password-file",
                self.credentials.as_ref().map(|user| &*user.password_file),
            ),
        ];
        for (key, file) in files {
            if let Some(path) = file.filter(|path| !path.starts_with('/')) {
                return invalid(key, format!("{path:?} is no absolute path"));
            }
        }
        Ok(())
    }
}

/// Of a web server, as far as can be told without asking it.
pub(super) fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        Store {
            endpoints: vec!["https://10.0.0.1:2379".to_owned()],
            trusted_ca_file: None,
            client_certificate: None,
            credentials: None,
        }
    }

    #[test]
    fn each_wrong_value_is_named() {
        assert_eq!(store().check(), Ok(()));
        let wrong = |store: Store| store.check().unwrap_err().key;
        for endpoints in [vec![], vec!["10.0.0.1:2379".to_owned()]] {
            let store = Store {
                endpoints,
                ..store()
            };
            assert_eq!(wrong(store), "store.endpoints");
        }
        let relative = Store {
            trusted_ca_file: Some("ca.pem".to_owned()),
            ..store()
        };
        assert_eq!(wrong(relative), "store.trusted-ca-file");
        let relative = Store {
            client_certificate: Some(ClientCertificate {
                cert_file: "/etc/a".to_owned(),
                key_file: "a".to_owned(),
            }),
            ..store()
        };
        assert_eq!(wrong(relative), "store.client-certificate.key-file");
        let relative = Store {
            credentials: Some(Credentials {
                user: "updates".to_owned(),
                password_file: "a".to_owned(),
            }),
            ..store()
        };
        assert_eq!(wrong(relative), "store.credentials.password-file");
    }
}
