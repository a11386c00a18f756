//! Signals by name or number, for `--stop-signal` and an image's `StopSignal`.
//!
//! Sends none.

use std::fmt;
use std::str::FromStr;

use crate::malformed::Malformed;

/// A signal's number on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(u8);

/// As `signal(7)` has them for x86 and ARM.
const NAMES: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

impl Signal {
    /// What ends a container in order, unless somebody says otherwise.
    pub const TERM: Self = Self(15);

    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Ok(number @ 1..=64) = text.parse() {
            return Ok(Self(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        named(name).map(Self).ok_or_else(|| {
            Malformed::new("signal", text, "a name such as TERM, or a number up to 64")
        })
    }
}

fn named(name: &str) -> Option<u8> {
    let find = |name: &str| {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, n)| *n)
    };
    let shifted = |base: u8, sign: char| {
        let steps: u8 = name.split_once(sign)?.1.parse().ok()?;
        let number = if sign == '+' {
            base.checked_add(steps)?
        } else {
            base.checked_sub(steps)?
        };
        (34..=64).contains(&number).then_some(number)
    };
    match name {
        _ if name.starts_with("RTMIN+") => shifted(34, '+'),
        _ if name.starts_with("RTMAX-") => shifted(64, '-'),
        _ => find(name),
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(text.parse(), Ok(Signal::TERM), "{text}");
        }
        assert_eq!("SIGRTMIN+3".parse::<Signal>().unwrap().number(), 37);
        assert_eq!("RTMAX-1".parse::<Signal>().unwrap().to_string(), "63");
        for bad in ["", "0", "65", "SIG", "SIGWHAT", "RTMIN+31", "RTMAX-64"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }
}
