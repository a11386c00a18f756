//! One repository at one registry: requests with what it wants to see of us, and answers judged.
//!
//! Knows no other place, and tries nothing twice but what wants a token.

use std::time::{Duration, SystemTime};

use container_model::docker_logins::DockerLogin;
use container_model::registries::Place;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::settings::Settings;
use crate::token::{self, Challenge};
use crate::{Patience, RegistryError, Result, tls};

/// Docker Hub answers under another name than it has.
const HUB: &str = "docker.io";
const HUB_SERVER: &str = "registry-1.docker.io";
/// What is read of an error's text.
const MESSAGE_MAX: usize = 16 * 1024;
/// What is told of it.
const TOLD_MAX: usize = 200;

/// Where a repository is.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) place: Place,
    pub(crate) client: reqwest::Client,
    pub(crate) login: Option<DockerLogin>,
    is_plain: bool,
    /// What let us in the last time.
    authorization: Mutex<Option<HeaderValue>>,
}

/// Errors in OCI's form.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Endpoint {
    pub(crate) fn new(
        settings: &Settings,
        place: Place,
        is_own: bool,
        patience: &Patience,
    ) -> Result<Self> {
        Ok(Self {
            client: tls::client(&settings.registries, &place.host, patience)?,
            login: settings.login(&place, is_own)?,
            is_plain: settings.registries.is_plain(&place.host),
            authorization: Mutex::new(None),
            place,
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        !self.is_plain
    }

    /// Asks for something below the repository.
    pub(crate) async fn get(&self, path: &str, headers: HeaderMap) -> Result<Response> {
        let known = self.authorization.lock().await.clone();
        let answer = self.send(path, &headers, known.as_ref()).await?;
        let answer = if answer.status() == StatusCode::UNAUTHORIZED {
            let fresh = self.authorize(&answer, known.as_ref()).await?;
            self.send(path, &headers, Some(&fresh)).await?
        } else {
            answer
        };
        let what = match path.split_once('/') {
            Some((_, name)) if name.contains(':') => format!("{}@{name}", self.place.repository),
            Some((_, name)) => format!("{}:{name}", self.place.repository),
            None => self.place.repository.clone(),
        };
        self.judge(answer, &what).await
    }

    async fn send(
        &self,
        path: &str,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response> {
        let Place { host, repository } = &self.place;
        let scheme = if self.is_plain { "http" } else { "https" };
        let server = if host == HUB { HUB_SERVER } else { host };
        let url = if repository.is_empty() {
            format!("{scheme}://{server}/v2/")
        } else {
            format!("{scheme}://{server}/v2/{repository}/{path}")
        };
        let mut request = self.client.get(url).headers(headers.clone());
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let answer = request.send().await;
        answer.map_err(|error| RegistryError::transport(host, error))
    }

    /// What the registry wants to see. Of several requests at a time one asks, and the others have it, too.
    async fn authorize(
        &self,
        answer: &Response,
        used: Option<&HeaderValue>,
    ) -> Result<HeaderValue> {
        let mut known = self.authorization.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Some(*known) != used) {
            return Ok(known.clone());
        }
        let fresh = match (Challenge::read(answer.headers()), &self.login) {
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }),
                _,
            ) => token::fetch(self, &realm, service.as_deref(), scope.as_deref()).await?,
            (Some(Challenge::Basic), Some(login)) => {
                token::basic(login).ok_or_else(|| self.unauthorized(""))?
            }
            (Some(Challenge::Basic), None) => return Err(self.unauthorized("")),
            (None, _) => return Err(self.unauthorized("it does not say how to log in")),
        };
        *known = Some(fresh.clone());
        Ok(fresh)
    }

    fn unauthorized(&self, message: &str) -> RegistryError {
        let advice = match &self.login {
            Some(login) => format!("the login of {} is not good enough", login.user),
            None => "there is no login for it in /etc/keelson/registries.toml, nor in \
                     /etc/keelson/registry-auth.json; a repository that is not there may look like that, too"
                .to_owned(),
        };
        let separator = if message.is_empty() { "" } else { ": " };
        RegistryError::Unauthorized {
            host: self.place.host.clone(),
            repository: self.place.repository.clone(),
            reason: format!("{message}{separator}{advice}"),
        }
    }

    /// Takes an answer for what it is. `what` was asked for.
    pub(crate) async fn judge(&self, answer: Response, what: &str) -> Result<Response> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        let message = match self.body(answer, MESSAGE_MAX).await {
            Ok(bytes) => message(&bytes),
            Err(_) => String::new(),
        };
        Err(match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound {
                host: self.place.host.clone(),
                what: what.to_owned(),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.unauthorized(&message),
            status => RegistryError::Status {
                host: self.place.host.clone(),
                status: status.as_u16(),
                message,
                retry_after,
            },
        })
    }

    /// All of a small answer.
    pub(crate) async fn body(&self, mut answer: Response, longest: usize) -> Result<Vec<u8>> {
        let host = &self.place.host;
        let mut bytes = Vec::new();
        loop {
            let piece = answer.chunk().await;
            let Some(piece) = piece.map_err(|error| RegistryError::transport(host, error))? else {
                return Ok(bytes);
            };
            if bytes.len() + piece.len() > longest {
                let what = format!("a document of more than {longest} bytes");
                return Err(RegistryError::nonsense(host, what));
            }
            bytes.extend_from_slice(&piece);
        }
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The words of an error, without anything that a terminal would obey.
fn message(bytes: &[u8]) -> String {
    let errors: Option<Errors> = serde_json::from_slice(bytes).ok();
    let texts = errors.into_iter().flat_map(|errors| errors.errors);
    let texts = texts.map(|error| {
        if error.message.is_empty() {
            error.code
        } else {
            error.message
        }
    });
    let text = texts.collect::<Vec<String>>().join(", ");
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(TOLD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_seconds_or_dates() {
        let now = httpdate::parse_http_date("Mon, 30 Nov 2026 10:00:00 GMT").unwrap();
        let after = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, now)
        };
        assert_eq!(after("120"), Some(Duration::from_mins(2)));
        assert_eq!(
            after("Mon, 30 Nov 2026 10:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(after("Mon, 30 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn errors_are_told_without_control_characters() {
        let text =
            br#"{"errors": [{"code": "DENIED"}, {"code": "A", "message": "not\u001b[2J you"}]}"#;
        assert_eq!(message(text), "DENIED, not[2J you");
        assert_eq!(message(b"<html>"), "");
    }
}
