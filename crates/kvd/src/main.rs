//! `kvd`: the key-value store's daemon.
//!
//! Parsing and exit codes only; the work stands in the modules, the face for clients in the library.

mod command_line;
mod configuration;
mod daemon;
mod data_folder;
mod discovery;
mod duration;
mod endpoint;
mod flags;
mod listener;
mod logging;
mod member;
mod memory;
mod outbound;
mod proxy;
mod restore;
mod settings;
mod settings_file;
mod system_calls;
#[cfg(test)]
mod testing;
mod tls;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use command_line::Request;
use configuration::Configuration;
use settings::{Layer, Settings, UsageError};

/// Exit code of a wrong command line or setting.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    system_calls::bound_freed_memory();
    let ended = match command_line::parse(std::env::args_os().skip(1)) {
        Ok(Request::Serve(flags)) => serve(flags),
        Ok(Request::Restore(file, flags)) => restored(&file, flags),
        Ok(Request::Print(text)) => print(text.as_bytes()),
        Ok(Request::Completions(shell)) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command_line::command(), "kvd", &mut script);
            print(&script)
        }
        Err(error) => Err(error.into()),
    };
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    eprintln!("kvd: {}", one_line(&error));
    if error.is::<UsageError>() {
        return ExitCode::from(USAGE);
    }
    ExitCode::FAILURE
}

/// What went wrong and why, on one line whatever the causes are made of.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some messages carry their cause already.
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text)
        .context("cannot write to standard output")
}

/// Reads all settings, in the order in which they win.
fn read_settings(flags: Layer) -> Result<Settings, UsageError> {
    // A variable that is not text can be none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let (environment, unknown) = settings::from_environment(variables);
    let chosen = [&flags, &environment]
        .into_iter()
        .find_map(|layer| layer.iter().rfind(|given| given.flag.name == "config-file"))
        .map(|given| given.value.clone());
    let file = match &chosen {
        Some(path) => read_file(path)?.ok_or_else(|| {
            UsageError(format!(
                "cannot read the settings file {path}: there is none"
            ))
        })?,
        None => read_file(settings_file::DEFAULT_PATH)?.unwrap_or_default(),
    };
    let mut settings = Settings::merge(vec![flags, environment, file])?;
    settings.warnings.extend(unknown);
    Ok(settings)
}

/// The layer of a settings file; none if there is no such file.
fn read_file(path: &str) -> Result<Option<Layer>, UsageError> {
    match std::fs::read_to_string(path) {
        Ok(text) => settings_file::parse(path, &text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("cannot read the settings file {path}: {error}");
            Err(UsageError(message))
        }
    }
}

/// The folder that systemd made for the service; the first, if it made several.
fn state_folder() -> Option<PathBuf> {
    let folders = std::env::var("STATE_DIRECTORY").ok()?;
    let first = folders.split(':').next()?;
    (!first.is_empty()).then(|| PathBuf::from(first))
}

/// The configuration as it would be if the process started now.
fn read_again() -> Result<Configuration, UsageError> {
    let flags = match command_line::parse(std::env::args_os().skip(1))? {
        Request::Serve(flags) => flags,
        Request::Restore(..) | Request::Print(_) | Request::Completions(_) => Layer::new(),
    };
    Configuration::new(&read_settings(flags)?, state_folder())
}

fn restored(file: &Path, flags: Layer) -> anyhow::Result<()> {
    let settings = read_settings(flags)?;
    for warning in &settings.warnings {
        eprintln!("kvd: {warning}");
    }
    let configuration = Configuration::new(&settings, state_folder())?;
    print(restore::restore(file, &configuration)?.as_bytes())
}

fn serve(flags: Layer) -> anyhow::Result<()> {
    let settings = read_settings(flags)?;
    let configuration = Configuration::new(&settings, state_folder())?;
    logging::start(configuration.log_level);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    // Two: one more would only take time from the threads of the log and the store.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(daemon::run(configuration));
    // Connections that did not end in time are cut.
    runtime.shutdown_background();
    ended
}
