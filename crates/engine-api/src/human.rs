//! Times and durations as Docker's lists show them.

use jiff::Timestamp;

/// How long ago, as `docker ps` has it: "5 minutes", "About an hour".
pub fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{minutes} minutes"),
        3600..5400 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Seconds between two times.
pub fn seconds_since(then: Timestamp, now: Timestamp) -> i64 {
    now.as_second() - then.as_second()
}

/// What the API has for a time that never was.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// A time in nanoseconds since 1970, as records have it.
pub fn timestamp(nanoseconds: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A time of a query: seconds since 1970 with or without a fraction, or RFC 3339.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_dockers() {
        let cases = [
            (0, "Less than a second"),
            (30, "30 seconds"),
            (90, "About a minute"),
            (600, "10 minutes"),
            (4000, "About an hour"),
            (7200, "2 hours"),
            (200_000, "2 days"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn times_have_two_forms() {
        let time = parse_time("1136073600.000000001").unwrap();
        assert_eq!(time.as_nanosecond(), 1_136_073_600_000_000_001);
        assert_eq!(parse_time("2006-01-01T00:00:00Z"), parse_time("1136073600"));
        assert_eq!(parse_time("10m"), None);
    }
}
