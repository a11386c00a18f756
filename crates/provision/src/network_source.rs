//! Where a configuration may be on the network: an address on the kernel command line, or a cloud's metadata service.
//!
//! One of them at most: who names an address means it.

use std::path::Path;

use provision_model::plan::{Compression, Contents, Digest, Fetching, Remote, Source};

use crate::command_line::{CommandLine, CommandLineError};
use crate::fetch::FetchError;
use crate::metadata::{self, Client, MetadataError, Pace, Wishes};
use crate::platform::{self, Platform, PlatformError};
use crate::run::{Afterwards, Found, Network};

/// How gzip's bytes begin: clouds limit user data, so owners pack it.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A place on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkSource {
    /// The command line's.
    Address {
        /// Of http or https.
        url: String,
        /// Of its bytes.
        digest: Option<Digest>,
    },
    /// A metadata service.
    Service {
        /// Whose.
        platform: Platform,
        /// Where.
        base: String,
    },
}

/// What there is to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    Nothing,
    /// This.
    Source(NetworkSource),
}

/// Why it cannot be said what there is to ask.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The command line.
    #[error(transparent)]
    CommandLine(#[from] CommandLineError),
    /// The platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// A source does not give what it should.
#[derive(Debug, thiserror::Error)]
pub enum NetworkSourceError {
    /// An address.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A metadata service.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// What came cannot be unpacked, or is not what was said.
    #[error("{name}: {reason}")]
    Contents {
        /// Where from.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Choice {
    /// By the kernel command line, and the firmware as shown below `sys`.
    ///
    /// # Errors
    /// If the command line cannot be obeyed.
    pub fn make(command_line: &str, sys: &Path) -> Result<Self, ChoiceError> {
        let line = CommandLine::parse(command_line)?;
        if let Some(url) = line.config {
            let digest = line.digest;
            return Ok(Self::Source(NetworkSource::Address { url, digest }));
        }
        Ok(match platform::detect(&line, sys)? {
            None => Self::Nothing,
            Some(platform) => {
                let base = base(line.metadata, &platform);
                Self::Source(NetworkSource::Service { platform, base })
            }
        })
    }
}

fn base(said: Option<String>, platform: &Platform) -> String {
    match (said, platform) {
        (Some(base), Platform::NoCloud(_)) => format!("{base}/"),
        (Some(base), _) => base,
        (None, platform) => platform.usual_address().to_owned(),
    }
}

impl NetworkSource {
    /// In words.
    pub fn name(&self) -> String {
        match self {
            Self::Address { url, .. } => url.clone(),
            Self::Service { platform, .. } => {
                format!("the metadata service of {}", platform.name())
            }
        }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        match self {
            Self::Address { url, .. } => url,
            Self::Service { base, .. } => base,
        }
    }

    /// The configuration there, and what the platform itself wants of the machine. Waits for the network and tells.
    ///
    /// # Errors
    /// If it cannot be had, however often it was tried.
    pub fn look(
        &self,
        network: &dyn Network,
        pace: Pace,
        tell: &dyn Fn(&str),
    ) -> Result<(Found, Wishes), NetworkSourceError> {
        match self {
            Self::Address { url, digest } => {
                let found = fetch(url, digest.as_ref(), network)?;
                Ok((found, Wishes::default()))
            }
            Self::Service { platform, base } => {
                let client = Client::new(base, pace, tell);
                let metadata = metadata::read(platform, &client)?;
                let wishes = metadata.wishes(platform);
                Ok((self.user_data(metadata.user_data)?, wishes))
            }
        }
    }

    /// An empty one asks for nothing, in our own format.
    fn user_data(&self, bytes: Option<Vec<u8>>) -> Result<Found, NetworkSourceError> {
        let bytes = bytes.filter(|bytes| !bytes.trim_ascii().is_empty());
        let what = if bytes.is_some() {
            "user data"
        } else {
            "no user data"
        };
        let source = format!("{} ({what})", self.name());
        let name = "user-data".to_owned();
        let bytes = unpacked(&bytes.unwrap_or_default(), None).map_err(|reason| {
            NetworkSourceError::Contents {
                name: source.clone(),
                reason,
            }
        })?;
        Ok(Found {
            bytes,
            source,
            name,
            afterwards: Afterwards::Stays,
        })
    }
}

fn fetch(
    url: &str,
    digest: Option<&Digest>,
    network: &dyn Network,
) -> Result<Found, NetworkSourceError> {
    let fetch = network.open(&Fetching::default(), &[])?;
    let remote = Remote {
        url: url.to_owned(),
        headers: Vec::new(),
    };
    let bytes = fetch.fetch(&remote)?;
    let bytes = unpacked(&bytes, digest).map_err(|reason| NetworkSourceError::Contents {
        name: url.to_owned(),
        reason,
    })?;
    Ok(Found {
        bytes,
        source: url.to_owned(),
        name: url.to_owned(),
        afterwards: Afterwards::Stays,
    })
}

/// Judged as they came, then unpacked if they are packed.
fn unpacked(bytes: &[u8], digest: Option<&Digest>) -> Result<Vec<u8>, String> {
    let compression = if bytes.starts_with(&GZIP) {
        Compression::Gzip
    } else {
        Compression::None
    };
    let contents = Contents {
        source: Source::Inline(Vec::new()),
        compression,
        digest: digest.cloned(),
    };
    contents.open(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
