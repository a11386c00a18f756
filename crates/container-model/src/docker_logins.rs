//! Docker's file of logins, `config.json` or `auth.json`: what `docker login` and `podman login` write.
//!
//! Programs that keep passwords (`credsStore`, `credHelpers`) are not called; other settings that stand
//! there are none of our business.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use thiserror::Error;

use crate::registries::Place;

/// Docker Hub's name there.
const HUB: &str = "index.docker.io";

/// All logins of a file. By default there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerLogins {
    /// By registry, or registry and path.
    logins: BTreeMap<String, DockerLogin>,
}

/// A user and a password, which is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DockerLogin {
    /// By name.
    pub user: String,
    /// As it is.
    pub password: String,
}

impl fmt::Debug for DockerLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerLogin")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A file that cannot be used. It never has a password in its text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DockerLoginsError {
    /// Not JSON, or not of this form.
    #[error("it is no file of Docker's logins (line {line}, column {column})")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A login without name or password.
    #[error("`{0}`: `auth` is not the base64 of user:password")]
    Auth(String),
    /// What a registry's web page gave.
    #[error("`{0}`: identity tokens are not supported: log in with a user and a password")]
    IdentityToken(String),
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

impl DockerLogins {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, DockerLoginsError> {
        let file: File = serde_json::from_str(text).map_err(|error| DockerLoginsError::Syntax {
            line: error.line(),
            column: error.column(),
        })?;
        let mut logins = BTreeMap::new();
        for (name, entry) in file.auths {
            if let Some(login) = read(&name, entry)? {
                logins.insert(plain(&name), login);
            }
        }
        Ok(Self { logins })
    }

    /// The login for a repository: that of the longest path above it.
    pub fn login(&self, place: &Place) -> Option<&DockerLogin> {
        let host = if place.host == "docker.io" {
            HUB
        } else {
            &place.host
        };
        let whole = format!("{host}/{}", place.repository);
        let above = |name: &&String| {
            let rest = whole.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let longest = self.logins.keys().filter(above).max_by_key(|key| key.len());
        longest.and_then(|name| self.logins.get(name))
    }
}

/// Docker keeps an empty entry where a program has the password.
fn read(name: &str, entry: Entry) -> Result<Option<DockerLogin>, DockerLoginsError> {
    if !entry.identitytoken.is_empty() {
        return Err(DockerLoginsError::IdentityToken(name.to_owned()));
    }
    if !entry.auth.is_empty() {
        let decoded = STANDARD.decode(entry.auth.trim()).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let login = text.as_deref().and_then(|text| text.split_once(':'));
        let (user, password) = login.ok_or_else(|| DockerLoginsError::Auth(name.to_owned()))?;
        return Ok(Some(DockerLogin {
            user: user.to_owned(),
            // Old versions of Docker filled it up.
            password: password.trim_end_matches('\0').to_owned(),
        }));
    }
    Ok((!entry.username.is_empty()).then_some(DockerLogin {
        user: entry.username,
        password: entry.password,
    }))
}

/// A name without scheme and version: `https://index.docker.io/v1/` is `index.docker.io`.
fn plain(name: &str) -> String {
    let rest = name
        .strip_prefix("https://")
        .or_else(|| name.strip_prefix("http://"))
        .unwrap_or(name)
        .trim_end_matches('/');
    let rest = rest
        .strip_suffix("/v1")
        .or_else(|| rest.strip_suffix("/v2"))
        .unwrap_or(rest);
    match rest {
        "docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, repository: &str) -> Place {
        Place {
            host: host.to_owned(),
            repository: repository.to_owned(),
        }
    }

    #[test]
    fn dockers_and_podmans_files_are_read() {
        let auth = STANDARD.encode("me:pass:word");
        let text = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{auth}"}}, "a.b:5000": {{"username": "u", "password": "p"}},
                "a.b:5000/team": {{"auth": "{auth}"}}, "helped.example.com": {{}}}},
                "credsStore": "pass", "psFormat": "x"}}"#
        );
        let logins = DockerLogins::parse(&text).unwrap();
        let user = |host, path| {
            let login = logins.login(&place(host, path))?;
            Some((login.user.as_str(), login.password.as_str()))
        };
        assert_eq!(user("docker.io", "library/a"), Some(("me", "pass:word")));
        assert_eq!(user("a.b:5000", "other/a"), Some(("u", "p")));
        assert_eq!(user("a.b:5000", "team/a"), Some(("me", "pass:word")));
        assert_eq!(user("a.b:5000", "teams/a"), Some(("u", "p")));
        assert_eq!(user("helped.example.com", "a"), None);
        assert_eq!(user("a.b", "a"), None);
        assert!(!format!("{logins:?}").contains("pass:word"));
    }

    #[test]
    fn mistakes_do_not_tell_passwords() {
        let cases = [
            ("{\"auths\": {\"a\": {\"password\": \"hidden\"", "line 1"),
            (
                "{\"auths\": {\"a\": {\"auth\": \"hidden!\"}}}",
                "`a`: `auth`",
            ),
            (
                "{\"auths\": {\"a\": {\"auth\": \"aGlkZGVu\"}}}",
                "`a`: `auth`",
            ),
            (
                "{\"auths\": {\"a\": {\"identitytoken\": \"hidden\"}}}",
                "identity tokens",
            ),
        ];
        for (text, expected) in cases {
            let error = DockerLogins::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
