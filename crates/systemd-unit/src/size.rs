//! Sizes in bytes: `512M`, `1.5G`, `1G 200M`, to the base of 1024.
//!
//! `infinity` and percentages are [`crate::memory_limit`]'s.

use crate::line::WHITESPACE;
use crate::number::Decimal;

/// From the largest down: a sum has to be written in that order.
const SUFFIXES: &[(&str, u32)] = &[
    ("E", 60),
    ("P", 50),
    ("T", 40),
    ("G", 30),
    ("M", 20),
    ("K", 10),
    ("B", 0),
    ("", 0),
];

/// The size in bytes; none if it is none or more than fits.
pub fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim_matches(WHITESPACE);
    let mut suffixes = SUFFIXES;
    let mut total = 0_u64;
    loop {
        let (number, after) = Decimal::first(rest)?;
        let at = suffixes
            .iter()
            .position(|(suffix, _)| after.starts_with(suffix))?;
        let (suffix, shift) = suffixes[at];
        total = total.checked_add(number.times(1 << shift)?)?;
        suffixes = &suffixes[at + 1..];
        rest = after[suffix.len()..].trim_start_matches(WHITESPACE);
        if rest.is_empty() {
            return Some(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        let good = [
            ("0", 0),
            ("512", 512),
            ("2K", 2048),
            ("1.5M", 3 << 19),
            (".5K", 512),
            ("1G 512M", (1 << 30) + (512 << 20)),
            ("1G512M1", (1 << 30) + (512 << 20) + 1),
            ("3 B", 3),
            ("15E", 15 << 60),
        ];
        for (text, bytes) in good {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for bad in [
            "",
            "K",
            "-1",
            "+1",
            "1X",
            "1M 1G",
            "16E",
            "1k",
            "1 2",
            ".",
            "18446744073709551616",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
