//! Time spans: `90`, `5min 20s`, `1.5h`, `infinity`.
//!
//! Points in time (`OnCalendar=`) are not read.

use std::time::Duration;

use crate::line::WHITESPACE;
use crate::number::Decimal;

/// How long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeSpan {
    /// In whole microseconds, as systemd counts.
    Finite(Duration),
    /// `infinity`
    Infinite,
}

const SECOND: u64 = 1_000_000;

/// Names and microseconds. `M` are months, `m` minutes; an average year has 365.25 days.
const UNITS: &[(&[&str], u64)] = &[
    (&["us", "usec", "µs", "μs"], 1),
    (&["ms", "msec"], 1000),
    (&["", "s", "sec", "second", "seconds"], SECOND),
    (&["m", "min", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hour", "hours"], 3600 * SECOND),
    (&["d", "day", "days"], 86_400 * SECOND),
    (&["w", "week", "weeks"], 7 * 86_400 * SECOND),
    (&["M", "month", "months"], 2_629_800 * SECOND),
    (&["y", "year", "years"], 31_557_600 * SECOND),
];

/// The span; a number without a unit is seconds. None if it is none, or longer than fits.
pub fn parse(text: &str) -> Option<TimeSpan> {
    let mut rest = text.trim_matches(WHITESPACE);
    if rest == "infinity" {
        return Some(TimeSpan::Infinite);
    }
    let mut total = 0_u64;
    loop {
        let (number, after) = Decimal::first(rest)?;
        let is_end = |c: char| c.is_ascii_digit() || c == '.' || WHITESPACE.contains(&c);
        let (unit, after) = after.split_at(after.find(is_end).unwrap_or(after.len()));
        let (_, length) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        total = total.checked_add(number.times(*length)?)?;
        rest = after.trim_start_matches(WHITESPACE);
        if rest.is_empty() {
            return Some(TimeSpan::Finite(Duration::from_micros(total)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let good = [
            ("90", 90_000),
            ("5min 20s", 320_000),
            ("5min20s", 320_000),
            ("1.5h", 5_400_000),
            ("2min 200ms", 120_200),
            ("1 d", 86_400_000),
            ("1M", 2_629_800_000),
            ("0.25 s", 250),
        ];
        for (text, milliseconds) in good {
            let span = TimeSpan::Finite(Duration::from_millis(milliseconds));
            assert_eq!(parse(text), Some(span), "{text}");
        }
        assert_eq!(parse("infinity"), Some(TimeSpan::Infinite));
        for bad in ["", "s", "-1", "1 fortnight", "1,5s", "99999999999999999y"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
