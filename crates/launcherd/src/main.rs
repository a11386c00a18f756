//! `launcherd`: the Docker Engine API over containers that are systemd units.
//!
//! Each container has a record on disk, from its creation to its removal, and a unit, which systemd runs: no
//! container needs this daemon while it runs, and it is started by its socket when somebody asks. Parsing and
//! exit codes only; the work stands in the modules, and what requests mean in `engine-api`.

mod answer;
mod api;
mod attach;
mod attachments;
mod clock;
mod command_line;
mod containers;
mod daemon;
mod endpoints;
mod engine;
mod events;
mod exec;
mod executions;
mod files;
mod health;
mod hijack;
mod images;
mod journal;
mod listener;
mod load;
mod login;
mod logs;
mod monitor;
mod networks;
mod outlet;
mod processes;
mod pull;
mod records;
mod save;
mod stats;
mod system;
mod system_calls;
mod systemd;
mod volumes;
mod wait;
mod watcher;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use command_line::Cli;

fn main() -> ExitCode {
    // Before any other file is opened.
    let passed = system_calls::take_passed_sockets();
    let cli = Cli::parse();
    match serve(&cli, passed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("launcherd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(cli: &Cli, passed: Vec<std::os::fd::OwnedFd>) -> anyhow::Result<()> {
    let level = if cli.debug { "debug" } else { "info" };
    tracing_subscriber::fmt()
        .with_env_filter(format!("{level},hyper=warn,h2=warn,tower=warn,zbus=warn"))
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        // The journal knows the time.
        .without_time()
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(daemon::run(&cli.host, passed));
    runtime.shutdown_background();
    ended
}
