//! How far something is, as a line for a terminal.
//!
//! Does not print, and does not know how wide a terminal is: with a phase of usual length it fits 80 columns.

use std::fmt::{self, Display, Formatter};

/// Characters between the brackets.
const BAR_LENGTH: u64 = 30;

/// How far something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is done now, as the beginning of a sentence; nothing is, if it is empty.
    pub phase: String,
    /// How much of it is done; the unit depends on the phase.
    pub done: u64,
    /// How much there is to do; 0 if that is not known.
    pub total: u64,
}

/// Without an end of line; with a bar if it is known how much there is to do.
impl Display for Progress {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { phase, total, .. } = self;
        if *total == 0 {
            return formatter.write_str(phase);
        }
        let done = u128::from(self.done.min(*total));
        let share_of = |whole: u64| {
            let share = done * u128::from(whole) / u128::from(*total);
            usize::try_from(share).unwrap_or(0)
        };
        let bar = "#".repeat(share_of(BAR_LENGTH));
        let length = usize::try_from(BAR_LENGTH).unwrap_or(0);
        write!(
            formatter,
            "{phase:<32} [{bar:-<length$}] {:>3} %",
            share_of(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(done: u64, total: u64) -> String {
        let phase = "fetching the root".to_owned();
        Progress { phase, done, total }.to_string()
    }

    #[test]
    fn the_bar_grows_to_its_end() {
        assert_eq!(line(7, 0), "fetching the root");
        assert!(line(0, 9).ends_with(&format!("[{}]   0 %", "-".repeat(30))));
        let half = format!("[{}{}]  50 %", "#".repeat(15), "-".repeat(15));
        assert!(line(u64::MAX / 2 + 1, u64::MAX).ends_with(&half));
        let all = format!("[{}] 100 %", "#".repeat(30));
        assert!(line(9, 9).ends_with(&all) && line(10, 9).ends_with(&all));
        let lengths = (0..100).map(|done| line(done, 99).len());
        assert_eq!(lengths.clone().min(), lengths.clone().max());
        assert!(lengths.max() <= Some(79));
    }
}
