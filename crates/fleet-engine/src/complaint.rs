//! When something that goes wrong again and again is said again.
//!
//! A store that is away for a night would fill the journal, once a second.

use std::time::Duration;

use tokio::time::Instant;

/// Said at once, then after twice the time each time, up to this.
const LONGEST: Duration = Duration::from_mins(10);
const SHORTEST: Duration = Duration::from_secs(10);

/// One thing that goes wrong.
#[derive(Debug, Default)]
pub(crate) enum Complaint {
    /// Nobody has said it.
    #[default]
    New,
    /// It was said, and is not said before then; after that it waits longer.
    Said { again: Instant, wait: Duration },
}

impl Complaint {
    /// Whether it is to be said now.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let wait = match self {
            Self::New => SHORTEST,
            Self::Said { again, .. } if now < *again => return false,
            Self::Said { wait, .. } => (*wait * 2).min(LONGEST),
        };
        *self = Self::Said {
            again: now + wait,
            wait,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_without_a_store_is_a_page_of_the_journal() {
        let start = Instant::now();
        let mut complaint = Complaint::default();
        let seconds =
            (0..8 * 3600).filter(|second| complaint.is_due(start + Duration::from_secs(*second)));
        let said: Vec<u64> = seconds.collect();
        assert_eq!(said[..5], [0, 10, 30, 70, 150]);
        assert_eq!(said.len(), 53);
    }
}
