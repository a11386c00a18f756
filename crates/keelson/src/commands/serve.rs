//! `keelson serve`: shows a release directory over HTTP, for trying it out.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use release_build::serve::{Log, Server};

use crate::release_cli::ServeArguments;

/// Runs the command, until it is interrupted.
pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let server = Server::bind(&arguments.directory, arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    eprintln!(
        "{} at http://{}/",
        arguments.directory.display(),
        server.address()?
    );
    let log: Log = Arc::new(|path, status, sent| eprintln!("{status} {sent:>10} /{path}"));
    server.run(&log).context("cannot accept connections")?;
    Ok(ExitCode::SUCCESS)
}
