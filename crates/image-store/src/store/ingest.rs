//! Blobs that come slowly: what came before a break is kept, and the next writer goes on behind it.
//!
//! containerd verifies the digest of all of it, also of what another process wrote, before the blob is there
//! under its name. One writer at a time has a blob.

use std::collections::HashMap;
use std::time::Duration;

use container_model::digest::Digest;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::{
    AbortRequest, WriteAction, WriteContentRequest, WriteContentResponse,
};
use containerd_client::tonic::{Code, Status, Streaming};
use tokio::sync::mpsc;

use super::{Store, found, plain};
use crate::error::{Context as _, Error, Result};

/// What containerd says of a blob that somebody else is writing.
const LOCKED: &str = "locked";
/// How often, and with which pause, what came of a blob is removed at most.
const ABORTS: u32 = 10;
const ABORT_PAUSE: Duration = Duration::from_millis(50);

/// A blob that is being written.
#[derive(Debug)]
pub struct Ingest {
    name: String,
    digest: Digest,
    size: u64,
    position: u64,
    messages: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
}

/// What became of the wish to write a blob.
#[derive(Debug)]
pub enum Begun {
    /// It is there already, and held by our lease.
    Present,
    /// Somebody else is writing it.
    Locked,
    /// It can be written.
    Ingest(Box<Ingest>),
}

/// What became of a blob that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is there.
    Stored,
    /// It has another digest than its name says. Nothing of it is left.
    Wrong(
        /// containerd's words.
        String,
    ),
}

impl Store {
    /// Begins to write a blob, or goes on.
    pub async fn ingest(&self, digest: &Digest, size: u64) -> Result<Begun> {
        // Of another size it is another one: the manifest lies, or did so before.
        let name = format!("pull-{}-{size}", digest.hex());
        let (messages, receiver) = mpsc::channel(1);
        let stream = futures::stream::unfold(receiver, |mut receiver| async move {
            let message = receiver.recv().await?;
            Some((message, receiver))
        });
        let stat = message(&name, digest, size, WriteAction::Stat)?;
        let sent = messages.send(stat).await;
        sent.map_err(|_| Error::WritingEnded(digest.clone()))?;
        let mut client = ContentClient::new(self.channel.clone());
        let mut answers = match client.write(self.request(stream)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return refused(&status),
        };
        let first = match answers.message().await {
            Ok(Some(first)) => first,
            Ok(None) => return Err(Error::WritingEnded(digest.clone())),
            Err(status) => return refused(&status),
        };
        Ok(Begun::Ingest(Box::new(Ingest {
            name,
            digest: digest.clone(),
            size,
            position: u64::try_from(first.offset)?,
            messages,
            answers,
        })))
    }

    /// Forgets what came of a blob.
    async fn abort(&self, name: String) -> Result<()> {
        let mut client = ContentClient::new(self.channel.clone());
        let mut attempts = 1;
        loop {
            let message = AbortRequest {
                r#ref: name.clone(),
            };
            match client.abort(self.request(message)).await {
                // Whoever served the stream that has just ended may still write into the folder that is removed.
                Err(status) if status.code() == Code::Unknown && attempts < ABORTS => {
                    attempts += 1;
                    tokio::time::sleep(ABORT_PAUSE).await;
                }
                done => return found(done).map(|_| ()),
            }
        }
    }
}

fn refused(status: &Status) -> Result<Begun> {
    match status.code() {
        Code::AlreadyExists => Ok(Begun::Present),
        Code::Unavailable if status.message().contains(LOCKED) => Ok(Begun::Locked),
        _ => Err(plain(status)),
    }
}

fn message(
    name: &str,
    digest: &Digest,
    size: u64,
    action: WriteAction,
) -> Result<WriteContentRequest> {
    Ok(WriteContentRequest {
        action: action.into(),
        r#ref: name.to_owned(),
        total: i64::try_from(size)?,
        expected: digest.to_string(),
        ..WriteContentRequest::default()
    })
}

impl Ingest {
    /// How many bytes there are.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Writes the next bytes.
    pub async fn write(&mut self, data: Vec<u8>) -> Result<()> {
        let length = data.len() as u64;
        let mut message = message(&self.name, &self.digest, self.size, WriteAction::Write)?;
        message.offset = i64::try_from(self.position)?;
        message.data = data;
        let written = self.exchange(message).await;
        let written = written.map_err(|status| plain(&status));
        written.with_context(|| format!("{} is not stored", self.digest))?;
        self.position += length;
        Ok(())
    }

    /// Ends the blob: what there is, is all of it.
    pub async fn commit(
        mut self,
        store: &Store,
        labels: HashMap<String, String>,
    ) -> Result<Committed> {
        let mut message = message(&self.name, &self.digest, self.size, WriteAction::Commit)?;
        message.offset = i64::try_from(self.position)?;
        message.labels = labels;
        match self.exchange(message).await {
            Ok(()) => Ok(Committed::Stored),
            Err(status) if status.code() == Code::AlreadyExists => Ok(Committed::Stored),
            Err(status) if status.code() == Code::FailedPrecondition => {
                self.forget(store).await?;
                Ok(Committed::Wrong(status.message().to_owned()))
            }
            Err(status) => {
                Err(plain(&status)).with_context(|| format!("{} is not stored", self.digest))
            }
        }
    }

    /// Forgets what came.
    pub async fn forget(self, store: &Store) -> Result<()> {
        let name = self.name.clone();
        drop(self);
        store.abort(name).await
    }

    async fn exchange(&mut self, message: WriteContentRequest) -> Result<(), Status> {
        // A stream that has ended says why in its answer.
        let _ended = self.messages.send(message).await;
        match self.answers.message().await? {
            Some(_) => Ok(()),
            None => Err(Status::aborted("containerd ended the writing")),
        }
    }
}
