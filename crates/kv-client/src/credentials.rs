//! Who asks: a user and a password, for HTTP's basic authentication.
//!
//! It says nothing about whether they are right.
use std::fmt;

use hyper::header::HeaderValue;

use crate::error::ConfigError;

/// A user and the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; it cannot hold a colon.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The value of an `Authorization` header (RFC 7617).
    pub fn authorization(&self) -> Result<String, ConfigError> {
        let Self { user, password } = self;
        if user.contains(':') {
            return Err(ConfigError::UserName(user.clone()));
        }
        Ok(format!(
            "Basic {}",
            base64(format!("{user}:{password}").as_bytes())
        ))
    }

    pub(crate) fn header(&self) -> Result<HeaderValue, ConfigError> {
        let mut value = HeaderValue::from_str(&self.authorization()?)
            .unwrap_or_else(|_| unreachable!("base64 is fit for a header"));
        value.set_sensitive(true);
        Ok(value)
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= group.len() {
                text.push(char::from(
                    ALPHABET[(bits >> (18 - 6 * place) & 63) as usize],
                ));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// RFC 4648, section 10.
    #[test]
    fn base64_gives_the_known_answers() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
