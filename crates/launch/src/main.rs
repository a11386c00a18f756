//! `launch`: judges Quadlet files, and makes units of them when systemd asks for it.
//!
//! Under the name `launch-generator` it is a systemd generator. Parsing, printing and exit codes; the work
//! stands in the modules.

mod check;
mod cli;
mod generator;
mod quadlet_files;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("launch-generator".as_ref()) {
        return generator::run(words.next().as_deref());
    }
    match Cli::parse().command {
        Command::Check(arguments) => check::run(&arguments),
    }
}
