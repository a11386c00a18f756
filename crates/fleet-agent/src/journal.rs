//! A unit's journal on this machine, as `journalctl` prints it.
//!
//! The journal's files have a format of their own with compression and sealing; their reader is used.

use std::process::{ExitStatus, Stdio};

use fleet_api::{JournalQuery, JournalRecord};
use fleet_model::MachineId;
use systemd_unit::UnitName;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// A longer line is cut into several: nobody can make us hold more of it.
const LINE_MAX: u64 = 64 * 1024;
/// How much of what went wrong is told.
const ERRORS_MAX: u64 = 4096;

/// Lines that come. Dropped, `journalctl` is killed.
#[derive(Debug)]
pub struct UnitJournal {
    machine: MachineId,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// It prints.
    Running {
        child: Box<Child>,
        lines: BufReader<ChildStdout>,
    },
    /// It could not be started.
    Broken(std::io::Error),
    /// There is nothing more.
    Ended,
}

/// A unit's journal on this machine; which machine the query names is not looked at.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn journal(machine: &MachineId, unit: &UnitName, query: &JournalQuery) -> UnitJournal {
    UnitJournal::of(machine, command(unit, query))
}

impl UnitJournal {
    fn of(machine: &MachineId, mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let source = match command.spawn() {
            Ok(mut child) => match child.stdout.take() {
                Some(output) => Source::Running {
                    child: Box::new(child),
                    lines: BufReader::new(output),
                },
                None => Source::Ended, // it is piped
            },
            Err(error) => Source::Broken(error),
        };
        Self {
            machine: machine.clone(),
            source,
        }
    }

    /// The next line; that it broke, once; nothing at the end. Not to be given up half-way: what was read of
    /// a line would be lost.
    pub async fn next(&mut self) -> Option<JournalRecord> {
        if let Source::Running { child, lines } = &mut self.source {
            let (line, problem) = match line(lines).await {
                Ok(Some(line)) => (Some(line), None),
                Ok(None) => (None, end(child).await),
                Err(error) => (None, Some(error.to_string())),
            };
            if let Some(line) = line {
                let machine_id = self.machine.as_str().to_owned();
                return Some(JournalRecord::Line { machine_id, line });
            }
            self.source = Source::Ended;
            return problem.map(|message| self.unreachable(message));
        }
        match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Broken(error) => {
                Some(self.unreachable(format!("cannot start journalctl: {error}")))
            }
            _ => None,
        }
    }

    fn unreachable(&self, message: String) -> JournalRecord {
        JournalRecord::Unreachable {
            machine_id: self.machine.as_str().to_owned(),
            message,
        }
    }
}

fn command(unit: &UnitName, query: &JournalQuery) -> Command {
    let mut command = Command::new("journalctl");
    command
        .arg("--no-pager")
        .arg(format!("--lines={}", query.lines))
        .arg(format!("--output={}", query.output))
        .arg(format!("--unit={unit}"));
    if query.follow {
        command.arg("--follow");
    }
    command
}

/// A line without its end, or a piece of one that is too long.
async fn line(lines: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let count = lines.take(LINE_MAX).read_until(b'\n', &mut bytes).await?;
    if count == 0 {
        return Ok(None);
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// What went wrong, if something did.
async fn end(child: &mut Child) -> Option<String> {
    let mut errors = Vec::new();
    if let Some(stream) = child.stderr.take() {
        // What cannot be read of it is not told.
        let _read = stream.take(ERRORS_MAX).read_to_end(&mut errors).await;
    }
    match child.wait().await {
        Ok(status) if status.success() => None,
        Ok(status) => Some(message(status, &errors)),
        Err(error) => Some(error.to_string()),
    }
}

fn message(status: ExitStatus, errors: &[u8]) -> String {
    let errors = String::from_utf8_lossy(errors);
    format!("journalctl: {status}: {}", errors.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> MachineId {
        MachineId::new("m1")
    }

    async fn all(script: &str) -> Vec<JournalRecord> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut journal = UnitJournal::of(&machine(), command);
        let mut found = Vec::new();
        while let Some(record) = journal.next().await {
            found.push(record);
        }
        found
    }

    fn line_of(text: &str) -> JournalRecord {
        JournalRecord::Line {
            machine_id: "m1".to_owned(),
            line: text.to_owned(),
        }
    }

    #[test]
    fn what_is_asked_of_journalctl() {
        let unit = UnitName::new("-.mount").expect("a name");
        let query = JournalQuery {
            lines: 7,
            follow: true,
            output: "cat".to_owned(),
            machine_id: None,
        };
        let command = command(&unit, &query);
        let arguments: Vec<_> = command.as_std().get_args().collect();
        let expected = [
            "--no-pager",
            "--lines=7",
            "--output=cat",
            "--unit=-.mount",
            "--follow",
        ];
        assert_eq!(arguments, expected);
    }

    #[tokio::test]
    async fn lines_come_as_they_are_printed() {
        let found = all(r"printf 'a\n\nb\377c\nd'").await;
        let expected = ["a", "", "b\u{fffd}c", "d"].map(line_of);
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_long_line_is_cut() {
        let found = all("head -c 65537 /dev/zero | tr '\\0' x").await;
        assert_eq!(found, [line_of(&"x".repeat(65536)), line_of("x")]);
    }

    #[tokio::test]
    async fn a_failure_is_told_once() {
        let found = all("echo a; echo no such file >&2; exit 3").await;
        let message = "journalctl: exit status: 3: no such file".to_owned();
        let machine_id = "m1".to_owned();
        let broken = JournalRecord::Unreachable {
            machine_id,
            message,
        };
        assert_eq!(found, [line_of("a"), broken]);
        let mut missing = UnitJournal::of(&machine(), Command::new("/nonexistent"));
        assert!(matches!(
            missing.next().await,
            Some(JournalRecord::Unreachable { .. })
        ));
        assert_eq!(missing.next().await, None);
    }
}
