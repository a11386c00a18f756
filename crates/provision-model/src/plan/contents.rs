//! Bytes of a file or a configuration: here or remote, compressed or not, with a digest or not.
//!
//! Fetches nothing: [`Contents::open`] judges and unpacks what somebody brought.

use std::fmt;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256, Sha512};

/// Most bytes that compressed contents may become: 512 MiB, far above any configuration.
pub(crate) const UNPACKED_MAX: u64 = 512 << 20;

/// What a file shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Where the bytes are.
    pub source: Source,
    /// How they are packed there.
    pub compression: Compression,
    /// Of the bytes as they are there, that is, before they are unpacked.
    pub digest: Option<Digest>,
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the configuration itself.
    Inline(Vec<u8>),
    /// At an address.
    Remote(Remote),
}

/// An address of `http:` or `https:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The address.
    pub url: String,
    /// Headers of the request; an empty value removes one that would be sent otherwise.
    pub headers: Vec<(String, String)>,
}

/// How bytes are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
}

/// What bytes hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

/// Hashes that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4.
    Sha512,
}

/// Why bytes are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentsError {
    /// Other bytes were expected.
    WrongDigest {
        /// As it is written in the configuration.
        expected: String,
        /// Of these bytes.
        found: String,
    },
    /// They are not gzip's.
    NotGzip(String),
    /// They would become more than 512 MiB.
    TooLarge,
}

impl Contents {
    /// Bytes that are here.
    pub fn inline(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            source: Source::Inline(bytes.into()),
            compression: Compression::None,
            digest: None,
        }
    }

    /// Bytes as the source gave them, checked and unpacked.
    pub fn open(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentsError> {
        if let Some(digest) = &self.digest {
            digest.check(bytes)?;
        }
        match self.compression {
            Compression::None => Ok(bytes.to_vec()),
            Compression::Gzip => unpack(bytes, UNPACKED_MAX),
        }
    }
}

fn unpack(bytes: &[u8], most: u64) -> Result<Vec<u8>, ContentsError> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(bytes)
        .take(most + 1)
        .read_to_end(&mut unpacked);
    read.map_err(|error| ContentsError::NotGzip(error.to_string()))?;
    if unpacked.len() as u64 > most {
        return Err(ContentsError::TooLarge);
    }
    Ok(unpacked)
}

impl Digest {
    /// From `sha256-…` or `sha512-…` with hexadecimal digits, as Ignition writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digits) = text.split_once('-')?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return None,
        };
        let bytes = from_hexadecimal(digits)?;
        (bytes.len() == algorithm.length()).then_some(Self { algorithm, bytes })
    }

    fn check(&self, bytes: &[u8]) -> Result<(), ContentsError> {
        let found = Self {
            algorithm: self.algorithm,
            bytes: self.algorithm.hash(bytes),
        };
        if found == *self {
            return Ok(());
        }
        Err(ContentsError::WrongDigest {
            expected: self.to_string(),
            found: found.to_string(),
        })
    }
}

fn from_hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    });
    bytes.collect()
}

impl Algorithm {
    /// In bytes.
    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.algorithm {
            Algorithm::Sha256 => "sha256-",
            Algorithm::Sha512 => "sha512-",
        })?;
        self.bytes
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for ContentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongDigest { expected, found } => {
                write!(f, "the contents are {found}, expected was {expected}")
            }
            Self::NotGzip(error) => write!(f, "the contents are not gzip's: {error}"),
            Self::TooLarge => write!(f, "the contents unpack to more than {UNPACKED_MAX} bytes"),
        }
    }
}

impl std::error::Error for ContentsError {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn digests_are_of_the_packed_bytes() {
        let bytes = packed(b"hello");
        let digest = Digest {
            algorithm: Algorithm::Sha256,
            bytes: Algorithm::Sha256.hash(&bytes),
        };
        let contents = Contents {
            digest: Digest::parse(&digest.to_string()),
            compression: Compression::Gzip,
            ..Contents::inline("")
        };
        assert_eq!(contents.open(&bytes).unwrap(), b"hello");
        let wrong = contents.open(b"hello").unwrap_err();
        assert!(
            matches!(wrong, ContentsError::WrongDigest { .. }),
            "{wrong}"
        );
    }

    #[test]
    fn unpacking_is_bounded() {
        let bytes = packed(&[0; 1_000]);
        assert_eq!(unpack(&bytes, 1_000).unwrap().len(), 1_000);
        assert_eq!(unpack(&bytes, 999), Err(ContentsError::TooLarge));
        assert!(matches!(unpack(b"no", 9), Err(ContentsError::NotGzip(_))));
    }

    #[test]
    fn digests_that_cannot_be_are_refused() {
        for text in ["", "sha256", "sha256-", "sha256-00", "md5-00", "sha512-zz"] {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
        let short = format!("sha256-{}", "0".repeat(63));
        assert_eq!(Digest::parse(&short), None);
    }
}
