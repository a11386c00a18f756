//! What happens in a pull, in the lines that Docker's clients draw their bars of.

use std::collections::BTreeMap;
use std::time::Instant;

use container_model::ImageReference;
use image_store::pull::{LayerState, PullEvent};
use serde_json::{Value, json};

/// As many digits of a digest as Docker shows.
const DIGITS: usize = 12;

/// One pull.
pub(super) struct Progress {
    repository: String,
    version: String,
    layers: BTreeMap<String, Layer>,
}

struct Layer {
    size: u64,
    state: LayerState,
    /// Since when.
    since: Instant,
    /// Whether it was there before: then the client is not told that it is unpacked.
    is_old: bool,
}

impl Progress {
    pub(super) fn new(reference: &ImageReference) -> Self {
        Self {
            // Without the registry, as with Docker.
            repository: reference.repository().to_owned(),
            version: reference.manifest_name().to_owned(),
            layers: BTreeMap::new(),
        }
    }

    /// The lines of something that happened.
    pub(super) fn take(&mut self, event: PullEvent) -> Vec<Value> {
        match event {
            PullEvent::Resolved(_) => vec![json!({
                "status": format!("Pulling from {}", self.repository), "id": self.version,
            })],
            PullEvent::Notice(text) => vec![json!({"status": text})],
            PullEvent::Layer {
                digest,
                size,
                state,
            } => {
                let id = digest.hex()[..DIGITS].to_owned();
                self.layer(&id, size, state).into_iter().collect()
            }
        }
    }

    fn layer(&mut self, id: &str, size: u64, state: LayerState) -> Option<Value> {
        let layer = self.layers.entry(id.to_owned()).or_insert_with(|| Layer {
            size,
            state: LayerState::Waiting,
            since: Instant::now(),
            is_old: false,
        });
        if std::mem::discriminant(&layer.state) != std::mem::discriminant(&state) {
            layer.since = Instant::now();
        }
        layer.state = state;
        layer.is_old |= state == LayerState::Present;
        layer.line(id)
    }

    /// Where those layers are that take long, again.
    pub(super) fn tick(&self) -> Vec<Value> {
        let takes_long =
            |layer: &Layer| matches!(layer.state, LayerState::Fetching(_) | LayerState::Unpacking);
        let long = self.layers.iter().filter(|(_, layer)| takes_long(layer));
        long.filter_map(|(id, layer)| layer.line(id)).collect()
    }
}

impl Layer {
    fn line(&self, id: &str) -> Option<Value> {
        let (status, detail) = match self.state {
            LayerState::Waiting => ("Pulling fs layer", json!({})),
            LayerState::Present => ("Already exists", json!({})),
            LayerState::Fetching(position) => (
                "Downloading",
                json!({"current": position, "total": self.size}),
            ),
            LayerState::Fetched => ("Download complete", json!({})),
            LayerState::Unpacking | LayerState::Unpacked if self.is_old => return None,
            LayerState::Unpacking => {
                let seconds = self.since.elapsed().as_secs().max(1);
                ("Extracting", json!({"current": seconds, "units": "s"}))
            }
            LayerState::Unpacked => ("Pull complete", json!({})),
        };
        Some(json!({"status": status, "progressDetail": detail, "id": id}))
    }
}

#[cfg(test)]
mod tests {
    use container_model::digest::Digest;

    use super::*;

    #[test]
    fn lines_are_dockers() {
        let mut progress = Progress::new(&"busybox:1".parse().unwrap());
        let digest = Digest::from_sha256(&[0xab; 32]);
        let begin = progress.take(PullEvent::Resolved(digest.clone()));
        assert_eq!(
            begin,
            [json!({"status": "Pulling from library/busybox", "id": "1"})]
        );
        let mut layer = |state| {
            progress.take(PullEvent::Layer {
                digest: digest.clone(),
                size: 7,
                state,
            })
        };
        assert_eq!(layer(LayerState::Waiting)[0]["status"], "Pulling fs layer");
        let fetching = json!([{
            "status": "Downloading", "id": "abababababab",
            "progressDetail": {"current": 3, "total": 7},
        }]);
        assert_eq!(json!(layer(LayerState::Fetching(3))), fetching);
        assert_eq!(json!(progress.tick()), fetching, "it is told again");
    }

    #[test]
    fn what_was_there_is_not_extracted() {
        let mut progress = Progress::new(&"ghcr.io/a/b:1".parse().unwrap());
        let mut layer = |byte, state| {
            let digest = Digest::from_sha256(&[byte; 32]);
            let size = 7;
            let lines = progress.take(PullEvent::Layer {
                digest,
                size,
                state,
            });
            lines.first().map(|line| line["status"].clone())
        };
        assert_eq!(layer(1, LayerState::Present), Some(json!("Already exists")));
        assert_eq!(layer(1, LayerState::Unpacking), None);
        assert_eq!(layer(1, LayerState::Unpacked), None);
        assert_eq!(layer(2, LayerState::Unpacking), Some(json!("Extracting")));
        assert_eq!(layer(2, LayerState::Unpacked), Some(json!("Pull complete")));
        assert!(progress.tick().is_empty());
    }
}
