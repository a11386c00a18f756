//! Decimal numbers with a fraction, as they stand before units in sizes and time spans.
//!
//! No signs, no exponents, no floating point: a fraction is rounded down to a whole of the unit.

use crate::line::WHITESPACE;

/// A number as its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// The number a text begins with, and what follows it and whitespace.
    pub(crate) fn first(text: &'a str) -> Option<(Self, &'a str)> {
        let (whole, rest) = digits(text);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let number = Self { whole, fraction };
        Some((number, rest.trim_start_matches(WHITESPACE)))
    }

    /// So many of a unit; none if it does not fit.
    pub(crate) fn times(self, unit: u64) -> Option<u64> {
        let whole: u64 = match self.whole {
            "" => 0,
            digits => digits.parse().ok()?,
        };
        let mut total = whole.checked_mul(unit)?;
        let mut place = unit;
        for digit in self.fraction.bytes() {
            let (tenth, lost) = (place / 10, place % 10);
            let digit = u64::from(digit - b'0');
            total = total.checked_add(digit * tenth + digit * lost / 10)?;
            place = tenth;
        }
        Some(total)
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}
