//! `keelson completions`: a completion script on standard output.

use clap::CommandFactory as _;

use crate::cli::Cli;

/// Runs the command.
pub(crate) fn run(shell: clap_complete::Shell) {
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "keelson",
        &mut std::io::stdout(),
    );
}
