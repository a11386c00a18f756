//! What a registry wants to see of us: a token of a server that it names, or user and password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use container_model::docker_logins::DockerLogin;
use http_auth::ChallengeRef;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::{RegistryError, Result};

/// Tokens have a few kB; this is read into memory.
const ANSWER_MAX: usize = 1024 * 1024;

/// How a registry lets somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With a user and a password.
    Basic,
    /// With a token.
    Bearer {
        /// The URL of who gives tokens.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
        /// What the token is to be good for.
        scope: Option<String>,
    },
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge {
    /// What an answer asks for. A token is better than a password.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter();
        let texts: Vec<&str> = texts.filter_map(|text| text.to_str().ok()).collect();
        let challenges = texts
            .iter()
            .filter_map(|text| http_auth::parse_challenges(text).ok());
        let challenges: Vec<Self> = challenges.flatten().filter_map(|one| read(&one)).collect();
        let bearer = challenges.iter().find(|one| **one != Self::Basic);
        bearer.or(challenges.first()).cloned()
    }
}

fn read(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    if challenge.scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !challenge.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameter = |wanted: &str| {
        let mut found = challenge.params.iter();
        let found = found.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped())
    };
    Some(Challenge::Bearer {
        realm: parameter("realm")?,
        service: parameter("service"),
        scope: parameter("scope"),
    })
}

/// A user and a password as a header.
pub(crate) fn basic(login: &DockerLogin) -> Option<HeaderValue> {
    let words = STANDARD.encode(format!("{}:{}", login.user, login.password));
    secret(&format!("Basic {words}"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Asks for a token to read with, as a header.
pub(crate) async fn fetch(
    endpoint: &Endpoint,
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
) -> Result<HeaderValue> {
    let host = &endpoint.place.host;
    let nonsense = |what: String| RegistryError::nonsense(host, what);
    let repository = &endpoint.place.repository;
    // Who only logs in wants to read nothing yet.
    let own = (!repository.is_empty()).then(|| format!("repository:{repository}:pull"));
    let scope = scope.or(own.as_deref());
    let mut query: Vec<(&str, &str)> = scope.map(|scope| ("scope", scope)).into_iter().collect();
    query.extend(service.map(|service| ("service", service)));
    let url = reqwest::Url::parse_with_params(realm, query)
        .map_err(|error| nonsense(format!("`{realm}` as the address of tokens: {error}")))?;
    if endpoint.is_tls() && url.scheme() != "https" {
        let text = format!("`{realm}` as the address of tokens, which is not https as itself");
        return Err(nonsense(text));
    }
    let mut request = endpoint.client.get(url);
    if let Some(login) = endpoint.login.as_ref().and_then(basic) {
        request = request.header(AUTHORIZATION, login);
    }
    let answer = request.send().await;
    let answer = answer.map_err(|error| RegistryError::transport(host, error))?;
    let what = format!("token for {}", endpoint.place.repository);
    let answer = endpoint.judge(answer, &what).await?;
    let bytes = endpoint.body(answer, ANSWER_MAX).await?;
    let answer: Option<Answer> = serde_json::from_slice(&bytes).ok();
    let token = answer.and_then(|answer| answer.token.or(answer.access_token));
    let header = token.and_then(|token| secret(&format!("Bearer {token}")));
    header.ok_or_else(|| nonsense("something else than a token".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(texts: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
        }
        Challenge::read(&headers)
    }

    #[test]
    fn challenges_are_read() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/a:pull\"";
        let bearer = Challenge::Bearer {
            realm: "https://auth.docker.io/token".to_owned(),
            service: Some("registry.docker.io".to_owned()),
            scope: Some("repository:library/a:pull".to_owned()),
        };
        assert_eq!(challenge(&[hub]), Some(bearer.clone()));
        assert_eq!(challenge(&["Basic realm=\"a\"", hub]), Some(bearer));
        assert_eq!(challenge(&["basic realm=\"a\""]), Some(Challenge::Basic));
        assert_eq!(challenge(&["Negotiate"]), None);
        assert_eq!(challenge(&["Bearer service=\"a\""]), None, "no realm");
        assert_eq!(challenge(&[]), None);
    }

    #[test]
    fn passwords_are_not_printed() {
        let login = DockerLogin {
            user: "a".to_owned(),
            password: "b".to_owned(),
        };
        let header = basic(&login).unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic YTpi");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
