//! Who to log in to a registry as: the header `X-Registry-Auth`, and the body of `POST /auth`.
//!
//! Tokens that a registry's web page gave are refused, as in Docker's files of logins.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use container_model::docker_logins::DockerLogin;

use crate::ApiError;
use crate::fields::Fields;

/// Clients write it with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The header's name.
pub const HEADER: &str = "x-registry-auth";
/// Docker Hub, which is meant where no registry is named.
const HUB: &str = "docker.io";

/// A login, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// None if there is no user.
    pub login: Option<DockerLogin>,
    /// The registry's name, as it stands in images' names.
    pub host: String,
}

/// Either alphabet of base64, which mean the same.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().replace('+', "-").replace('/', "_");
    LENIENT.decode(text).ok()
}

impl Credentials {
    /// Of the header. An empty one is none.
    pub fn of_header(text: &str) -> Result<Option<DockerLogin>, ApiError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let refuse = || ApiError::bad_request("X-Registry-Auth: it is no base64 of JSON");
        let bytes = decode(text).ok_or_else(refuse)?;
        Self::of_body(&bytes).map(|read| read.login)
    }

    /// Of JSON.
    pub fn of_body(bytes: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(bytes)?;
        fields.ignore(&["email"]);
        let host = host(&fields.text("serveraddress")?.unwrap_or_default());
        for name in ["identitytoken", "registrytoken"] {
            if fields.text(name)?.is_some() {
                let reason = "tokens are not supported: log in with a user and a password";
                return Err(fields.refuse(name, reason));
            }
        }
        let (user, password) = (fields.text("username")?, fields.text("password")?);
        let both = fields.text("auth")?;
        let login = match (user, both) {
            (Some(user), _) => Some(DockerLogin {
                user,
                password: password.unwrap_or_default(),
            }),
            (None, Some(both)) => {
                let text = decode(&both).and_then(|bytes| String::from_utf8(bytes).ok());
                let pair = text.as_deref().and_then(|text| text.split_once(':'));
                let reason = "it is no base64 of user:password";
                let (user, password) = pair.ok_or_else(|| fields.refuse("auth", reason))?;
                Some(DockerLogin {
                    user: user.to_owned(),
                    password: password.to_owned(),
                })
            }
            (None, None) => None,
        };
        fields.finish()?;
        Ok(Self { login, host })
    }
}

/// A registry's name of the address that clients write: `https://index.docker.io/v1/` is Docker Hub.
fn host(address: &str) -> String {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"))
        .unwrap_or(address);
    let host = rest.split('/').next().unwrap_or_default();
    match host {
        "" | "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> DockerLogin {
        DockerLogin {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn headers_are_read_in_every_form() {
        // {"username":"me","password":"s?>~"}, by Go's URL encoding and without padding.
        for text in [
            "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzPz5-In0=",
            "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzPz5-In0",
            "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzPz5+In0=",
        ] {
            assert_eq!(
                Credentials::of_header(text),
                Ok(Some(login("me", "s?>~"))),
                "{text}"
            );
        }
        // {} and null, as clients without a login send.
        for text in ["", "e30=", "bnVsbA=="] {
            assert_eq!(Credentials::of_header(text), Ok(None), "{text}");
        }
        assert_eq!(Credentials::of_header("{}").unwrap_err().status, 400);
    }

    #[test]
    fn bodies_name_a_registry() {
        let read = |text: &str| Credentials::of_body(text.as_bytes());
        let hub = read(r#"{"auth":"YTpiOmM=","serveraddress":"https://index.docker.io/v1/"}"#);
        let hub = hub.unwrap();
        assert_eq!(
            (hub.host.as_str(), hub.login),
            ("docker.io", Some(login("a", "b:c")))
        );
        let own = read(r#"{"username":"a","serveraddress":"localhost:5000"}"#).unwrap();
        assert_eq!(
            (own.host.as_str(), own.login),
            ("localhost:5000", Some(login("a", "")))
        );
        let error = read(r#"{"identitytoken":"x"}"#).unwrap_err();
        assert!(error.message.starts_with("identitytoken: "), "{error}");
    }
}
