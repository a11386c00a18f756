//! How long a machine waits after failed attempts to update.
//!
//! Does not know the time, and adds no jitter: the timer that starts attempts does.

use jiff::SignedDuration;

/// After the first failure.
const FIRST: SignedDuration = SignedDuration::from_mins(15);
/// Never longer: whatever was wrong may have been put right.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// The pause after so many failures in a row; it doubles from one to the next.
pub fn pause(failures_in_a_row: u32) -> SignedDuration {
    let doublings = failures_in_a_row.saturating_sub(1).min(10);
    FIRST
        .checked_mul(1 << doublings)
        .map_or(LONGEST, |pause| pause.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_day() {
        let minutes = |failures| pause(failures).as_mins();
        assert_eq!([1, 2, 3, 4].map(minutes), [15, 30, 60, 120]);
        assert_eq!([7, 8, u32::MAX].map(minutes), [960, 1440, 1440]);
    }
}
