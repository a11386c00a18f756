//! The command line of what concerns running containers.

use clap::{Args, Subcommand};
use container_model::environment::Variable;
use container_model::name::Name;
use container_model::signal::Signal;
use monitor_protocol::DetachKeys;

#[derive(Debug, Subcommand)]
pub(crate) enum RunningCommand {
    /// Execute a program in a running container
    Exec(ExecArguments),
    /// Be where a container's output goes, and its input comes from
    Attach(AttachArguments),
    /// List running containers
    Ps(PsArguments),
    /// Stop containers: their units are stopped
    Stop(NamesArguments),
    /// Send a signal to containers
    Kill(KillArguments),
    /// Freeze every process of containers
    Pause(NamesArguments),
    /// Let frozen containers go on
    Unpause(NamesArguments),
    /// Show what a container wrote, from the journal
    Logs(LogsArguments),
    /// Show all that is known of containers, and how those that ended did, as JSON
    Inspect(NamesArguments),
    /// List a container's processes
    Top(TopArguments),
    /// Show what containers use
    Stats(StatsArguments),
}

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct ExecArguments {
    /// The container's name
    pub(crate) name: Name,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Pass on the standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Do not wait for the program
    #[arg(short, long, conflicts_with_all = ["tty", "interactive"])]
    pub(crate) detach: bool,
    /// A variable, or the name of one that is passed on
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<Variable>,
    /// Who runs, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// The working directory
    #[arg(short, long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// With all capabilities
    #[arg(long)]
    pub(crate) privileged: bool,
    /// The keys by which the terminal is left while the program goes on
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    pub(crate) detach_keys: DetachKeys,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArguments {
    /// The container's name
    pub(crate) name: Name,
    /// Do not pass on the standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Let the container wait for this terminal, instead of losing what does not fit
    #[arg(long)]
    pub(crate) wait: bool,
    /// Pass on signals; without it they end the attachment only
    #[arg(long)]
    pub(crate) sig_proxy: bool,
    /// The keys by which the container is left while it goes on
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    pub(crate) detach_keys: DetachKeys,
}

#[derive(Debug, Args)]
pub(crate) struct PsArguments {
    /// And those that ended, as far as it is known
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Names only
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NamesArguments {
    /// The containers' names
    #[arg(required = true)]
    pub(crate) names: Vec<Name>,
}

#[derive(Debug, Args)]
pub(crate) struct KillArguments {
    /// The containers' names
    #[arg(required = true)]
    pub(crate) names: Vec<Name>,
    /// The signal, by name or number
    #[arg(short, long, default_value = "KILL")]
    pub(crate) signal: Signal,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The container's name
    pub(crate) name: Name,
    /// Go on as it writes more
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many lines from the end
    #[arg(
        short = 'n',
        long = "tail",
        value_name = "NUMBER",
        visible_alias = "lines"
    )]
    pub(crate) lines: Option<u64>,
    /// From a time on, as journalctl understands it: "2026-01-31 12:00", -5min, yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// Up to a time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
    /// Each line with its time
    #[arg(short, long)]
    pub(crate) timestamps: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    /// The container's name
    pub(crate) name: Name,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// The containers' names; all without
    pub(crate) names: Vec<Name>,
    /// Once, and not again and again
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// As JSON, a line each
    #[arg(long)]
    pub(crate) json: bool,
}
