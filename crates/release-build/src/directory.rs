//! A release directory as it stands: its documents, accepted under the keys at hand.
//!
//! ```text
//! metadata/   N.root.json, N.targets.json, N.snapshot.json, timestamp.json
//! targets/    DIGEST.PRODUCT.CHANNEL.json, DIGEST.PRODUCT-VERSION.json
//! files/      PRODUCT-VERSION/ with what the manifest names
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use update_client::repository::{Expiry, METADATA_FOLDER, Repository};
use update_client::source::{DirectorySource, Source};
use update_model::channel::Channel;
use update_model::manifest::Manifest;
use update_model::version::Version;

use crate::error::{ReleaseError, Result, read};
use crate::root_metadata::{newest_version, root_path};

/// The documents of a release directory, and the versions of its metadata.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// By name.
    pub targets: BTreeMap<String, Vec<u8>>,
    /// Of targets, snapshot and timestamp; 0 for a new directory.
    pub versions: [u64; 3],
}

/// A release directory and where its keys are.
#[derive(Clone, Debug)]
pub struct ReleaseDirectory {
    /// The directory.
    pub path: PathBuf,
    /// The directory of keys, with the chain of roots.
    pub keys: PathBuf,
}

impl ReleaseDirectory {
    /// Where metadata is.
    pub fn metadata(&self) -> PathBuf {
        self.path.join(METADATA_FOLDER)
    }

    /// Reads the documents, if there are any; expired metadata will do, other keys will not.
    ///
    /// If writing was interrupted after a new root and before the timestamp, an older root still fits.
    pub fn documents(&self) -> Result<Documents> {
        let newest = newest_version(&self.metadata())?;
        if newest == 0 || !self.metadata().join("timestamp.json").exists() {
            return Ok(Documents::default());
        }
        let mut first_error = None;
        for version in (1..=newest).rev() {
            match self.documents_under(version) {
                Err(error @ ReleaseError::Existing(_)) => {
                    first_error.get_or_insert(error);
                }
                result => return result,
            }
        }
        // There is a version, so there was a result or an error.
        first_error.map_or_else(|| Ok(Documents::default()), Err)
    }

    /// The documents as they are accepted under one of the roots.
    fn documents_under(&self, version: u64) -> Result<Documents> {
        let (ours, theirs) = (
            root_path(&self.keys, version),
            root_path(&self.metadata(), version),
        );
        let root = read(&ours)?;
        if root != read(&theirs)? {
            return Err(ReleaseError::OtherKeys { theirs, ours });
        }
        let source = Arc::new(UnderOldRoot {
            directory: DirectorySource::new(&self.path),
            hidden: format!("{METADATA_FOLDER}/{}.root.json", version + 1),
        });
        let repository = Repository::load(source, &root, None, Expiry::Ignored);
        let repository = repository.map_err(ReleaseError::Existing)?;
        let mut targets = BTreeMap::new();
        for name in repository.targets() {
            let document = repository.read_target(&name);
            targets.insert(name, document.map_err(ReleaseError::Existing)?);
        }
        Ok(Documents {
            targets,
            versions: repository.versions(),
        })
    }
}

/// A release directory as it was before its next root.
#[derive(Debug)]
struct UnderOldRoot {
    directory: DirectorySource,
    hidden: String,
}

impl Source for UnderOldRoot {
    fn open(&self, path: &str, range: Option<Range<u64>>) -> io::Result<Box<dyn Read + Send>> {
        if path == self.hidden {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.directory.open(path, range)
    }

    fn name(&self) -> String {
        self.directory.name()
    }
}

impl Documents {
    /// A channel, which is empty if there is none yet.
    pub fn channel(&self, product: &str, channel: &str) -> Result<Channel> {
        let found = if let Some(bytes) = self.targets.get(&Channel::target_name(product, channel)) {
            Channel::parse(bytes)
        } else {
            let new = Channel::new(product, channel);
            new.check().map(|()| new)
        };
        found.map_err(|e| ReleaseError::Channel(channel.to_owned(), e))
    }

    /// Puts a channel in.
    pub fn set_channel(&mut self, channel: &Channel) -> Result<()> {
        channel
            .check()
            .map_err(|e| ReleaseError::Channel(channel.channel.clone(), e))?;
        let name = Channel::target_name(&channel.product, &channel.channel);
        self.targets.insert(name, channel.to_json().into_bytes());
        Ok(())
    }

    /// A release's manifest.
    pub fn manifest(&self, product: &str, version: &Version) -> Result<Option<Manifest>> {
        let Some(bytes) = self.targets.get(&Manifest::target_name(product, version)) else {
            return Ok(None);
        };
        Manifest::parse(bytes)
            .map(Some)
            .map_err(ReleaseError::Manifest)
    }
}

/// A path of a manifest, on this machine.
pub(crate) fn local(directory: &Path, path: &str) -> PathBuf {
    path.split('/')
        .fold(directory.to_owned(), |folder, part| folder.join(part))
}
