//! Passwords from the terminal.
//!
//! What is typed is not shown, if the terminal can be told so.
use std::io::{self, BufRead, Write};
use std::process::{Command, Stdio};

use kv_client::Credentials;

use crate::failure::Failure;

/// `name:password`; without a colon the password is asked for.
pub(crate) fn split_or_ask(text: &str, prompt: &str) -> Result<Credentials, Failure> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, password.to_owned()),
        None => (text, ask(prompt)?),
    };
    Ok(Credentials {
        user: user.to_owned(),
        password,
    })
}

/// Asks for a password.
pub(crate) fn ask(prompt: &str) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::Plain(format!("Error reading password: {error}"));
    eprint!("{prompt}");
    io::stderr().flush().map_err(failed)?;
    let is_hidden = echo("-echo");
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if is_hidden {
        echo("echo");
        eprintln!();
    }
    read.map_err(failed)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Plain(
            "Error reading password: it is empty".to_owned(),
        ));
    }
    Ok(password.to_owned())
}

/// Whether the terminal obeyed; standard input need not be one.
fn echo(setting: &str) -> bool {
    let status = Command::new("stty")
        .arg(setting)
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
