//! Tests of the console against a scripted guest.

use super::*;

struct Guest {
    stream: UnixStream,
    console: Console,
    directory: tempfile::TempDir,
}

fn guest(tolerated: &[&str]) -> Guest {
    let directory = tempfile::tempdir().unwrap();
    let (ours, stream) = UnixStream::pair().unwrap();
    let files = ConsoleFiles {
        machine: "scripted".to_owned(),
        log: directory.path().join("console.log"),
        messages: directory.path().join("qemu.log"),
        tolerated: tolerated.iter().map(ToString::to_string).collect(),
    };
    let (console, _reader) = Console::capture(ours, files).unwrap();
    Guest {
        stream,
        console,
        directory,
    }
}

fn cause(error: QemuError) -> WaitCause {
    match error {
        QemuError::Console(failure) => failure.cause,
        other => panic!("{other}"),
    }
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn prompt_without_line_end_is_seen_once() {
    let mut guest = guest(&[]);
    guest.stream.write_all(b"booting\r\nlogin: ").unwrap();
    let first = guest.console.wait_for("login:", SOON).unwrap();
    assert_eq!((first.number, first.text.as_str()), (2, "login: "));
    let again = guest
        .console
        .wait_after(first.number, "login:", Duration::from_millis(50));
    assert!(matches!(
        cause(again.unwrap_err()),
        WaitCause::TimedOut { .. }
    ));
    guest.stream.write_all(b"root\r\nlogin: ").unwrap();
    let second = guest
        .console
        .wait_after(first.number, "login:", SOON)
        .unwrap();
    assert_eq!(second.number, 3);
}

#[test]
fn failure_names_everything() {
    let mut guest = guest(&[]);
    std::fs::write(guest.directory.path().join("qemu.log"), "qemu: a warning\n").unwrap();
    for number in 1..=30 {
        guest
            .stream
            .write_all(format!("line {number}\n").as_bytes())
            .unwrap();
    }
    guest.console.wait_for("line 30", SOON).unwrap();
    let error = guest
        .console
        .wait_for("login:", Duration::from_millis(50))
        .unwrap_err()
        .to_string();
    assert!(error.contains("machine scripted"), "{error}");
    assert!(error.contains("\"login:\""), "{error}");
    assert!(error.contains("qemu: a warning"), "{error}");
    assert!(error.contains("| line 11\n") && !error.contains("| line 10\n"));
    assert!(error.contains("console.log"), "{error}");
    assert!(guest.console.has_failed());
}

#[test]
fn fatal_line_ends_the_wait_and_a_tolerated_one_does_not() {
    let panic = b"ok\r\n[1.0] Kernel panic - not syncing: test\r\nafter\r\n";
    let mut strict = guest(&[]);
    strict.stream.write_all(panic).unwrap();
    let error = strict.console.wait_for("after", SOON).unwrap_err();
    let fatal = WaitCause::FatalLine {
        number: 2,
        reason: "the kernel panicked",
    };
    assert_eq!(cause(error), fatal);
    strict.console.wait_for("Kernel panic", SOON).unwrap();

    let mut lenient = guest(&["not syncing: test"]);
    lenient.stream.write_all(panic).unwrap();
    lenient.console.wait_for("after", SOON).unwrap();
    assert_eq!(lenient.console.scan(), []);
}

#[test]
fn end_of_the_machine_ends_the_wait() {
    let mut guest = guest(&[]);
    guest.stream.write_all(b"last words").unwrap();
    drop(guest.stream);
    let error = guest.console.wait_for("login:", SOON).unwrap_err();
    assert_eq!(cause(error), WaitCause::Ended);
    assert_eq!(guest.console.text(), "last words");
}

#[test]
fn log_has_times_and_plain_text() {
    let mut guest = guest(&[]);
    guest.stream.write_all(b"\x1b[1mbold\x1b[0m\r\n").unwrap();
    drop(guest.stream);
    assert!(guest.console.wait_ended(SOON));
    let log = std::fs::read_to_string(guest.console.log_path()).unwrap();
    let (time, text) = log.trim_end().split_once("] ").unwrap();
    assert_eq!(text, "bold");
    assert!(time.trim_start_matches(['[', ' ']).parse::<f64>().is_ok());
}

#[test]
fn mirror_gets_what_came_before_and_after() {
    let (sink, mut watched) = UnixStream::pair().unwrap();
    let mut guest = guest(&[]);
    guest.stream.write_all(b"before\r\n").unwrap();
    guest.console.wait_for("before", SOON).unwrap();
    guest.console.mirror(Box::new(sink));
    guest.stream.write_all(b"\x1b[1mafter").unwrap();
    let expected = b"before\r\n\x1b[1mafter";
    let mut seen = vec![0; expected.len()];
    watched.read_exact(&mut seen).unwrap();
    assert_eq!(seen, expected);
}

#[test]
fn typed_bytes_reach_the_guest() {
    let mut guest = guest(&[]);
    guest.console.write(b"root\n").unwrap();
    let mut seen = [0; 5];
    guest.stream.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"root\n");
    drop(guest.stream);
    assert!(guest.console.wait_ended(SOON));
    assert!(guest.console.write(b"more").is_err());
}
