//! Registries and how to reach them: `/etc/keelson/registries.toml`.
//!
//! ```toml
//! [[registry]]
//! name = "docker.io"                                   # as it stands in images' names, with its port
//! mirrors = ["mirror.example.com:5000", "cache.example.com/hub"]   # asked before it, in this order
//!
//! [[registry]]
//! name = "mirror.example.com:5000"
//! plain-http = true                                    # false without it, but for loopback
//! user = "machine"
//! password-file = "/etc/keelson/mirror.password"       # or password-credential = "mirror-password"
//!
//! [[registry]]
//! name = "cache.example.com"
//! ca-file = "/etc/keelson/cache.pem"                   # trusted beside the system's authorities
//! ```
//!
//! A mirror is a registry, too: what is needed to reach it stands under its own name. A path behind a
//! mirror's name comes before the repository's. An unknown key is an error with its line. No file is
//! opened here.

use core::net::IpAddr;

use serde::Deserialize;
use thiserror::Error;

use crate::reference::ImageReference;

/// All registries that something is known of. By default there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    entries: Vec<Entry>,
}

/// A repository at a registry, or at a mirror of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The registry's name, with its port.
    pub host: String,
    /// Its path there.
    pub repository: String,
}

/// Who to log in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// By name.
    pub user: String,
    /// Where the password is.
    pub password: Password,
}

/// Where a password is; a line end after it is no part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// In a file, by absolute path.
    File(String),
    /// In a credential that systemd passed to the unit, by name.
    Credential(String),
}

/// A file that cannot be used. TOML's own message has line and column.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistriesError {
    /// Not TOML, or not with these keys.
    #[error("{0}")]
    Syntax(String),
    /// A name that no image has.
    #[error("`{name}` is no {what}: {reason}")]
    Name {
        /// `registry` or `mirror`.
        what: &'static str,
        /// As it stands.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two entries of one name.
    #[error("there are two entries for the registry `{0}`")]
    Twice(String),
    /// A path that depends on who reads it.
    #[error("registry `{name}`: `{key}` must be an absolute path")]
    Relative {
        /// The registry's.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// Half a login, or one and a half.
    #[error(
        "registry `{0}`: a login is `user` with one of `password-file` and `password-credential`"
    )]
    Login(String),
    /// A credential's name that is a path.
    #[error("registry `{0}`: `password-credential` is the name of a credential, without `/`")]
    Credential(String),
    /// Both at once.
    #[error(
        "registry `{0}`: with `plain-http` there is no certificate that `ca-file` could be for"
    )]
    PlainWithAuthority(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    mirrors: Vec<String>,
    plain_http: Option<bool>,
    ca_file: Option<String>,
    user: Option<String>,
    password_file: Option<String>,
    password_credential: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[serde(default)]
    registry: Vec<Entry>,
}

impl Registries {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, RegistriesError> {
        let file: File =
            toml::from_str(text).map_err(|error| RegistriesError::Syntax(error.to_string()))?;
        for (index, entry) in file.registry.iter().enumerate() {
            check(entry)?;
            if file.registry[..index].iter().any(|e| e.name == entry.name) {
                return Err(RegistriesError::Twice(entry.name.clone()));
            }
        }
        Ok(Self {
            entries: file.registry,
        })
    }

    /// Where an image is looked for, in order: mirrors, and the registry itself at last.
    pub fn places(&self, image: &ImageReference) -> Vec<Place> {
        let mirrors = self.entry(image.registry()).map(|entry| &entry.mirrors);
        let mirrored = mirrors.into_iter().flatten().map(|mirror| {
            let (host, path) = mirror.split_once('/').unwrap_or((mirror, ""));
            let separator = if path.is_empty() { "" } else { "/" };
            Place {
                host: host.to_owned(),
                repository: format!("{path}{separator}{}", image.repository()),
            }
        });
        let own = Place {
            host: image.registry().to_owned(),
            repository: image.repository().to_owned(),
        };
        mirrored.chain(std::iter::once(own)).collect()
    }

    /// Whether a registry is spoken to without TLS. With those of this machine that is so if nothing
    /// else is said.
    pub fn is_plain(&self, host: &str) -> bool {
        let entry = self.entry(host);
        let has_authority = entry.is_some_and(|entry| entry.ca_file.is_some());
        let said = entry.and_then(|entry| entry.plain_http);
        said.unwrap_or(!has_authority && is_loopback(host))
    }

    /// A file of certificates that a registry's may be signed by, beside the system's.
    pub fn authorities(&self, host: &str) -> Option<&str> {
        self.entry(host)?.ca_file.as_deref()
    }

    /// Who to log in as at a registry.
    pub fn login(&self, host: &str) -> Option<Login> {
        let entry = self.entry(host)?;
        let password = match (&entry.password_file, &entry.password_credential) {
            (Some(path), _) => Password::File(path.clone()),
            (None, Some(name)) => Password::Credential(name.clone()),
            (None, None) => return None,
        };
        Some(Login {
            user: entry.user.clone()?,
            password,
        })
    }

    fn entry(&self, host: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == host)
    }
}

/// Whether a registry can only be on this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, _)) if !host.ends_with(']') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

fn check(entry: &Entry) -> Result<(), RegistriesError> {
    let name = || entry.name.clone();
    check_name("registry", &entry.name)?;
    if entry.name.contains('/') {
        let reason = "it is a name without a path".to_owned();
        return Err(wrong_name("registry", &entry.name, reason));
    }
    for mirror in &entry.mirrors {
        check_name("mirror", mirror)?;
    }
    let paths = [
        ("ca-file", &entry.ca_file),
        ("password-file", &entry.password_file),
    ];
    for (key, path) in paths {
        if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return Err(RegistriesError::Relative { name: name(), key });
        }
    }
    let passwords = [&entry.password_file, &entry.password_credential];
    let passwords = passwords.iter().filter(|one| one.is_some()).count();
    if passwords != usize::from(entry.user.is_some()) {
        return Err(RegistriesError::Login(name()));
    }
    let credential = entry.password_credential.as_deref();
    if credential.is_some_and(|credential| credential.contains('/') || credential.is_empty()) {
        return Err(RegistriesError::Credential(name()));
    }
    if entry.plain_http == Some(true) && entry.ca_file.is_some() {
        return Err(RegistriesError::PlainWithAuthority(name()));
    }
    Ok(())
}

/// A registry with or without a path, as names of images begin.
fn check_name(what: &'static str, name: &str) -> Result<(), RegistriesError> {
    // With two components more (Docker Hub completes single ones) it is a name of an image.
    let image = format!("{name}/x/x");
    match image.parse::<ImageReference>() {
        Ok(read) if format!("{}/{}", read.registry(), read.repository()) == image => Ok(()),
        Ok(_) => {
            let reason = "it is written as in images' names, such as docker.io or localhost:5000";
            Err(wrong_name(what, name, reason.to_owned()))
        }
        Err(error) => Err(wrong_name(what, name, error.reason)),
    }
}

fn wrong_name(what: &'static str, name: &str, reason: String) -> RegistriesError {
    let name = name.to_owned();
    RegistriesError::Name { what, name, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[registry]]
name = "docker.io"
mirrors = ["mirror.example.com:5000", "cache.example.com/hub/a"]

[[registry]]
name = "mirror.example.com:5000"
plain-http = true
user = "machine"
password-file = "/etc/mirror.password"

[[registry]]
name = "cache.example.com"
ca-file = "/etc/cache.pem"
user = "robot"
password-credential = "cache"

[[registry]]
name = "localhost:5001"
plain-http = false
"#;

    fn registries() -> Registries {
        Registries::parse(FILE).unwrap()
    }

    #[test]
    fn mirrors_come_first() {
        let places = registries().places(&"busybox".parse().unwrap());
        let places: Vec<String> = places
            .iter()
            .map(|place| format!("{} {}", place.host, place.repository))
            .collect();
        assert_eq!(
            places,
            [
                "mirror.example.com:5000 library/busybox",
                "cache.example.com hub/a/library/busybox",
                "docker.io library/busybox",
            ]
        );
        let places = registries().places(&"quay.io/a/b".parse().unwrap());
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].repository, "a/b");
    }

    #[test]
    fn each_registry_has_its_own_settings() {
        let registries = registries();
        let plain = |host| registries.is_plain(host);
        assert!(plain("mirror.example.com:5000"));
        assert!(!plain("docker.io") && !plain("mirror.example.com"));
        assert!(plain("localhost:5000") && plain("127.0.0.9:1") && plain("[::1]:5000"));
        assert!(plain("LOCALHOST") && plain("127.0.0.1") && plain("[::1]"));
        assert!(!plain("localhost:5001"), "it is said");
        assert!(!plain("localhost.example.com:5000") && !plain("10.0.0.1:5000"));
        assert_eq!(
            registries.authorities("cache.example.com"),
            Some("/etc/cache.pem")
        );
        assert_eq!(registries.authorities("docker.io"), None);
        let login = registries.login("cache.example.com").unwrap();
        assert_eq!(login.user, "robot");
        assert_eq!(login.password, Password::Credential("cache".to_owned()));
        let login = registries.login("mirror.example.com:5000").unwrap();
        assert_eq!(
            login.password,
            Password::File("/etc/mirror.password".to_owned())
        );
        assert_eq!(registries.login("docker.io"), None);
    }

    #[test]
    fn an_authority_on_this_machine_means_tls() {
        let text = "[[registry]]\nname = \"localhost:5000\"\nca-file = \"/a.pem\"\n";
        assert!(!Registries::parse(text).unwrap().is_plain("localhost:5000"));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let entry = |text: &str| format!("[[registry]]\nname = \"a.b\"\n{text}\n");
        let cases = [
            ("colour = 1".to_owned(), "line 1"),
            (entry("insecure = true"), "line 3"),
            (entry("plain-http = 1"), "line 3"),
            ("[[registry]]\n".to_owned(), "name"),
            (
                "[[registry]]\nname = \"busybox\"".to_owned(),
                "as in images' names",
            ),
            (
                "[[registry]]\nname = \"a.b/c\"".to_owned(),
                "without a path",
            ),
            (
                "[[registry]]\nname = \"https://a.b\"".to_owned(),
                "is no registry",
            ),
            (entry("mirrors = [\"https://a.b\"]"), "is no mirror"),
            (entry("mirrors = [\"a.b/C\"]"), "lower case"),
            (
                entry("ca-file = \"a.pem\""),
                "`ca-file` must be an absolute",
            ),
            (entry("user = \"a\""), "a login is"),
            (entry("password-file = \"/a\""), "a login is"),
            (
                entry("user = \"a\"\npassword-file = \"/a\"\npassword-credential = \"a\""),
                "a login is",
            ),
            (
                entry("user = \"a\"\npassword-credential = \"/a\""),
                "without `/`",
            ),
            (
                entry("plain-http = true\nca-file = \"/a\""),
                "no certificate",
            ),
            ([entry(""), entry("")].concat(), "two entries"),
        ];
        for (text, expected) in cases {
            let error = Registries::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
