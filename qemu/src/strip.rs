//! Turns the bytes of a serial console into lines of plain text.
//!
//! Escape sequences (ECMA-48: CSI, OSC, DCS and the two-byte ones) and control characters go, so
//! that a pattern matches whatever colours surround it. This does not emulate a terminal: a
//! moved cursor only ends the line.

/// Lines longer than this are broken, in bytes: a guest that never ends its line must not make
/// the unfinished one grow for ever.
const LINE_LIMIT: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Text,
    /// A carriage return came: a line feed may follow, anything else begins a new line.
    Return,
    /// ESC came.
    Escape,
    /// ESC and a byte that announces exactly one more.
    EscapeOneMore,
    /// ESC [ came; parameters follow up to a final byte.
    ControlSequence,
    /// ESC ] or ESC P and the like came; a string follows up to BEL or ESC \.
    ControlString,
    /// ESC came within such a string.
    ControlStringEscape,
}

/// Assembles lines from chunks of console output.
#[derive(Debug)]
pub(crate) struct LineAssembler {
    state: State,
    line: Vec<u8>,
}

impl LineAssembler {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Text,
            line: Vec::new(),
        }
    }

    /// Takes in `bytes` and returns the lines they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            self.step(byte, &mut lines);
        }
        lines
    }

    /// The line that is not finished, for instance a prompt.
    pub(crate) fn unfinished(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// Ends the unfinished line and returns it.
    pub(crate) fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned()
    }

    fn step(&mut self, byte: u8, lines: &mut Vec<String>) {
        self.state = match self.state {
            State::Text => self.text(byte, lines),
            State::Return => self.after_return(byte, lines),
            State::Escape => after_escape(byte),
            State::EscapeOneMore => State::Text,
            State::ControlSequence => self.control_sequence(byte, lines),
            State::ControlString => match byte {
                0x07 => State::Text,
                0x1b => State::ControlStringEscape,
                _ => State::ControlString,
            },
            State::ControlStringEscape => match byte {
                b'\\' => State::Text,
                _ => State::ControlString,
            },
        };
    }

    fn text(&mut self, byte: u8, lines: &mut Vec<String>) -> State {
        match byte {
            b'\n' => lines.push(self.take()),
            b'\r' => return State::Return,
            0x1b => return State::Escape,
            b'\t' | b' '..=b'~' | 0x80.. => self.line.push(byte),
            _ => {}
        }
        if self.line.len() >= LINE_LIMIT {
            lines.push(self.take());
        }
        State::Text
    }

    fn after_return(&mut self, byte: u8, lines: &mut Vec<String>) -> State {
        match byte {
            b'\r' => return State::Return,
            b'\n' => {}
            // The guest writes over its line, as progress displays do: keep both texts.
            _ if !self.line.is_empty() => lines.push(self.take()),
            _ => {}
        }
        self.text(byte, lines)
    }

    fn control_sequence(&mut self, byte: u8, lines: &mut Vec<String>) -> State {
        if !(b'@'..=b'~').contains(&byte) {
            return State::ControlSequence;
        }
        // H and f move the cursor somewhere else: firmware menus have no other line ends.
        if matches!(byte, b'H' | b'f') && !self.line.is_empty() {
            lines.push(self.take());
        }
        State::Text
    }
}

fn after_escape(byte: u8) -> State {
    match byte {
        b'[' => State::ControlSequence,
        b']' | b'P' | b'X' | b'^' | b'_' => State::ControlString,
        b' '..=b'/' => State::EscapeOneMore,
        _ => State::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let mut assembler = LineAssembler::new();
        let mut lines = assembler.push(text.as_bytes());
        lines.push(assembler.take());
        lines
    }

    #[test]
    fn every_kind_of_line_end() {
        assert_eq!(lines("a\r\nb\nc\r\r\nd"), ["a", "b", "c", "d"]);
        assert_eq!(lines("10%\r20%\r\n\r\nx"), ["10%", "20%", "", "x"]);
    }

    #[test]
    fn escape_sequences_go() {
        assert_eq!(lines("\x1b[0;1;39mssh\x1b[0m.\x1b(B"), ["ssh."]);
        assert_eq!(lines("\x1b]0;title\x07a\x1b]8;;x\x1b\\b"), ["ab"]);
        assert_eq!(lines("\x1bP+q544e\x1b\\login:\x1b7"), ["login:"]);
    }

    #[test]
    fn moved_cursor_ends_the_line() {
        assert_eq!(
            lines("\x1b[2J\x1b[01;01Hfirst\x1b[05;01Hsecond"),
            ["first", "second"]
        );
    }

    #[test]
    fn chunks_may_end_anywhere() {
        let text = "\x1b[31mr\u{e4}d\x1b[0m\r\nnext\r\n";
        let mut assembler = LineAssembler::new();
        let mut found = Vec::new();
        for byte in text.bytes() {
            found.extend(assembler.push(&[byte]));
        }
        assert_eq!(found, ["r\u{e4}d", "next"]);
    }

    #[test]
    fn endless_line_is_broken() {
        let broken = lines(&"x".repeat(LINE_LIMIT + 5));
        assert_eq!(broken.len(), 2);
        assert_eq!(broken[1], "xxxxx");
    }
}
