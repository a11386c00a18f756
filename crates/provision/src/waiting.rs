//! A configuration as a file of our own, with where it was found: for the network stage, and for after a reset.
//!
//! Whoever writes the file makes it root's alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::run::{Afterwards, Found};

/// As it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    source: String,
    name: String,
    base64: String,
    #[serde(default)]
    afterwards: Afterwards,
}

/// A file that is not one of these.
#[derive(Debug, thiserror::Error)]
pub enum WaitingError {
    /// Its form.
    #[error("is no configuration that waits: {0}")]
    Form(#[from] serde_json::Error),
    /// The bytes in it.
    #[error("is no configuration that waits: {0}")]
    Bytes(#[from] base64::DecodeError),
}

/// The file's bytes.
pub fn to_bytes(found: &Found) -> Vec<u8> {
    let waiting = Waiting {
        source: found.source.clone(),
        name: found.name.clone(),
        base64: STANDARD.encode(&found.bytes),
        afterwards: found.afterwards,
    };
    // Strings always can be JSON.
    serde_json::to_vec(&waiting).unwrap_or_default()
}

/// What was found, from the file's bytes.
///
/// # Errors
/// If they are something else.
pub fn from_bytes(bytes: &[u8]) -> Result<Found, WaitingError> {
    let waiting: Waiting = serde_json::from_slice(bytes)?;
    Ok(Found {
        bytes: STANDARD.decode(waiting.base64)?,
        source: waiting.source,
        name: waiting.name,
        afterwards: waiting.afterwards,
    })
}
