//! `completions`: what a shell offers, from what the parser knows.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;

pub(crate) fn print(shell: Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "fleetctl", &mut text);
    std::io::Write::write_all(&mut std::io::stdout(), &text)?;
    Ok(0)
}
