//! `Snapshot`: a copy of the store, as `etcdctl snapshot save` writes it to a file.
//!
//! The copy itself is kvd's ([`crate::http::snapshot`]). As etcd's, it is followed by its SHA-256; and
//! it is filled up with zeros to a multiple of 512 bytes before, because etcd's files are and clients
//! see by the length whether the sum is there. `kvd restore` takes such a file.
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use etcd_v3::proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use etcd_v3::{Code, Place, Status, frame};
use kv_cluster::SNAPSHOT_BLOCK_BYTES;
use kv_model::Revision;
use sha2::{Digest as _, Sha256};

use super::call::Call;
use super::reply::{self, Messages};
use crate::http::answer::Answer;
use crate::http::health::SPOKEN_VERSION;
use crate::http::snapshot::{Copy, CopyError};

/// `Snapshot`.
pub(super) async fn snapshot(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<SnapshotRequest>().await?;
    door.check_root(&caller)?;
    // Without a quorum, it is what this member has: as with etcd, always.
    if let Err(error) = door.state.backend.linearize().await {
        tracing::warn!(%error, "a copy of the store may lack what other members have");
    }
    let revision = door.revision()?;
    let storage = door.state.backend.storage();
    let copy = Copy::begin(door.state).await.map_err(|error| match error {
        CopyError::TooMany => Status::TOO_MANY_REQUESTS,
        CopyError::Store(error) => {
            tracing::warn!(%error, "cannot make a copy of the store");
            Status::STORAGE
        }
    })?;
    Ok(reply::stream(Blobs {
        stage: Stage::Copy(copy),
        hash: Sha256::new(),
        sent: 0,
        expected: storage.database_bytes + storage.history_bytes,
        place: door.place(),
        revision,
    }))
}

/// What comes next.
enum Stage {
    Copy(Copy),
    Sum,
    End,
}

/// The copy in messages.
struct Blobs {
    stage: Stage,
    hash: Sha256,
    sent: u64,
    /// About how many bytes there will be.
    expected: u64,
    place: Place,
    revision: Revision,
}

impl Blobs {
    /// How much is still to come is not known before it is read; clients only show it.
    fn message(&mut self, blob: Bytes, is_last: bool) -> Bytes {
        self.sent += blob.len() as u64;
        let left = self.expected.saturating_sub(self.sent).max(1);
        frame::write(&SnapshotResponse {
            header: self.place.header(self.revision),
            remaining_bytes: if is_last { 0 } else { left },
            blob,
            version: SPOKEN_VERSION.to_owned(),
        })
    }

    fn copied(&mut self, blob: Bytes) -> Bytes {
        self.hash.update(&blob);
        self.message(blob, false)
    }
}

impl Messages for Blobs {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match &mut self.stage {
                Stage::Copy(copy) => match ready!(copy.poll_next(cx)) {
                    Some(Ok(blob)) => return Poll::Ready(Some(Ok(self.copied(blob)))),
                    Some(Err(_)) => {
                        let text = "etcdserver: the snapshot was cut off";
                        return Poll::Ready(Some(Err(Status::new(Code::Unavailable, text))));
                    }
                    None => {
                        self.stage = Stage::Sum;
                        let over = usize::try_from(self.sent % SNAPSHOT_BLOCK_BYTES).unwrap_or(0);
                        if over > 0 {
                            let missing = usize::try_from(SNAPSHOT_BLOCK_BYTES).unwrap_or(0) - over;
                            let zeros = self.copied(vec![0; missing].into());
                            return Poll::Ready(Some(Ok(zeros)));
                        }
                    }
                },
                Stage::Sum => {
                    self.stage = Stage::End;
                    let sum = std::mem::take(&mut self.hash).finalize();
                    let sum = Bytes::copy_from_slice(&sum);
                    return Poll::Ready(Some(Ok(self.message(sum, true))));
                }
                Stage::End => return Poll::Ready(None),
            }
        }
    }
}
