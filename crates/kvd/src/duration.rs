//! Lengths of time as Go writes them: `1h30m`, `500ms`, `2.5s`. No signs, no units of calendars.

use std::time::Duration;

/// Reads a length of time; a bare `0` is one too.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_length = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_length);
        let seconds = number.parse::<f64>().ok()? * seconds_of(unit)?;
        sum = sum.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("2.5s", 2500),
            ("1h30m", 5_400_000),
            ("1m1s1ms", 61_001),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "5", "s", "5 s", "-1s", "1d", "1..s", "9e9h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
