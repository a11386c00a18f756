//! The key-value store's command line: etcdctl's v2 commands with its flags, output and exit codes,
//! and what people missed in it.
//!
//! It works against kvd and against any other server with etcd's v2 API. It keeps no state and
//! writes no files, except for `backup`.
mod api;
mod arguments;
mod auth;
mod backup;
mod bench;
mod completions;
mod contention;
mod failure;
mod go_flags;
mod health;
mod keys;
mod local_member;
mod members;
mod migrate;
mod password;
mod print;
mod session;
mod signals;
mod status;
mod v3;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::api::Api;
use crate::arguments::{Arguments, Command};
use crate::failure::{Failure, exit_status};

fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    let (api, given) = api::choose(given, session::variable("API").as_deref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("Error:  cannot start: {error}");
            return ExitCode::from(exit_status::ERROR);
        }
    };
    let status = runtime.block_on(async {
        match api {
            Api::V2 => run_v2(given).await,
            Api::V3 => run_v3(given).await,
        }
    });
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    status
}

async fn run_v2(given: Vec<OsString>) -> ExitCode {
    let given = go_flags::normalize(given, &Arguments::command());
    match Arguments::try_parse_from(given) {
        Ok(arguments) => match run(&arguments).await {
            Ok(status) => status,
            Err(failure) => failure.report(arguments.global.output()),
        },
        Err(error) => refuse(&error),
    }
}

async fn run_v3(given: Vec<OsString>) -> ExitCode {
    let given = go_flags::normalize(given, &v3::arguments::Arguments::command());
    match v3::arguments::Arguments::try_parse_from(given) {
        Ok(arguments) => match v3::run(&arguments).await {
            Ok(status) => status,
            Err(failure) => failure.report(),
        },
        Err(error) if error.use_stderr() => {
            let _written = error.print();
            ExitCode::from(exit_status::ERROR)
        }
        Err(error) => refuse(&error),
    }
}

/// Tells what is wrong with the arguments, with etcdctl's exit codes.
fn refuse(error: &clap::Error) -> ExitCode {
    let _written = error.print();
    ExitCode::from(match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => 0,
        ErrorKind::InvalidSubcommand => exit_status::UNKNOWN_COMMAND,
        _ => exit_status::ERROR,
    })
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Key(command) => keys::run(global, command).await,
        Command::Watch(watch) => watch::watch(global, watch).await,
        Command::ExecWatch(watch) => watch::exec_watch(global, watch).await,
        Command::ClusterHealth { forever } => health::run(global, *forever).await,
        Command::Member { command } => members::run(global, command).await,
        Command::User { command } => auth::user(global, command).await,
        Command::Role { command } => auth::role(global, command).await,
        Command::Auth { command } => auth::auth(global, *command).await,
        Command::Lock(lock) => contention::lock(global, lock).await,
        Command::Elect(elect) => contention::elect(global, elect).await,
        Command::Status => status::run(global).await,
        Command::Migrate(migrate) => migrate::run(global, migrate).await,
        Command::Backup(backup) => backup::run(global, backup).await,
        Command::Restore { .. } => Err(backup::restore_elsewhere()),
        Command::Bench(bench) => bench::run(global, bench).await,
        Command::V3 { .. } => unreachable!("the API is chosen before"),
        Command::Completions { shell } => {
            completions::print(*shell);
            Ok(ExitCode::SUCCESS)
        }
    }
}
