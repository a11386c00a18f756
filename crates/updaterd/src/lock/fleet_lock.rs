//! A client of FleetLock: the reboot lock that some server keeps, kvd's or another's.
//!
//! Source of the protocol: <https://coreos.github.io/zincati/development/fleetlock/protocol/>. It tells nothing of
//! other machines, so neither does this.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::json;
use update_client::http::agent;
use update_model::reboot::Lock;
use update_model::settings::reboot_lock::FleetLock;

/// A server that sends nothing for so long counts as gone.
const STALL: Duration = Duration::from_secs(20);
/// No error is longer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The server's words for why not.
#[derive(Deserialize)]
struct Refusal {
    kind: String,
    value: String,
}

/// How a server answered.
enum Answer {
    Done,
    /// No slot is free.
    Full(String),
}

/// Takes a slot.
pub(super) fn take(lock: &FleetLock, machine: &str) -> anyhow::Result<Lock> {
    Ok(match ask(lock, "pre-reboot", machine)? {
        Answer::Done => Lock::Held,
        Answer::Full(words) => {
            let others = format!("others of group {} ({words})", lock.group);
            Lock::HeldByOthers(vec![others])
        }
    })
}

/// Gives it back.
pub(super) fn release(lock: &FleetLock, machine: &str) -> anyhow::Result<()> {
    match ask(lock, "steady-state", machine)? {
        Answer::Done => Ok(()),
        Answer::Full(words) => Err(anyhow!("{} says: {words}", lock.url)),
    }
}

fn ask(lock: &FleetLock, wish: &str, machine: &str) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/{wish}", lock.url.trim_end_matches('/'));
    let body = json!({"client_params": {"id": machine, "group": lock.group}}).to_string();
    let request = agent(ureq::Proxy::try_from_env(), STALL)
        .post(&url)
        .config()
        // Elsewhere is another lock.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .header("fleet-lock-protocol", "true")
        .content_type("application/json");
    let mut answer = request
        .send(&body)
        .with_context(|| format!("cannot ask {url}"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(Answer::Done);
    }
    let words = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let words = words.read_to_string().unwrap_or_default();
    let refusal = serde_json::from_str::<Refusal>(&words).unwrap_or_else(|_| Refusal {
        kind: String::new(),
        value: words.trim().to_owned(),
    });
    // 409 is kvd's; the kind is the protocol's only example, and airlock has nothing but a text.
    let is_full = status == 409
        || refusal.kind == "failed_lock_semaphore_full"
        || refusal.value.contains("semaphore currently full");
    if is_full {
        return Ok(Answer::Full(refusal.value));
    }
    Err(anyhow!("{url} answers {status}: {}", refusal.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// A server that answers once, and gives what it was asked.
    fn server(status: &str, body: &str) -> (FleetLock, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"}}") {
                let mut buffer = [0; 1024];
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "the request ended early");
                asked.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        let group = "workers".to_owned();
        (FleetLock { url, group }, thread)
    }

    #[test]
    fn it_asks_as_the_protocol_says() {
        let (lock, asked) = server("200 OK", "");
        assert_eq!(take(&lock, "0123").unwrap(), Lock::Held);
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("POST /base/v1/pre-reboot "), "{asked}");
        assert!(asked.contains("fleet-lock-protocol: true\r\n"), "{asked}");
        let (_, body) = asked.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let expected = json!({"client_params": {"id": "0123", "group": "workers"}});
        assert_eq!(body, expected);

        let (lock, asked) = server("200 OK", "");
        release(&lock, "0123").unwrap();
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("POST /base/v1/steady-state "), "{asked}");
    }

    #[test]
    fn a_full_semaphore_is_no_failure_and_all_else_is() {
        let full = r#"{"kind":"failed_lock_semaphore_full","value":"all taken"}"#;
        for (status, body, words) in [
            ("409 Conflict", full, "all taken"),
            ("500 Oh", full, "all taken"),
            (
                "500 Oh",
                "semaphore currently full, all slots",
                "currently full",
            ),
        ] {
            let (lock, _) = server(status, body);
            let Lock::HeldByOthers(others) = take(&lock, "0123").unwrap() else {
                panic!("{status} {body}");
            };
            assert!(others[0].contains(words), "{others:?}");
        }
        let other = r#"{"kind":"unknown_group","value":"no such group"}"#;
        for (status, body, words) in [
            ("400 Bad", other, "no such group"),
            ("302 Found", "", "302"),
            ("502 Bad Gateway", "<html>", "<html>"),
        ] {
            let (lock, _) = server(status, body);
            let error = take(&lock, "0123").unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
