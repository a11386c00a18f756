//! Points in time and durations as Go writes them into JSON.
//!
//! All times are in UTC.

use std::io::Write;

use jiff::Timestamp;
use kv_model::UnixNanoseconds;

const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;

/// Appends the moment as RFC 3339 with as many decimals as are needed.
pub(crate) fn append_timestamp(buffer: &mut Vec<u8>, moment: UnixNanoseconds) {
    // Every i64 of nanoseconds lies between the years 1677 and 2262, and a Vec takes all.
    if let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(moment.0)) {
        write!(buffer, "{timestamp}").unwrap_or_default();
    }
}

/// Whole seconds from `now` until then, rounded towards later; negative if that was long ago.
pub(crate) fn seconds_left(expires: UnixNanoseconds, now: UnixNanoseconds) -> i64 {
    let left = expires.0.saturating_sub(now.0);
    left / NANOSECONDS_PER_SECOND + i64::from(left % NANOSECONDS_PER_SECOND > 0)
}

/// Appends a duration as Go's `Duration.String` does: `1h2m3.5s`, `2.5ms`, `0s`.
pub(crate) fn append_duration(buffer: &mut Vec<u8>, nanoseconds: u64) {
    let second = NANOSECONDS_PER_SECOND.unsigned_abs();
    let text = if nanoseconds == 0 {
        "0s".to_owned()
    } else if nanoseconds < 1_000 {
        format!("{nanoseconds}ns")
    } else if nanoseconds < 1_000_000 {
        with_decimals(nanoseconds, 1_000) + "µs"
    } else if nanoseconds < second {
        with_decimals(nanoseconds, 1_000_000) + "ms"
    } else {
        let minutes = nanoseconds / (60 * second);
        let seconds = with_decimals(nanoseconds % (60 * second), second);
        match (minutes / 60, minutes % 60) {
            (0, 0) => format!("{seconds}s"),
            (0, minutes) => format!("{minutes}m{seconds}s"),
            (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
        }
    };
    buffer.extend_from_slice(text.as_bytes());
}

/// `number / unit`, a power of ten, with as many decimals as are needed.
fn with_decimals(number: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", number / unit, number % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use kv_model::UnixNanoseconds;

    use super::{append_duration, append_timestamp, seconds_left};

    fn timestamp(nanoseconds: i64) -> String {
        let mut buffer = Vec::new();
        append_timestamp(&mut buffer, UnixNanoseconds(nanoseconds));
        String::from_utf8(buffer).expect("a time is ASCII")
    }

    #[test]
    fn writes_as_many_decimals_as_needed() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(timestamp(1), "1970-01-01T00:00:00.000000001Z");
        // What etcd 3.4.23 answered to a `ttl` of 7,000,000,000 at 1,795,395,530 seconds.
        assert_eq!(
            timestamp(8_795_395_530_278_500_426),
            "2248-09-18T13:25:30.278500426Z"
        );
        assert_eq!(timestamp(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(timestamp(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn rounds_the_seconds_left_up() {
        let left = |expires, now| seconds_left(UnixNanoseconds(expires), UnixNanoseconds(now));
        assert_eq!(left(3_000_000_000, 0), 3);
        assert_eq!(left(2_000_000_001, 0), 3);
        assert_eq!(left(0, 500_000_000), 0);
        assert_eq!(left(0, 1_500_000_000), -1);
        assert_eq!(left(i64::MAX, i64::MIN), 9_223_372_037);
    }

    #[test]
    fn writes_durations_as_go_does() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (56_176_745_213, "56.176745213s"),
            (60_000_000_000, "1m0s"),
            (3_723_500_000_000, "1h2m3.5s"),
        ] {
            let mut buffer = Vec::new();
            append_duration(&mut buffer, nanoseconds);
            assert_eq!(buffer, text.as_bytes());
        }
    }
}
