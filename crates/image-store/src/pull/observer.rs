//! What a pull tells while it goes on.

use std::sync::Arc;

use container_model::digest::Digest;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// The name leads to this manifest or index.
    Resolved(Digest),
    /// A layer, or the configuration, came further.
    Layer {
        /// Of the blob.
        digest: Digest,
        /// In bytes, compressed as it is.
        size: u64,
        /// How far.
        state: LayerState,
    },
    /// Something went wrong and is tried again, or waits for somebody else.
    Notice(String),
}

/// How far a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerState {
    /// It is to be fetched.
    Waiting,
    /// It is there already.
    Present,
    /// So many bytes came, with those of an earlier pull.
    Fetching(u64),
    /// All of it is there and has its digest.
    Fetched,
    /// It is being unpacked.
    Unpacking,
    /// It is unpacked.
    Unpacked,
}

/// Who is told. It is called often and should be quick.
pub type Observer = Arc<dyn Fn(PullEvent) + Send + Sync>;
