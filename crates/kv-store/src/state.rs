//! What is applied: the tables' layers, the latest events, and the progress they stand for.
//!
//! One lock guards it all, so readers see all of a batch or nothing; it is held for moments only.
use std::sync::Arc;

use bytes::Bytes;

use crate::control::Pending;
use crate::layers::Layers;
use crate::recent::Recent;

/// How far the replicated log is applied: opaque to the store, which keeps it together with the
/// tables it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress(pub Bytes);

/// What is applied.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) layers: Arc<Layers>,
    pub(crate) progress: Option<Progress>,
    /// Counts batches since the store was opened.
    pub(crate) sequence: u64,
    pub(crate) recent: Recent,
}

impl State {
    pub(crate) fn new(layers: Layers, recent: Recent) -> Self {
        let progress = layers.base.meta.progress.clone();
        Self {
            layers: Arc::new(layers),
            progress: progress.map(Progress),
            sequence: 0,
            recent,
        }
    }

    /// What only a flush that has not begun sets free.
    pub(crate) fn pending(&self) -> Pending {
        Pending {
            row_bytes: self.layers.pending_bytes(),
            event_bytes: self.recent.unspilled_bytes(),
        }
    }

    /// The same with what is being flushed.
    pub(crate) fn pending_at_all(&self) -> Pending {
        Pending {
            row_bytes: self.layers.bytes(),
            event_bytes: self.recent.unspilled_bytes(),
        }
    }

    /// Layers that may be changed; views keep theirs.
    pub(crate) fn layers_mut(&mut self) -> &mut Layers {
        Arc::make_mut(&mut self.layers)
    }
}
