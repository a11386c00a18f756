//! Who is told what went wrong and is tried again: nothing waits in silence.

use std::sync::Arc;
use std::time::Duration;

use crate::RegistryError;

/// Something that somebody may want to know before the end.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A place did not give what was wanted; the next one is asked.
    NextPlace {
        /// The registry's name.
        host: &'a str,
        /// Why.
        error: &'a RegistryError,
    },
    /// All is tried again after a pause.
    Pause {
        /// Why.
        error: &'a RegistryError,
        /// How long.
        pause: Duration,
    },
}

/// Who is told.
pub type Listener = Arc<dyn Fn(Notice<'_>) + Send + Sync>;

/// Nobody.
pub fn silence() -> Listener {
    Arc::new(|_| {})
}
