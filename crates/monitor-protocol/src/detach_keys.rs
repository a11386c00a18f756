//! Keys by which somebody at a terminal leaves it while the container goes on: `--detach-keys`, by Docker's grammar.
//!
//! Knows no terminal: it is given what was typed.

use std::str::FromStr;

/// A sequence of keys, and how much of it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// Typed already, and not passed on yet.
    matched: usize,
}

/// What was typed, as far as it is for the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// This is for the container.
    Input(Vec<u8>),
    /// This is for the container, and then the sequence was typed.
    Detached(Vec<u8>),
}

/// Text that names no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no sequence of keys: write letters or ctrl-a to ctrl-z, ctrl-@, ctrl-[, ctrl-\\, ctrl-], ctrl-^ or ctrl-_, with commas between"
)]
pub struct NoKeys(String);

impl Default for DetachKeys {
    /// Docker's: ctrl-p, ctrl-q.
    fn default() -> Self {
        Self {
            keys: vec![16, 17],
            matched: 0,
        }
    }
}

impl FromStr for DetachKeys {
    type Err = NoKeys;

    /// Empty text is no sequence that can be typed.
    fn from_str(text: &str) -> Result<Self, NoKeys> {
        let keys = match text {
            "" => Some(Vec::new()),
            text => text.split(',').map(key).collect(),
        };
        let keys = keys.ok_or_else(|| NoKeys(text.to_owned()))?;
        Ok(Self { keys, matched: 0 })
    }
}

fn key(text: &str) -> Option<u8> {
    match (text.as_bytes(), text.strip_prefix("ctrl-")) {
        ([one], _) if one.is_ascii_graphic() => Some(*one),
        (_, Some(name)) => match name.as_bytes() {
            [letter] if letter.is_ascii_lowercase() => Some(letter - b'a' + 1),
            [sign] if (b'@'..=b'_').contains(sign) && !sign.is_ascii_uppercase() => {
                Some(sign - b'@')
            }
            _ => None,
        },
        _ => None,
    }
}

impl DetachKeys {
    /// Takes what was typed. Keys that begin the sequence are held back until the next one says whether it goes on.
    pub fn take(&mut self, typed: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(typed.len());
        if self.keys.is_empty() {
            return Typed::Input(typed.to_vec());
        }
        for byte in typed {
            if *byte != self.keys[self.matched] {
                input.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if *byte == self.keys[self.matched] {
                self.matched += 1;
            } else {
                input.push(*byte);
            }
            if self.matched == self.keys.len() {
                self.matched = 0;
                return Typed::Detached(input);
            }
        }
        Typed::Input(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_dockers() {
        let keys = |text: &str| text.parse::<DetachKeys>().map(|keys| keys.keys);
        assert_eq!(keys("ctrl-p,ctrl-q").unwrap(), DetachKeys::default().keys);
        assert_eq!(
            keys("a,ctrl-@,ctrl-[,ctrl-_").unwrap(),
            [b'a', 0, 0x1b, 0x1f]
        );
        assert_eq!(keys("").unwrap(), b"");
        for bad in ["ctrl-", "ctrl-A", "ab", "a,,b", "ctrl-1", " "] {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sequence_is_found_in_pieces_and_the_rest_passed_on() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.take(b"ab\x10"), Typed::Input(b"ab".to_vec()));
        assert_eq!(keys.take(b"c\x10\x10"), Typed::Input(b"\x10c\x10".to_vec()));
        assert_eq!(keys.take(b"\x11rest"), Typed::Detached(Vec::new()));
        assert_eq!(keys.take(b"x\x10\x11"), Typed::Detached(b"x".to_vec()));
        let mut none: DetachKeys = "".parse().unwrap();
        assert_eq!(none.take(b"\x10\x11"), Typed::Input(b"\x10\x11".to_vec()));
    }
}
