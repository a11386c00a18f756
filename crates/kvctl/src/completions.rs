//! `completions`: all commands of both APIs, each with its own flags.
//!
//! What is offered is what the parsers know.
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::v3;

pub(crate) fn print(shell: Shell) {
    clap_complete::generate(shell, &mut everything(), "kvctl", &mut std::io::stdout());
}

/// Global flags would pass from one API to the other; so each command gets its own.
fn everything() -> Command {
    let v3 = spread(v3::arguments::Arguments::command());
    let v2 = Arguments::command();
    let own = v2.get_subcommands().filter(|one| one.get_name() != "v3");
    let own: Vec<Command> = own.cloned().collect();
    let mut root = Command::new("kvctl").about("Talks to a cluster of kvd, or of etcd");
    root = root.args(v2.get_arguments().cloned()).subcommands(own);
    spread(root).subcommand(v3)
}

fn spread(command: Command) -> Command {
    let globals = command.get_arguments().filter(|one| one.is_global_set());
    let globals: Vec<Arg> = globals.map(|one| one.clone().global(false)).collect();
    let command = command.mut_args(|one| one.global(false));
    command.mut_subcommands(|one| with(one, &globals))
}

fn with(command: Command, flags: &[Arg]) -> Command {
    let has = |flag: &Arg| {
        command
            .get_arguments()
            .any(|one| one.get_id() == flag.get_id())
    };
    let missing: Vec<Arg> = flags.iter().filter(|flag| !has(flag)).cloned().collect();
    let command = command.args(missing);
    command.mut_subcommands(|one| with(one, flags))
}
