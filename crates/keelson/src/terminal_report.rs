//! A build's progress on standard error: a line per step with time and result, and on a terminal a line
//! that moves while bytes come in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use image_build::cache::Event;

/// How often the moving line moves.
const MOVE_EVERY: Duration = Duration::from_millis(100);

/// Prints events, and remembers explanations for JSON.
#[derive(Debug)]
pub(crate) struct TerminalReport {
    moves: bool,
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    moved: Instant,
    line_is_open: bool,
    explained: BTreeMap<String, Option<Vec<String>>>,
}

impl TerminalReport {
    /// `quiet` prints notices only.
    pub(crate) fn new(quiet: bool) -> Self {
        let state = State {
            moved: Instant::now(),
            line_is_open: false,
            explained: BTreeMap::new(),
        };
        Self {
            moves: std::io::stderr().is_terminal(),
            quiet,
            state: Mutex::new(state),
        }
    }

    /// Takes an event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        let mut state = self
            .state
            .lock()
            .expect("no thread panicked while printing");
        match event {
            Event::Started { step } => self.open_line(&mut state, &format!("{step:<10} ...")),
            Event::Progress {
                step,
                bytes,
                bytes_in_all,
            } => {
                if state.moved.elapsed() >= MOVE_EVERY {
                    state.moved = Instant::now();
                    let (done, all) = (bytes / 1_000_000, bytes_in_all / 1_000_000);
                    self.open_line(&mut state, &format!("{step:<10} {done} of {all} MB"));
                }
            }
            Event::Finished {
                step,
                took,
                summary,
            } => {
                let took = took.map_or_else(
                    || "cached".to_owned(),
                    |t| format!("{:.1} s", t.as_secs_f64()),
                );
                self.line(&mut state, &format!("{step:<10} {took:>8}  {summary}"));
            }
            Event::Explained { step, reasons } => {
                self.line(&mut state, &explanation(step, reasons.as_deref()));
                state.explained.insert((*step).to_owned(), reasons.clone());
            }
            Event::Notice { text } => {
                clear(&mut state);
                eprintln!("{text}");
            }
        }
    }

    /// What was explained, by step.
    pub(crate) fn explained(&self) -> BTreeMap<String, Option<Vec<String>>> {
        self.state
            .lock()
            .expect("no thread panicked while printing")
            .explained
            .clone()
    }

    fn open_line(&self, state: &mut State, text: &str) {
        if self.moves && !self.quiet {
            eprint!("\r\x1b[K{text}");
            // The line is only for the eye; if standard error is gone, so is its reader.
            let _ = std::io::stderr().flush();
            state.line_is_open = true;
        }
    }

    fn line(&self, state: &mut State, text: &str) {
        if !self.quiet {
            clear(state);
            eprintln!("{text}");
        }
    }
}

fn clear(state: &mut State) {
    if std::mem::take(&mut state.line_is_open) {
        eprint!("\r\x1b[K");
    }
}

/// At most this many reasons are printed; the rest is counted.
const REASONS_SHOWN: usize = 6;

fn explanation(step: &str, reasons: Option<&[String]>) -> String {
    let Some(reasons) = reasons else {
        return format!("{step:<10} up to date");
    };
    let mut shown = reasons[..reasons.len().min(REASONS_SHOWN)].join(", ");
    if reasons.len() > REASONS_SHOWN {
        let _ = write!(shown, " and {} more", reasons.len() - REASONS_SHOWN);
    }
    format!("{step:<10} rebuild: {shown}")
}

#[cfg(test)]
mod tests {
    use super::explanation;

    #[test]
    fn long_explanations_are_cut_and_counted() {
        let reasons: Vec<String> = (0..9).map(|n| format!("r{n}")).collect();
        let text = explanation("compose", Some(&reasons));
        assert!(text.ends_with("r5 and 3 more"), "{text}");
        assert!(explanation("compose", None).ends_with("up to date"));
    }
}
