//! `fleetd`: engine and agent of one machine, and the fleet's API.
//!
//! Parsing and exit codes only; the work stands in the modules.

mod command_line;
mod configuration;
mod daemon;
mod http;
mod identity;
mod logging;
mod mirror;
mod registrar;
mod settings;
mod system_calls;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use container_model::registration;

use fleet_agent::{Bus, Uptime};
use machine_facts::system_root::SystemRoot;

use command_line::{Request, Sources};
use configuration::Configuration;
use settings::{Layer, Settings, UsageError, file};

/// Exit code of a wrong command line or setting.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match command_line::parse(std::env::args_os().skip(1)) {
        Ok(Request::Serve(sources)) => serve(sources),
        Ok(Request::Check(sources)) => check(&sources),
        Ok(Request::Guard) => guard(),
        Ok(Request::Print(text)) => print(&text),
        Err(error) => Err(error.into()),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("fleetd: {error:#}");
    if error.is::<UsageError>() {
        return ExitCode::from(USAGE);
    }
    ExitCode::FAILURE
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}

/// Reads all settings, in the order in which they win.
fn read_settings(sources: &Sources) -> Result<Settings, UsageError> {
    // A variable that is not text can be none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let (environment, unknown) = settings::from_environment(variables);
    let file = match &sources.file {
        Some(path) => read_file(path)?.ok_or_else(|| {
            UsageError(format!(
                "cannot read the settings file {path}: there is none"
            ))
        })?,
        None => match read_file(file::TOML_PATH)? {
            Some(layer) => layer,
            None => read_file(file::CONF_PATH)?.unwrap_or_default(),
        },
    };
    let mut settings = Settings::merge([sources.flags.clone(), environment, file]);
    settings.warnings.extend(unknown);
    Ok(settings)
}

/// The layer of a settings file; none if there is no such file.
fn read_file(path: &str) -> Result<Option<Layer>, UsageError> {
    match std::fs::read_to_string(path) {
        Ok(text) => file::parse(path, &text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("cannot read the settings file {path}: {error}");
            Err(UsageError(message))
        }
    }
}

/// The configuration as it would be if the process started now, and what to warn of.
fn read_configuration(sources: &Sources) -> Result<(Configuration, Vec<String>), UsageError> {
    let settings = read_settings(sources)?;
    let mut configuration = Configuration::new(&settings)?;
    configuration.registration = read_registration()?;
    Ok((configuration, settings.warnings))
}

/// How containers are registered, if the machine's owner says anything of it.
fn read_registration() -> Result<registration::Settings, UsageError> {
    const PATH: &str = registration::SETTINGS;
    match std::fs::read_to_string(PATH) {
        Ok(text) => {
            let read = registration::Settings::parse(&text);
            read.map_err(|error| UsageError(format!("{PATH}: {error}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(registration::Settings::default())
        }
        Err(error) => Err(UsageError(format!("cannot read {PATH}: {error}"))),
    }
}

/// `check-config`: as far as it can be told without starting.
fn check(sources: &Sources) -> anyhow::Result<()> {
    let (configuration, warnings) = read_configuration(sources)?;
    for warning in &warnings {
        eprintln!("fleetd: {warning}");
    }
    if let Some(files) = &configuration.tls {
        http::tls::check(files)?;
    }
    print("The settings are good.\n")
}

/// `guard`: units that stop on partitions do not outlive the lease, although no agent runs.
fn guard() -> anyhow::Result<()> {
    logging::start(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let root = SystemRoot::new("/");
        fleet_agent::guard(root, Uptime::of_machine(), Bus::new(None)).await;
    });
    Ok(())
}

fn serve(sources: Sources) -> anyhow::Result<()> {
    let passed = system_calls::take_passed_sockets();
    let (configuration, warnings) = read_configuration(&sources)?;
    logging::start(configuration.is_verbose);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let reread = move || read_configuration(&sources);
    let ended = runtime.block_on(daemon::run(configuration, passed, &reread));
    // Connections that did not end in time are cut.
    runtime.shutdown_background();
    ended
}
