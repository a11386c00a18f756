//! Values of `MemoryMax=`, `TasksMax=` and their like: a number, a share of the machine's, or no limit.
//!
//! A share is not turned into a number here: that needs the machine.

use crate::percentage::parse_permyriad;
use crate::size;

/// A limit of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes, or tasks.
    Absolute(u64),
    /// In ten-thousandths of what the machine has.
    Share(u64),
    /// `infinity`, or an empty value: the default again.
    None,
}

/// A memory limit; none if systemd would ignore the value.
pub fn parse_memory(text: &str) -> Option<Limit> {
    parse_with(text, size::parse)
}

/// A limit of tasks; none if systemd would ignore the value.
pub fn parse_tasks(text: &str) -> Option<Limit> {
    let count = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
    parse_with(text, count)
}

fn parse_with(text: &str, absolute: impl Fn(&str) -> Option<u64>) -> Option<Limit> {
    if matches!(text, "" | "infinity") {
        return Some(Limit::None);
    }
    let share = parse_permyriad(text).filter(|share| *share <= 10_000);
    share
        .map(Limit::Share)
        .or_else(|| absolute(text).map(Limit::Absolute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(parse_memory("1G"), Some(Limit::Absolute(1 << 30)));
        assert_eq!(parse_memory("20%"), Some(Limit::Share(2000)));
        assert_eq!(parse_memory("infinity"), Some(Limit::None));
        assert_eq!(parse_memory("101%"), None);
        assert_eq!(parse_memory("much"), None);
        assert_eq!(parse_tasks("100"), Some(Limit::Absolute(100)));
        assert_eq!(parse_tasks("1K"), None);
        assert_eq!(parse_tasks("+1"), None);
    }
}
