//! A client of image registries, by OCI's distribution specification and Docker's habits.
//!
//! A [`Remote`] is where one image comes from: its registry and the mirrors of it. It fetches manifests and
//! blobs, asks for tokens, goes from mirror to mirror, waits and tries again, and goes on where a transfer
//! broke. What comes is compared with its digest before anybody believes it. [`signature`] finds and verifies
//! cosign's signatures.
//!
//! It stores nothing, decides no policy, and pushes nothing. (The crate `oci-client` speaks the same protocol;
//! its errors do not say when a registry wants to be asked again, and it knows no mirrors.)

mod endpoint;
mod error;
mod listener;
mod login;
mod manifest;
mod patience;
mod remote;
mod settings;
pub mod signature;
mod tls;
mod token;
mod transfer;

pub use error::RegistryError;
pub use listener::{Listener, Notice, silence};
pub use login::log_in;
pub use manifest::RemoteManifest;
pub use patience::Patience;
pub use remote::Remote;
pub use settings::{Settings, SettingsError};
pub use transfer::Transfer;

/// What can go wrong here.
pub type Result<T> = std::result::Result<T, RegistryError>;
