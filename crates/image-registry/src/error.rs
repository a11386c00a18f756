//! How fetching fails: always with the registry's name, and with what to do if that can be known.

use std::error::Error as _;
use std::time::Duration;

use thiserror::Error;

use crate::settings::SettingsError;

/// Why something was not fetched.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The settings for the registry cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No answer, or one that broke off.
    #[error("{host}: {reason}")]
    Transport {
        /// The registry's name.
        host: String,
        /// All that is known.
        reason: String,
        /// Whether it may go well the next time.
        is_passing: bool,
    },
    /// Nobody knows where the registry is.
    #[error(
        "the name of {host} cannot be resolved ({reason}): is it right, and is there a network?"
    )]
    Unresolved {
        /// The registry's name.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// There is no such thing.
    #[error("{host} has no {what}")]
    NotFound {
        /// The registry's name.
        host: String,
        /// The repository, with tag or digest.
        what: String,
    },
    /// It wants a login, another one, or does not say what it wants.
    #[error("{host} does not let us {}: {reason}", wish(repository))]
    Unauthorized {
        /// The registry's name.
        host: String,
        /// What was asked for; nothing if it was only to log in.
        repository: String,
        /// What to do.
        reason: String,
    },
    /// Another answer than was expected.
    #[error("{host} answers {status}{}", detail(message))]
    Status {
        /// The registry's name.
        host: String,
        /// HTTP's number.
        status: u16,
        /// The registry's words.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Other bytes than were asked for.
    #[error("{host} gives {found} for {expected}: it is damaged or it lies")]
    Digest {
        /// The registry's name.
        host: String,
        /// The digest that was wanted.
        expected: String,
        /// What came instead.
        found: String,
    },
    /// An answer that makes no sense.
    #[error("{host} gives {what}")]
    Nonsense {
        /// The registry's name.
        host: String,
        /// What it is.
        what: String,
    },
    /// Every place failed.
    #[error("{}", joined(.0))]
    Everywhere(
        /// In the order of the places.
        Vec<RegistryError>,
    ),
}

fn wish(repository: &str) -> String {
    if repository.is_empty() {
        "in".to_owned()
    } else {
        format!("read {repository}")
    }
}

fn detail(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

fn joined(errors: &[RegistryError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl RegistryError {
    /// Whether the same may go well a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Transport { is_passing, .. } => *is_passing,
            Self::Unresolved { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            // The last one is the registry itself, which has the last word.
            Self::Everywhere(errors) => errors.last().is_some_and(Self::is_passing),
            _ => false,
        }
    }

    /// Whether no place of all was found: waiting rarely changes that.
    pub(crate) fn is_unresolved(&self) -> bool {
        match self {
            Self::Unresolved { .. } => true,
            Self::Everywhere(errors) => errors.iter().all(Self::is_unresolved),
            _ => false,
        }
    }

    /// Whether the place gives what it should not give, so that it is asked nothing more.
    pub(crate) fn is_lie(&self) -> bool {
        matches!(self, Self::Digest { .. } | Self::Nonsense { .. })
    }

    /// When the registry wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Everywhere(errors) => errors.iter().filter_map(Self::retry_after).max(),
            _ => None,
        }
    }

    pub(crate) fn nonsense(host: &str, what: impl Into<String>) -> Self {
        Self::Nonsense {
            host: host.to_owned(),
            what: what.into(),
        }
    }

    /// Of the HTTP client. Its URL is left out: it may have a token of the storage behind the registry.
    pub(crate) fn transport(host: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut texts: Vec<String> = Vec::new();
        let mut tls = None;
        let mut next = error.source();
        while let Some(source) = next {
            let text = source.to_string();
            // Several layers pass on the same words.
            if texts.last().is_none_or(|last| !last.ends_with(&text)) {
                texts.push(text);
            }
            tls = tls.or_else(|| tls_failure(source));
            next = source.source();
        }
        if let Some(reason) = unresolved(&texts) {
            return Self::Unresolved {
                host: host.to_owned(),
                reason: reason.to_owned(),
            };
        }
        if texts.is_empty() {
            texts.push(error.to_string());
        }
        if error.is_timeout() {
            texts.push("it took too long".to_owned());
        }
        Self::Transport {
            host: host.to_owned(),
            is_passing: tls.is_none() && !error.is_redirect() && !error.is_builder(),
            reason: match tls {
                Some(hint) => format!("{}{hint}", texts.join(": ")),
                None => texts.join(": "),
            },
        }
    }
}

/// What the resolver says, if it is the one that failed. The HTTP client has no type for it that others see.
fn unresolved(texts: &[String]) -> Option<&str> {
    let at = texts
        .iter()
        .position(|text| text.starts_with("dns error"))?;
    let text = texts.get(at + 1).unwrap_or(&texts[at]);
    let rest = text.strip_prefix("failed to lookup address information: ");
    Some(rest.unwrap_or(text))
}

/// What to do about a failure of TLS, which time does not heal.
fn tls_failure(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let Some(failure) = error.downcast_ref::<rustls::Error>() else {
        // Several layers wrap it in an error of input and output, which is no source of its own.
        let outer = error.downcast_ref::<std::io::Error>()?;
        return tls_failure(outer.get_ref()?);
    };
    Some(match failure {
        rustls::Error::InvalidCertificate(_) => {
            " (`ca-file` in /etc/keelson/registries.toml names an authority of your own)"
        }
        rustls::Error::InvalidMessage(_) => {
            " (if it speaks no TLS: `plain-http = true` in /etc/keelson/registries.toml)"
        }
        _ => "",
    })
}
