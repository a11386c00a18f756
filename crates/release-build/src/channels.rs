//! Changing what a channel says of a release that was made: offered there too, paused, withdrawn.
//!
//! Releases themselves are never changed.

use jiff::Timestamp;
use update_model::channel::{Offer, Standing};
use update_model::manifest::Manifest;
use update_model::rollout::Rollout;
use update_model::version::Version;

use crate::directory::{Documents, ReleaseDirectory};
use crate::error::{ReleaseError, Result};
use crate::keys::KeyFolders;
use crate::publication::{Lifetimes, publish};

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The release is offered in this channel from now on.
    Add(Rollout),
    /// It is held to be this.
    Stand(Standing),
    /// Its waves are these.
    Roll(Rollout),
    /// It must be run before anything newer, or no longer so.
    Barrier(bool),
}

/// Which release of which channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// The product.
    pub product: String,
    /// The channel.
    pub channel: String,
    /// The version.
    pub version: Version,
}

/// Changes a channel and signs it.
pub fn change(
    directory: &ReleaseDirectory,
    keys: &KeyFolders,
    which: &Which,
    change: &Change,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<()> {
    let mut documents = directory.documents()?;
    apply(&mut documents, which, change)?;
    publish(directory, keys, &documents, lifetimes, now)
}

fn apply(documents: &mut Documents, which: &Which, change: &Change) -> Result<()> {
    let missing = || ReleaseError::NoRelease {
        product: which.product.clone(),
        channel: which.channel.clone(),
        version: which.version.clone(),
    };
    let mut channel = documents.channel(&which.product, &which.channel)?;
    if let Change::Add(rollout) = change {
        let manifest = documents.manifest(&which.product, &which.version)?;
        let manifest = manifest.ok_or_else(missing)?;
        channel.releases.push(Offer {
            version: manifest.version.clone(),
            manifest: Manifest::target_name(&which.product, &which.version),
            root_hash: manifest.root_hash,
            rollout: rollout.clone(),
            barrier: false,
            minimum_version: None,
            standing: Standing::Offered,
        });
        return documents.set_channel(&channel);
    }
    let offer = channel.offer_mut(&which.version).ok_or_else(missing)?;
    match change {
        Change::Stand(standing) => offer.standing = standing.clone(),
        Change::Roll(rollout) => offer.rollout = rollout.clone(),
        Change::Barrier(barrier) => offer.barrier = *barrier,
        Change::Add(_) => {}
    }
    documents.set_channel(&channel)
}
