//! How far a pull is: bars on a terminal, lines elsewhere and on a dumb one, and a line for `systemctl status`.
//!
//! All of it goes to standard error. What is tried again is always told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use container_model::ImageReference;
use container_model::digest::Digest;
use image_store::pull::{LayerState, Observer, PullEvent};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Between lines for the service manager.
const TICK: Duration = Duration::from_secs(1);
/// How long the unit may take to start from each tick on.
const EXTENSION: Duration = Duration::from_secs(30);
/// As many digits of a digest as Docker shows.
const DIGITS: usize = 12;
/// Less than 80 columns, with sizes of any length.
const BAR: &str = "{prefix} {msg:<9} [{bar:24}] {binary_bytes:>11} of {binary_total_bytes}";

/// What is shown of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Only what goes wrong.
    Trouble,
    /// How far each layer is.
    Layers,
}

/// One pull, as it is seen.
pub(crate) struct Progress {
    image: String,
    seen: Mutex<Seen>,
    /// On a terminal.
    bars: Option<MultiProgress>,
    has_lines: bool,
}

#[derive(Default)]
struct Seen {
    layers: BTreeMap<Digest, Layer>,
    trouble: Option<String>,
}

struct Layer {
    size: u64,
    state: LayerState,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(image: &ImageReference, show: Show) -> Arc<Self> {
        let has_layers = show == Show::Layers;
        let bars = has_layers.then(MultiProgress::new);
        // Without a terminal, or on one that moves no cursor, and then nothing would be seen of what is printed above.
        let bars = bars.filter(|bars| !bars.is_hidden());
        Arc::new(Self {
            image: image.to_string(),
            seen: Mutex::default(),
            has_lines: has_layers && bars.is_none(),
            bars,
        })
    }

    /// To be given to a pull.
    pub(crate) fn observer(self: &Arc<Self>) -> Observer {
        let progress = Arc::clone(self);
        Arc::new(move |event| progress.take(event))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: PullEvent) {
        match event {
            PullEvent::Resolved(digest) => {
                if let Some(bars) = &self.bars {
                    // It fails only with the terminal.
                    let _printed = bars.println(format!("Pulling {}", self.image));
                } else if self.has_lines {
                    eprintln!("launch: pulling {} ({digest})", self.image);
                }
            }
            PullEvent::Layer {
                digest,
                size,
                state,
            } => self.layer(digest, size, state),
            PullEvent::Notice(text) => {
                let line = format!("launch: {text}");
                if let Some(bars) = &self.bars {
                    // Above them. It fails only with the terminal.
                    let _printed = bars.println(line);
                } else {
                    eprintln!("{line}");
                }
                self.seen().trouble = Some(text);
            }
        }
    }

    fn layer(&self, digest: Digest, size: u64, state: LayerState) {
        let short = digest.hex()[..DIGITS].to_owned();
        let mut seen = self.seen();
        if matches!(state, LayerState::Fetching(_) | LayerState::Fetched) {
            seen.trouble = None;
        }
        let layer = seen.layers.entry(digest).or_insert_with(|| Layer {
            size,
            state: LayerState::Waiting,
            bar: self.bars.as_ref().map(|bars| new_bar(bars, &short, size)),
        });
        let is_news = word(layer.state) != word(state) && state != LayerState::Unpacking;
        layer.state = state;
        if let Some(bar) = &layer.bar {
            bar.set_message(word(state));
            bar.set_position(position(state, size));
            if state == LayerState::Unpacked {
                bar.finish();
            }
        } else if is_news && self.has_lines {
            eprintln!("launch: {short}: {}", word(state));
        }
    }

    /// One line.
    fn status(&self) -> String {
        let seen = self.seen();
        let Seen { layers, trouble } = &*seen;
        if let Some(trouble) = trouble {
            return format!("Pulling {}: {trouble}", self.image);
        }
        let total: u64 = layers.values().map(|layer| layer.size).sum();
        let here = layers
            .values()
            .map(|layer| position(layer.state, layer.size));
        let percent = here.sum::<u64>().saturating_mul(100).checked_div(total);
        let is_unpacking =
            |layer: &Layer| matches!(layer.state, LayerState::Unpacking | LayerState::Unpacked);
        match percent {
            _ if layers.values().any(is_unpacking) => format!("Unpacking {}", self.image),
            Some(percent) => format!("Pulling {}: {percent} %", self.image),
            None => format!("Pulling {}", self.image),
        }
    }

    /// Tells the service manager, for ever, how far it is, and that starting takes longer.
    pub(crate) async fn tell_manager(&self) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            service_manager::extend_start(EXTENSION, &self.status());
            ticks.tick().await;
        }
    }
}

fn new_bar(bars: &MultiProgress, short: &str, size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(size).with_style(style.progress_chars("=> "));
    bars.add(bar.with_prefix(short.to_owned()))
}

fn word(state: LayerState) -> &'static str {
    match state {
        LayerState::Waiting => "waiting",
        LayerState::Present => "is there",
        LayerState::Fetching(_) => "fetching",
        LayerState::Fetched => "fetched",
        LayerState::Unpacking => "unpacking",
        LayerState::Unpacked => "unpacked",
    }
}

fn position(state: LayerState, size: u64) -> u64 {
    match state {
        LayerState::Waiting => 0,
        LayerState::Fetching(position) => position,
        _ => size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_one_line() {
        let image: ImageReference = "busybox".parse().unwrap();
        let progress = Progress::new(&image, Show::Trouble);
        let layer = |byte: u8, state| {
            progress.take(PullEvent::Layer {
                digest: Digest::from_sha256(&[byte; 32]),
                size: 100,
                state,
            });
        };
        let name = "docker.io/library/busybox:latest";
        assert_eq!(progress.status(), format!("Pulling {name}"));
        layer(1, LayerState::Present);
        layer(2, LayerState::Waiting);
        assert_eq!(progress.status(), format!("Pulling {name}: 50 %"));
        layer(2, LayerState::Fetching(20));
        assert_eq!(progress.status(), format!("Pulling {name}: 60 %"));
        progress.take(PullEvent::Notice("a is down".to_owned()));
        assert_eq!(progress.status(), format!("Pulling {name}: a is down"));
        layer(2, LayerState::Fetched);
        assert_eq!(progress.status(), format!("Pulling {name}: 100 %"));
        layer(1, LayerState::Unpacking);
        assert_eq!(progress.status(), format!("Unpacking {name}"));
    }
}
