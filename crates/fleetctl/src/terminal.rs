//! The whole terminal as a screen that is drawn over and over; keys come one by one.
//!
//! However it is left, the terminal is as it was before. What is drawn is not known here.

use std::io::{self, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const ROWS: u16 = 24;
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// A terminal that shows a screen.
#[derive(Debug)]
pub(crate) struct Terminal {
    before: Termios,
    keys: mpsc::UnboundedReceiver<u8>,
}

impl Terminal {
    /// Takes standard input and output over. Keys that send signals are keys like others.
    ///
    /// # Errors
    /// If one of them is no terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        let terminal = Self {
            before,
            keys: read_keys(),
        };
        write(ENTER)?;
        Ok(terminal)
    }

    /// The next key; nothing once there are no more.
    pub(crate) async fn key(&mut self) -> Option<u8> {
        self.keys.recv().await
    }

    /// Shows a text, as much of it as there is room for.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(crate) fn draw(text: &str) -> io::Result<()> {
        let rows = match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_row > 0 => size.ws_row,
            // Nobody told the terminal how large it is.
            _ => ROWS,
        };
        let lines: Vec<&str> = text.lines().take(rows.into()).collect();
        let joined = lines.join(&format!("{CLEAR_LINE}\r\n"));
        write(&format!("{HOME}{joined}{CLEAR_LINE}{CLEAR_BELOW}"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _written = write(LEAVE);
        let _set = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Reads in a thread of its own: it cannot be interrupted, and ends with the process.
fn read_keys() -> mpsc::UnboundedReceiver<u8> {
    let (sender, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for byte in io::stdin().lock().bytes() {
            match byte {
                Ok(byte) if sender.send(byte).is_ok() => {}
                _ => return,
            }
        }
    });
    keys
}
