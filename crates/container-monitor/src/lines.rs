//! A stream of bytes cut into lines, long ones into pieces.
//!
//! Reads nothing itself.

/// journald cuts longer ones, too.
const LENGTH_MAX: usize = 48 * 1024;

/// What has come of a line that is not over yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
    /// Whether lines end as a terminal ends them, with a return before the feed.
    is_terminal: bool,
}

impl Lines {
    /// Of a terminal.
    pub(crate) fn of_terminal() -> Self {
        Self {
            begun: Vec::new(),
            is_terminal: true,
        }
    }

    /// Takes bytes, and gives each line that is over.
    pub(crate) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n");
            self.begun.extend_from_slice(line.unwrap_or(piece));
            while self.begun.len() > LENGTH_MAX {
                let rest = self.begun.split_off(LENGTH_MAX);
                each(&self.begun);
                self.begun = rest;
            }
            if line.is_some() {
                if self.is_terminal && self.begun.ends_with(b"\r") {
                    self.begun.pop();
                }
                each(&self.begun);
                self.begun.clear();
            }
        }
        // A long line once does not cost its memory for ever.
        self.begun.shrink_to(4096);
    }

    /// The line that nobody ended.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            each(&self.begun);
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.take(piece, |line| found.push(line.to_vec()));
        }
        lines.finish(|line| found.push(line.to_vec()));
        found
    }

    #[test]
    fn lines_come_whole() {
        assert_eq!(
            cut(&[b"a\nb", b"c\n", b"\nd"]),
            [&b"a"[..], b"bc", b"", b"d"]
        );
        assert_eq!(cut(&[b""]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_terminals_lines_come_without_its_returns() {
        let mut lines = Lines::of_terminal();
        let mut found = Vec::new();
        lines.take(b"a\r", |line| found.push(line.to_vec()));
        lines.take(b"\nb\rc\n", |line| found.push(line.to_vec()));
        assert_eq!(found, [&b"a"[..], b"b\rc"]);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let long = vec![b'x'; LENGTH_MAX * 2 + 5];
        let lengths: Vec<usize> = cut(&[&long, b"\n"]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [LENGTH_MAX, LENGTH_MAX, 5]);
    }
}
