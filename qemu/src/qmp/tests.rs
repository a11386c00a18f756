//! Tests of the QMP client against scripted answers.

use super::*;
use std::io::Read;
use std::thread;

const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

/// A client whose QEMU says `script` and, if it is to close, closes the connection then.
fn client(script: &str, then_close: bool) -> Result<Qmp, QemuError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let script = script.to_owned();
    thread::spawn(move || {
        theirs.write_all(script.as_bytes()).unwrap();
        let mut theirs = BufReader::new(theirs);
        theirs.read_line(&mut String::new()).unwrap();
        if !then_close {
            // Ends when the client hangs up.
            let _ = theirs.read_to_end(&mut Vec::new());
        }
    });
    Qmp::connect(ours)
}

fn script(lines: &[&str]) -> String {
    let mut all = vec![GREETING, r#"{"return": {}}"#];
    all.extend(lines);
    all.join("\r\n") + "\r\n"
}

#[test]
fn events_before_the_answer_are_queued() {
    let event = r#"{"event": "RESUME", "timestamp": {}}"#;
    let answer = r#"{"return": {"status": "running"}}"#;
    let mut qmp = client(&script(&[event, answer]), false).unwrap();
    assert_eq!(qmp.query_status().unwrap(), "running");
    let seen = qmp.wait_event("RESUME", Duration::from_secs(5)).unwrap();
    assert_eq!(seen["event"], "RESUME");
    let error = qmp.wait_event("RESUME", Duration::from_millis(50));
    assert!(matches!(error, Err(QemuError::QmpTimeout { .. })));
}

#[test]
fn refusal_names_command_and_reason() {
    let answer = r#"{"error": {"class": "CommandNotFound", "desc": "no such command"}}"#;
    let mut qmp = client(&script(&[answer]), false).unwrap();
    let error = qmp.execute("nonsense", &json!({})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "QMP: nonsense was refused (CommandNotFound): no such command"
    );
}

#[test]
fn closed_connection_is_no_timeout() {
    let mut qmp = client(&script(&[]), true).unwrap();
    assert!(matches!(
        qmp.wait_event("STOP", Duration::from_secs(30)),
        Err(QemuError::QmpClosed { .. })
    ));
}

#[test]
fn garbage_is_shown() {
    let error = client("SSH-2.0-OpenSSH\r\n", false).unwrap_err();
    assert!(error.to_string().contains("SSH-2.0"), "{error}");
    let error = client("{\"return\": {}}\r\n", false).unwrap_err();
    assert!(matches!(error, QemuError::QmpMalformed { .. }));
}
