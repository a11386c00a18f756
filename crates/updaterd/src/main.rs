//! `updaterd`: updates of a Keelson machine.
//!
//! Parsing and exit codes only; the work stands in the library.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use updaterd::cluster;
use updaterd::keeper::Keeper;
use updaterd::reboot::{self, Occasion};
use updaterd::run::{Goal, Order, OrderedBy, run};
use updaterd::service::serve;
use updaterd::watcher::TerminalWatcher;

/// Updates this Keelson machine. People use `osctl update`.
#[derive(Debug, Parser)]
#[command(name = "updaterd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve org.keelson.Update1 on the system bus until nobody asks any more
    Serve,
    /// Look for a release and install it, without the bus; never reboots
    Run(RunArguments),
    /// Take down whether what was installed before this boot is healthy, and tell the cluster
    Outcome,
    /// Once the machine is healthy, undo what was done for its reboot: bring its work back, give its lock back
    BackInService,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// How far to go
    #[arg(long, value_enum, default_value = "install")]
    goal: GoalArgument,
    /// URL or absolute folder of the release directory [default: sources of update.toml]
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Take a version that was bad on this machine or halted in its cluster, too
    #[arg(long)]
    retry: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GoalArgument {
    /// Say what would be taken
    Check,
    /// Write it to the idle slot without making it bootable
    Download,
    /// Make it what boots next
    Install,
}

fn main() -> ExitCode {
    let root = SystemRoot::new("/");
    let result = match Cli::parse().command {
        Command::Serve => serve(&root),
        Command::Run(arguments) => run_once(&root, arguments),
        Command::Outcome => outcome(&root),
        Command::BackInService => {
            reboot::back_in_service(&root, Occasion::Boot).map(|what| println!("updaterd: {what}"))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("updaterd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_once(root: &SystemRoot, arguments: RunArguments) -> anyhow::Result<()> {
    let order = Order {
        goal: match arguments.goal {
            GoalArgument::Check => Goal::Check,
            GoalArgument::Download => Goal::Download,
            GoalArgument::Install => Goal::Install,
        },
        from: arguments.from,
        retry: arguments.retry,
        by: OrderedBy::Hand,
    };
    let outcome = run(root, &order, &TerminalWatcher::default())?;
    println!("{}", outcome.sentence());
    Ok(())
}

fn outcome(root: &SystemRoot) -> anyhow::Result<()> {
    let mut keeper = Keeper::take(root)?;
    println!("the update is {}", keeper.record().state);
    match update_files::read_settings(root) {
        Ok(settings) => cluster::tell(root, &settings, &mut keeper),
        // What the outcome is has been taken down all the same.
        Err(error) => eprintln!("updaterd: tells the cluster nothing: {}", error.reason()),
    }
    Ok(())
}
