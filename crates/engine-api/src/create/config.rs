//! `Config`: what of an image's settings is replaced.

use std::collections::BTreeMap;

use container_model::command::Entrypoint;
use container_model::health::{HealthCommand, HealthTime};

use super::STOP_TIMEOUT;
use super::words::Words;
use crate::ApiError;
use crate::fields::Fields;

/// What is not an option of `launch run`.
pub(super) struct Own {
    pub(super) image: String,
    pub(super) arguments: Vec<String>,
    pub(super) has_terminal: bool,
    pub(super) has_input: bool,
    pub(super) stop_timeout: u32,
    pub(super) labels: BTreeMap<String, String>,
}

/// Who is attached at the start is told by the client's next request; ports that are exposed are a note, and
/// the rest is about how images are built.
const NOTES: &[&str] = &[
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "StdinOnce",
    "ExposedPorts",
    "OnBuild",
    "Shell",
    "ArgsEscaped",
];

/// Times of a check of health, and their options.
const TIMES: [(&str, &str); 4] = [
    ("Interval", "health-interval"),
    ("Timeout", "health-timeout"),
    ("StartPeriod", "health-start-period"),
    ("StartInterval", "health-start-interval"),
];
/// In nanoseconds; Docker's least.
const MILLISECOND: i64 = 1_000_000;

pub(super) fn read(fields: &mut Fields, words: &mut Words) -> Result<Own, ApiError> {
    fields.ignore(NOTES);
    let image = fields.text("Image")?;
    let image = image.ok_or_else(|| fields.refuse("Image", "an image is wanted"))?;
    environment(fields, words)?;
    program(fields, words)?;
    volumes(fields, words)?;
    health(fields, words)?;
    let labels: BTreeMap<String, String> = fields.text_map("Labels")?.into_iter().collect();
    let path = fields.path("Labels");
    for (name, value) in &labels {
        let text = format!("{name}={value}");
        let label = words.add("label", &path, &text)?;
        words.values.labels.push(label);
    }
    let arguments = fields.texts("Cmd")?.unwrap_or_default();
    words.values.arguments.clone_from(&arguments);
    let has_terminal = fields.flag("Tty")?;
    let has_input = fields.flag("OpenStdin")?;
    for (flag, is_wanted) in [("tty", has_terminal), ("interactive", has_input)] {
        if is_wanted {
            words.push(flag, "");
        }
    }
    Ok(Own {
        image,
        arguments,
        has_terminal,
        has_input,
        stop_timeout: stop_timeout(fields)?,
        labels,
    })
}

fn environment(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let path = fields.path("Env");
    for variable in fields.texts("Env")?.unwrap_or_default() {
        // A name alone takes a variable away from the image's: there is no option for that.
        if !variable.contains('=') {
            return Err(fields.refuse("Env", &format!("`{variable}` has no value")));
        }
        let variable = words.add("env", &path, &variable)?;
        words.values.environment.push(variable);
    }
    Ok(())
}

fn program(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    if let Some(mut entrypoint) = fields.texts("Entrypoint")? {
        // The API's way to say that there is none.
        if entrypoint == [""] {
            entrypoint.clear();
        }
        let text = serde_json::to_string(&entrypoint).unwrap_or_default();
        words.push("entrypoint", &text);
        words.values.entrypoint = Entrypoint::Replaced(entrypoint);
    }
    if let Some(folder) = fields.text("WorkingDir")? {
        words.push("workdir", &folder);
        words.values.working_directory = Some(folder);
    }
    let path = fields.path("User");
    if let Some(user) = fields.text("User")? {
        words.values.user = Some(words.add("user", &path, &user)?);
    }
    let path = fields.path("Hostname");
    if let Some(name) = fields.text("Hostname")? {
        words.values.host_name = Some(words.add("hostname", &path, &name)?);
    }
    let path = fields.path("StopSignal");
    if let Some(signal) = fields.text("StopSignal")? {
        words.values.stop_signal = Some(words.add("stop-signal", &path, &signal)?);
    }
    Ok(())
}

fn volumes(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let path = fields.path("Volumes");
    for (target, _) in fields.entries("Volumes")? {
        words.add_volume(&path, &target)?;
    }
    Ok(())
}

/// What replaces the image's check, or that there is to be none; what is not given is the image's.
fn health(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let mut check = fields.object("Healthcheck")?;
    let test = check.texts("Test")?.unwrap_or_default();
    let test: Vec<&str> = test.iter().map(String::as_str).collect();
    let command = match test[..] {
        [] | [""] => None,
        ["NONE"] => {
            words.push("no-healthcheck", "");
            None
        }
        ["CMD", _, ..] => Some(test[1..].to_vec()),
        ["CMD-SHELL", line] => Some(vec!["/bin/sh", "-c", line]),
        _ => {
            let reason = "CMD, CMD-SHELL or NONE is wanted first, and what is run";
            return Err(check.refuse("Test", reason));
        }
    };
    if let Some(command) = command {
        let list = serde_json::to_string(&command).unwrap_or_default();
        let _read: HealthCommand = words.add("health-cmd", &check.path("Test"), &list)?;
    }
    for (name, flag) in TIMES {
        let nanoseconds = check.number(name)?;
        if nanoseconds != 0 && nanoseconds < MILLISECOND {
            return Err(check.refuse(name, "it cannot be less than 1ms"));
        }
        if nanoseconds != 0 {
            let time = format!("{nanoseconds}ns");
            let _read: HealthTime = words.add(flag, &check.path(name), &time)?;
        }
    }
    let retries = check.number("Retries")?;
    match u32::try_from(retries) {
        Ok(0) => {}
        Ok(retries) => words.push("health-retries", &retries.to_string()),
        Err(_) => return Err(check.refuse("Retries", "a number is wanted, not below zero")),
    }
    check.finish()
}

fn stop_timeout(fields: &mut Fields) -> Result<u32, ApiError> {
    match fields.value("StopTimeout") {
        serde_json::Value::Null => Ok(STOP_TIMEOUT),
        value => {
            let seconds = value
                .as_u64()
                .and_then(|seconds| u32::try_from(seconds).ok());
            seconds
                .ok_or_else(|| fields.refuse("StopTimeout", "seconds are wanted, not below zero"))
        }
    }
}
