//! Percentages: `50%`, `12.5%`, also in thousandths (`‰`) and ten-thousandths (`‱`).
//!
//! Of what, the setting says; more than the whole is allowed, as `CPUQuota=200%` is.

use crate::line::WHITESPACE;
use crate::number::Decimal;

/// In ten-thousandths: 10,000 is the whole. None if it is no percentage.
pub fn parse_permyriad(text: &str) -> Option<u64> {
    let text = text.trim_matches(WHITESPACE);
    let units = [("%", 100), ("‰", 10), ("‱", 1)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(sign, unit)| Some((text.strip_suffix(sign)?, unit)))?;
    let (number, rest) = Decimal::first(number)?;
    if rest.is_empty() {
        number.times(unit)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::parse_permyriad;

    #[test]
    fn percentages() {
        let good = [
            ("50%", 5000),
            ("12.5%", 1250),
            ("200%", 20_000),
            ("5‰", 50),
            ("3‱", 3),
        ];
        for (text, permyriad) in good {
            assert_eq!(parse_permyriad(text), Some(permyriad), "{text}");
        }
        for bad in ["", "%", "50", "-1%", "1%%", "a%"] {
            assert_eq!(parse_permyriad(bad), None, "{bad}");
        }
    }
}
