//! `PRODUCT.CHANNEL.json`: which releases a channel offers, and how.
//!
//! What may change after a release was made (how far it is rolled out, whether it was withdrawn) stands
//! here, what it consists of in its [`crate::manifest`]. Unknown keys are errors.

use disk_format::verity::RootHash;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::as_text;
use crate::manifest::{FORMAT, is_name, is_safe_path};
use crate::rollout::Rollout;
use crate::version::Version;

/// A channel of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// [`FORMAT`].
    pub format: u32,
    /// The product.
    pub product: String,
    /// The channel's name: `stable`, `beta` or `edge`, or one of your own.
    pub channel: String,
    /// From the oldest to the newest.
    pub releases: Vec<Offer>,
}

/// A release as a channel offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Its version.
    pub version: Version,
    /// The name of its manifest among the TUF targets.
    pub manifest: String,
    /// Its root hash.
    #[serde(with = "as_text")]
    pub root_hash: RootHash,
    /// Who may take it when.
    pub rollout: Rollout,
    /// Every machine that is older must run this one before any newer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub barrier: bool,
    /// Machines older than this must take another release first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<Version>,
    /// Whether it is offered at all.
    #[serde(default, skip_serializing_if = "Standing::is_offered")]
    pub standing: Standing,
}

/// What a channel holds of a release today.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Standing {
    /// Machines take it.
    #[default]
    Offered,
    /// Nobody takes it for now.
    Paused(String),
    /// Nobody takes it any more; whoever runs it updates away from it.
    Withdrawn(String),
    /// Nobody takes it, and whoever runs it cannot update by itself.
    DeadEnd(String),
}

impl Standing {
    fn is_offered(&self) -> bool {
        *self == Self::Offered
    }
}

// serde calls it with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A document that is no channel, or contradicts itself.
#[derive(Debug, Error)]
pub enum InvalidChannel {
    /// Not JSON of this form.
    #[error("it is no channel document")]
    Json(#[source] serde_json::Error),
    /// Of another format.
    #[error("its format is {0}, this program knows {FORMAT}: update to an earlier release first")]
    Format(u32),
    /// A name of a product, channel or manifest that is none.
    #[error("{0:?} is no name")]
    Name(String),
    /// Not in order, or twice.
    #[error("release {0} does not follow an older one")]
    Order(Version),
    /// Waves that do not grow.
    #[error("release {version}")]
    Rollout {
        /// Of which release.
        version: Version,
        /// Why not.
        source: crate::rollout::InvalidRollout,
    },
}

impl Channel {
    /// A channel without releases.
    pub fn new(product: &str, channel: &str) -> Self {
        Self {
            format: FORMAT,
            product: product.to_owned(),
            channel: channel.to_owned(),
            releases: Vec::new(),
        }
    }

    /// The name of the document among the TUF targets.
    pub fn target_name(product: &str, channel: &str) -> String {
        format!("{product}.{channel}.json")
    }

    /// Reads a channel document and checks that it does not contradict itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidChannel> {
        let channel: Self = serde_json::from_slice(bytes).map_err(InvalidChannel::Json)?;
        channel.check()?;
        Ok(channel)
    }

    /// Its text, which ends in a line break.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: there are no maps with keys other than text.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether it contradicts itself.
    pub fn check(&self) -> Result<(), InvalidChannel> {
        if self.format != FORMAT {
            return Err(InvalidChannel::Format(self.format));
        }
        for name in [&self.product, &self.channel] {
            if !is_name(name) {
                return Err(InvalidChannel::Name(name.clone()));
            }
        }
        for offer in &self.releases {
            if !is_safe_path(&offer.manifest) || offer.manifest.contains('/') {
                return Err(InvalidChannel::Name(offer.manifest.clone()));
            }
            let version = offer.version.clone();
            let rollout = offer.rollout.check();
            rollout.map_err(|source| InvalidChannel::Rollout { version, source })?;
        }
        let mut pairs = self.releases.windows(2);
        match pairs.find(|pair| pair[0].version >= pair[1].version) {
            Some(pair) => Err(InvalidChannel::Order(pair[1].version.clone())),
            None => Ok(()),
        }
    }

    /// The release of this version.
    pub fn offer(&self, version: &Version) -> Option<&Offer> {
        self.releases.iter().find(|offer| offer.version == *version)
    }

    /// The same, to be changed.
    pub fn offer_mut(&mut self, version: &Version) -> Option<&mut Offer> {
        self.releases
            .iter_mut()
            .find(|offer| offer.version == *version)
    }
}
