//! What asks for the next page of a list.
//!
//! Base64url, padded, of two little-endian numbers of 16 bits. Whether the limit is the server's is for
//! the server to check.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use thiserror::Error;

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken {
    /// How many entries a page has.
    pub limit: u16,
    /// Which page, from 1.
    pub page: u16,
}

/// Not a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid nextPageToken `{0}`")]
pub struct PageTokenError(String);

impl PageToken {
    /// The first page.
    pub fn first(limit: u16) -> Self {
        Self { limit, page: 1 }
    }

    /// The page after this.
    pub fn next(self) -> Option<Self> {
        let page = self.page.checked_add(1)?;
        Some(Self { page, ..self })
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.limit.to_le_bytes(), self.page.to_le_bytes()];
        f.write_str(&URL_SAFE.encode(bytes.concat()))
    }
}

impl FromStr for PageToken {
    type Err = PageTokenError;

    fn from_str(text: &str) -> Result<Self, PageTokenError> {
        let error = || PageTokenError(text.to_owned());
        let bytes = URL_SAFE.decode(text).map_err(|_| error())?;
        let [a, b, c, d] = bytes[..] else {
            return Err(error());
        };
        let token = Self {
            limit: u16::from_le_bytes([a, b]),
            page: u16::from_le_bytes([c, d]),
        };
        if token.page == 0 {
            return Err(error());
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From fleet's tests.
    #[test]
    fn is_written_as_fleet_wrote_it() {
        let token = PageToken {
            limit: 19,
            page: 11776 + 76,
        };
        assert_eq!("EwBMLg==".parse(), Ok(token));
        assert_eq!(token.to_string(), "EwBMLg==");
        assert_eq!(PageToken::first(100).next().map(|t| t.page), Some(2));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "EwBMLg", "ZAAAAA==", "!!", "EwBMLgAA"] {
            assert!(text.parse::<PageToken>().is_err(), "{text}");
        }
    }
}
