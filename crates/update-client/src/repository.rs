//! The signed metadata of a release directory: The Update Framework (<https://theupdateframework.github.io/specification/>).
//!
//! Channels and manifests are its targets; what manifests name is checked against their digests. Remembers
//! in a folder what was seen, so that nothing older is accepted later. Does not fetch releases.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream;
use tokio::runtime::{Builder, Runtime};
use tough::schema::{RoleType, Root, Signed};
use tough::{
    ExpirationEnforcement, IntoVec as _, RepositoryLoader, TargetName, Transport, TransportError,
    TransportErrorKind, TransportStream, async_trait,
};
use update_model::channel::Channel;
use update_model::digest::FileDigest;
use update_model::manifest::{DOCUMENT_LENGTH_MAX, Manifest};
use url::Url;

use crate::error::{ClientError, Result};
use crate::source::Source;

/// Where metadata stands in a release directory.
pub const METADATA_FOLDER: &str = "metadata";
/// Where channels and manifests stand, each under `DIGEST.NAME`.
pub const TARGETS_FOLDER: &str = "targets";

/// Whether metadata may be older than its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Expired metadata is refused: it may be kept back by somebody.
    Enforced,
    /// For whoever is about to sign anew.
    Ignored,
}

/// A release directory whose metadata is accepted.
#[derive(Debug)]
pub struct Repository {
    runtime: Runtime,
    inner: tough::Repository,
    fetched: Arc<Mutex<String>>,
}

impl Repository {
    /// Reads the metadata, from a root that is trusted on to the newest.
    ///
    /// `seen` is a folder that keeps what was accepted from one time to the next; without one nothing is
    /// known to be older than before.
    pub fn load(
        source: Arc<dyn Source>,
        trusted_root: &[u8],
        seen: Option<&Path>,
        expiry: Expiry,
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .build()
            .map_err(|e| setup("the runtime", e))?;
        let fetched = Arc::new(Mutex::new("the trusted root".to_owned()));
        let transport = SourceTransport {
            source,
            fetched: Arc::clone(&fetched),
        };
        let mut loader =
            RepositoryLoader::new(&trusted_root, base(METADATA_FOLDER)?, base(TARGETS_FOLDER)?)
                .transport(transport)
                .expiration_enforcement(match expiry {
                    Expiry::Enforced => ExpirationEnforcement::Safe,
                    Expiry::Ignored => ExpirationEnforcement::Unsafe,
                });
        if let Some(folder) = seen {
            loader = loader.datastore(folder);
        }
        let result = runtime.block_on(loader.load());
        let inner = result.map_err(|error| metadata_error(&fetched, error))?;
        Ok(Self {
            runtime,
            inner,
            fetched,
        })
    }

    /// The root that the chain of roots led to.
    pub fn root(&self) -> &Signed<Root> {
        self.inner.root()
    }

    /// Versions of targets, snapshot and timestamp.
    pub fn versions(&self) -> [u64; 3] {
        [
            self.inner.targets().signed.version.get(),
            self.inner.snapshot().signed.version.get(),
            self.inner.timestamp().signed.version.get(),
        ]
    }

    /// When the first of the roles expires, and which that is.
    pub fn expires(&self) -> String {
        let inner = &self.inner;
        let roles = [
            (inner.root().signed.expires, RoleType::Root),
            (inner.targets().signed.expires, RoleType::Targets),
            (inner.snapshot().signed.expires, RoleType::Snapshot),
            (inner.timestamp().signed.expires, RoleType::Timestamp),
        ];
        let first = roles.into_iter().min_by_key(|(expires, _)| *expires);
        first.map_or_else(String::new, |(expires, role)| format!("{expires} ({role})"))
    }

    /// The names of all targets, sorted.
    pub fn targets(&self) -> Vec<String> {
        let names = self.inner.all_targets();
        let mut names: Vec<String> = names.map(|(name, _)| name.raw().to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Where a target stands in the release directory.
    pub fn target_path(&self, name: &str) -> Option<String> {
        let target = self
            .inner
            .all_targets()
            .find(|(one, _)| one.raw() == name)?
            .1;
        let digest = FileDigest(target.hashes.sha256.as_ref().try_into().ok()?);
        Some(format!("{TARGETS_FOLDER}/{digest}.{name}"))
    }

    /// Reads a target, checked against the metadata.
    pub fn read_target(&self, name: &str) -> Result<Vec<u8>> {
        let missing = || ClientError::NoTarget(name.to_owned());
        let target_name = TargetName::new(name).map_err(|_| missing())?;
        self.runtime.block_on(async {
            let stream = self.inner.read_target(&target_name).await;
            let stream = stream
                .map_err(|error| metadata_error(&self.fetched, error))?
                .ok_or_else(missing)?;
            let bytes = stream.into_vec().await;
            bytes.map_err(|error| metadata_error(&self.fetched, error))
        })
    }

    /// Reads a channel document.
    pub fn channel(&self, product: &str, channel: &str) -> Result<Channel> {
        let name = Channel::target_name(product, channel);
        let bytes = self.read_target(&name)?;
        let found = Channel::parse(&bytes).map_err(|source| ClientError::Channel {
            path: self.path_of(&name),
            source,
        })?;
        if found.product != product || found.channel != channel {
            return Err(ClientError::OtherRelease {
                path: self.path_of(&name),
                found: format!("{} of {}", found.channel, found.product),
                expected: format!("{channel} of {product}"),
            });
        }
        Ok(found)
    }

    /// Reads a manifest.
    pub fn manifest(&self, name: &str) -> Result<Manifest> {
        let bytes = self.read_target(name)?;
        let manifest = Manifest::parse(&bytes).map_err(|source| ClientError::Manifest {
            path: self.path_of(name),
            source,
        })?;
        let own_name = Manifest::target_name(&manifest.product, &manifest.version);
        if own_name != name {
            return Err(ClientError::OtherRelease {
                path: self.path_of(name),
                found: own_name,
                expected: name.to_owned(),
            });
        }
        Ok(manifest)
    }

    fn path_of(&self, name: &str) -> String {
        self.target_path(name).unwrap_or_else(|| name.to_owned())
    }
}

fn setup<E>(what: &'static str, source: E) -> ClientError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    ClientError::Setup {
        what,
        source: source.into(),
    }
}

/// Loading is sequential: what was fetched last is what was not accepted.
fn metadata_error(fetched: &Mutex<String>, source: tough::error::Error) -> ClientError {
    let file = fetched
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    ClientError::Metadata {
        file,
        source: Box::new(source),
    }
}

/// A base of URLs that only mean paths below the release directory.
fn base(folder: &str) -> Result<Url> {
    Url::parse(&format!("release://directory/{folder}/")).map_err(|e| setup("paths", e))
}

/// A source, as tough wants it.
#[derive(Clone, Debug)]
struct SourceTransport {
    source: Arc<dyn Source>,
    fetched: Arc<Mutex<String>>,
}

#[async_trait]
impl Transport for SourceTransport {
    /// Reads all of it at once, and no more than a little over what any document may have: tough finds
    /// that it is too long.
    async fn fetch(&self, url: Url) -> std::result::Result<TransportStream, TransportError> {
        let path = url.path().trim_start_matches('/').to_owned();
        let read = self.source.open(&path, None).and_then(|reader| {
            self.fetched
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&path);
            let mut bytes = Vec::new();
            reader
                .take(3 * DOCUMENT_LENGTH_MAX)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let bytes = read.map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => TransportErrorKind::FileNotFound,
                _ => TransportErrorKind::Other,
            };
            TransportError::new_with_cause(kind, &path, error)
        })?;
        let bytes: std::result::Result<Bytes, TransportError> = Ok(Bytes::from(bytes));
        Ok(Box::pin(stream::once(std::future::ready(bytes))))
    }
}
