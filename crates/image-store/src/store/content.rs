//! Blobs by digest: written in pieces, read whole if they are small.
//!
//! containerd verifies the digest of what is written before it is there under its name.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use container_model::digest::Digest;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::{
    Info, InfoRequest, ReadContentRequest, ReadContentResponse, UpdateRequest, WriteAction,
    WriteContentRequest,
};
use containerd_client::tonic::{Response, Status, Streaming};
use prost_types::FieldMask;

use super::{Begun, Store, found, new, plain};
use crate::error::{Context as _, Error, Result};

/// Less than gRPC's limit, and enough that its frames do not count.
const PIECE: usize = 1024 * 1024;
/// Manifests and configurations are read into memory; nobody has larger ones.
const DOCUMENT_MAX: usize = 8 * 1024 * 1024;

impl Store {
    /// Whether a blob is there.
    pub async fn has(&self, digest: &Digest) -> Result<bool> {
        let message = InfoRequest {
            digest: digest.to_string(),
        };
        let mut client = ContentClient::new(self.channel.clone());
        Ok(found(client.info(self.request(message)).await)?.is_some())
    }

    /// Writes a blob, unless it is there.
    pub async fn write(
        &self,
        digest: &Digest,
        size: u64,
        labels: HashMap<String, String>,
        source: impl Read + Send + 'static,
    ) -> Result<()> {
        // Someone else's lease may hold it: ours must, too, and does once it was to be written under it.
        if self.has(digest).await? && matches!(self.ingest(digest, size).await?, Begun::Present) {
            return self.label(digest, labels).await;
        }
        let failure = Arc::new(Mutex::new(None));
        let pieces = Pieces::new(digest, size, labels, source, Arc::clone(&failure))?;
        let mut client = ContentClient::new(self.channel.clone());
        let request = self.request(futures::stream::iter(pieces));
        let outcome = async {
            let Some(answer) = new(client.write(request).await)? else {
                return Ok(());
            };
            let mut answers = answer.into_inner();
            while let Some(Some(_)) = new(answers.message().await)? {}
            Ok::<_, Error>(())
        };
        let outcome = outcome.await;
        let failed = failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(error) = failed {
            return Err(error).with_context(|| format!("{digest} cannot be read"));
        }
        outcome.with_context(|| format!("{digest} is not stored"))
    }

    /// Adds labels to a blob.
    pub async fn label(&self, digest: &Digest, labels: HashMap<String, String>) -> Result<()> {
        if labels.is_empty() {
            return Ok(());
        }
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = Info {
            digest: digest.to_string(),
            labels,
            ..Info::default()
        };
        let message = UpdateRequest {
            info: Some(info),
            update_mask: Some(FieldMask { paths }),
        };
        let mut client = ContentClient::new(self.channel.clone());
        let answer = client.update(self.request(message)).await;
        answer.map(|_| ()).map_err(|status| plain(&status))
    }

    /// A small blob whole.
    pub async fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let missing = || Error::NoBlob(digest.clone());
        let answer = found(self.begin_reading(digest).await)?;
        let mut pieces = answer.ok_or_else(missing)?.into_inner();
        let mut bytes = Vec::new();
        while let Some(piece) = found(pieces.message().await)?.ok_or_else(missing)? {
            bytes.extend_from_slice(&piece.data);
            if bytes.len() > DOCUMENT_MAX {
                return Err(Error::NoDocument {
                    digest: digest.clone(),
                    limit: DOCUMENT_MAX,
                });
            }
        }
        Ok(bytes)
    }

    /// A blob in pieces.
    pub async fn read(&self, digest: &Digest) -> Result<BlobPieces> {
        let answer = self.begin_reading(digest).await;
        Ok(BlobPieces(
            answer.map_err(|status| plain(&status))?.into_inner(),
        ))
    }

    async fn begin_reading(
        &self,
        digest: &Digest,
    ) -> Result<Response<Streaming<ReadContentResponse>>, Status> {
        let message = ReadContentRequest {
            digest: digest.to_string(),
            offset: 0,
            size: 0,
        };
        let mut client = ContentClient::new(self.channel.clone());
        client.read(self.request(message)).await
    }
}

/// A blob that is being read.
#[derive(Debug)]
pub struct BlobPieces(Streaming<ReadContentResponse>);

impl BlobPieces {
    /// The next one; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let piece = self.0.message().await;
        let piece = piece.map_err(|status| plain(&status))?;
        Ok(piece.map(|piece| piece.data))
    }
}

/// The messages of one write: each piece, and the order to commit.
struct Pieces<R> {
    digest: String,
    name: String,
    size: i64,
    offset: i64,
    labels: HashMap<String, String>,
    /// None once it is over.
    source: Option<R>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl<R: Read> Pieces<R> {
    fn new(
        digest: &Digest,
        size: u64,
        labels: HashMap<String, String>,
        source: R,
        failure: Arc<Mutex<Option<io::Error>>>,
    ) -> Result<Self> {
        Ok(Self {
            digest: digest.to_string(),
            // One writer of a digest at a time in this process; others have a name of their own.
            name: format!("launch-{}-{}", std::process::id(), digest.hex()),
            size: i64::try_from(size)?,
            offset: 0,
            labels,
            source: Some(source),
            failure,
        })
    }

    fn message(&mut self, action: WriteAction, data: Vec<u8>) -> WriteContentRequest {
        WriteContentRequest {
            action: action.into(),
            r#ref: self.name.clone(),
            total: self.size,
            expected: self.digest.clone(),
            offset: self.offset,
            data,
            labels: std::mem::take(&mut self.labels),
        }
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = WriteContentRequest;

    fn next(&mut self) -> Option<WriteContentRequest> {
        let source = self.source.as_mut()?;
        let mut data = Vec::new();
        let read = source.take(PIECE as u64).read_to_end(&mut data);
        match read {
            Ok(0) => {
                self.source = None;
                Some(self.message(WriteAction::Commit, Vec::new()))
            }
            Ok(count) => {
                let labels = std::mem::take(&mut self.labels);
                let message = self.message(WriteAction::Write, data);
                // containerd takes them with the commit.
                self.labels = labels;
                self.offset += i64::try_from(count).unwrap_or(i64::MAX);
                Some(message)
            }
            Err(error) => {
                self.source = None;
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}
