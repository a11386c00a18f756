//! How what is remote is brought, for whoever has a network.
//!
//! In the first moments of a machine nobody has: then nothing is given, and a plan that needs it waits.

use provision_model::plan::Remote;

/// Why bytes did not come.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {url}: {reason}")]
pub struct FetchError {
    /// From where.
    pub url: String,
    /// In words.
    pub reason: String,
}

/// Brings bytes.
pub trait Fetch {
    /// All bytes at an address, as they are there.
    ///
    /// # Errors
    /// If they do not come, however often it was tried.
    fn fetch(&self, remote: &Remote) -> Result<Vec<u8>, FetchError>;
}
