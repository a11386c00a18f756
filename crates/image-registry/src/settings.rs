//! The machine's settings for registries, from files: `registries.toml`, and Docker's file of logins.
//!
//! What they mean is `container-model`'s. Passwords are read when they are needed.

use std::path::{Path, PathBuf};

use container_model::docker_logins::{DockerLogin, DockerLogins, DockerLoginsError};
use container_model::registries::{Password, Place, Registries, RegistriesError};
use thiserror::Error;

/// Registries, mirrors, authorities and logins.
const REGISTRIES: &str = "/etc/keelson/registries.toml";
/// Logins, as Docker writes them.
const LOGINS: &str = "/etc/keelson/registry-auth.json";

/// All that is set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub(crate) registries: Registries,
    logins: DockerLogins,
    /// Who calls says so.
    given: Option<DockerLogin>,
}

/// Settings that cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `registries.toml`.
    #[error("{}: {source}", path.display())]
    Registries {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RegistriesError,
    },
    /// A file of logins.
    #[error("{}: {source}", path.display())]
    Logins {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DockerLoginsError,
    },
    /// A credential that the unit has not.
    #[error(
        "the password of {host} is the credential `{name}`, and the unit has none of that name: give it with LoadCredential={name}:PATH"
    )]
    Credential {
        /// The registry's name.
        host: String,
        /// The credential's.
        name: String,
    },
    /// Certificates that cannot be used.
    #[error("{path}: {reason}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Settings {
    /// Reads what the machine has. What is not there sets nothing.
    pub fn read() -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(text) = text(Path::new(REGISTRIES))? {
            settings.registries =
                Registries::parse(&text).map_err(|source| SettingsError::Registries {
                    path: REGISTRIES.into(),
                    source,
                })?;
        }
        if let Some(text) = text(Path::new(LOGINS))? {
            settings.logins = logins(Path::new(LOGINS), &text)?;
        }
        Ok(settings)
    }

    /// Of registries alone.
    pub fn new(registries: Registries) -> Self {
        Self {
            registries,
            ..Self::default()
        }
    }

    /// With another file of logins instead of the machine's.
    pub fn with_logins(mut self, path: &Path) -> Result<Self, SettingsError> {
        let text = text(path)?.ok_or_else(|| SettingsError::Read {
            path: path.to_path_buf(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        self.logins = logins(path, &text)?;
        Ok(self)
    }

    /// With a login at the image's own registry, which mirrors are not told.
    #[must_use]
    pub fn with_login(mut self, login: DockerLogin) -> Self {
        self.given = Some(login);
        self
    }

    /// Who to log in as. `is_own` says that it is the image's own registry, and no mirror.
    pub(crate) fn login(
        &self,
        place: &Place,
        is_own: bool,
    ) -> Result<Option<DockerLogin>, SettingsError> {
        if let Some(given) = self.given.as_ref().filter(|_| is_own) {
            return Ok(Some(given.clone()));
        }
        let Some(login) = self.registries.login(&place.host) else {
            return Ok(self.logins.login(place).cloned());
        };
        let path = match &login.password {
            Password::File(path) => PathBuf::from(path),
            Password::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
                let path = folder.map(|folder| Path::new(&folder).join(name));
                let path = path.filter(|path| path.exists());
                path.ok_or_else(|| SettingsError::Credential {
                    host: place.host.clone(),
                    name: name.clone(),
                })?
            }
        };
        let password = std::fs::read_to_string(&path)
            .map_err(|source| SettingsError::Read { path, source })?;
        Ok(Some(DockerLogin {
            user: login.user,
            password: password.trim_end_matches(['\r', '\n']).to_owned(),
        }))
    }
}

fn text(path: &Path) -> Result<Option<String>, SettingsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SettingsError::Read {
            path: path.to_path_buf(),
            source,
        }),
    }
}

fn logins(path: &Path, text: &str) -> Result<DockerLogins, SettingsError> {
    DockerLogins::parse(text).map_err(|source| SettingsError::Logins {
        path: path.to_path_buf(),
        source,
    })
}
