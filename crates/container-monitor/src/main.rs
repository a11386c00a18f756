//! `launch-monitor`: the main process of a container's unit, from its start to its end.
//!
//! `launch run` prepares everything and becomes this program under the same process id. It has crun create and
//! start the payload, and crun is gone then. While the payload runs it forwards signals to it, what it
//! notifies to systemd, and what it writes to the journal. Clients talk with it over a socket, `control`
//! (`monitor-protocol`): they attach to the payload's streams, and have other processes executed beside it. It checks
//! the payload's health, and announces it as a service while it is good. It ends as the payload ends, with the same exit status or signal, leaves a record of that,
//! and has the launcher clean up before.
//!
//! It stays small, since there is one per container: one thread, no async runtime, no configuration format.
//! It pulls nothing, mounts nothing and knows no network.

mod arguments;
mod cgroup;
mod checkup;
mod child;
mod client;
mod clock;
mod console;
mod execution;
mod executions;
mod exit;
mod input;
mod journal;
mod lines;
mod monitor;
mod notify;
mod outgoing;
mod process;
mod reading;
mod record;
mod registration;
mod requests;
mod runtime;
mod signals;

use std::process::ExitCode;

use arguments::{Arguments, Output};
use exit::Ending;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("launch-monitor: {reason}");
            return ExitCode::from(exit::LAUNCHER_FAILED);
        }
    };
    let ending = monitor::run(&arguments);
    tell(&arguments, &ending);
    runtime::clean_up(&arguments);
    ending.end()
}

/// Why there was no payload, as the unit's status and where the launcher's errors go.
fn tell(arguments: &Arguments, ending: &Ending) {
    let (Ending::NotStarted { reason, .. } | Ending::Failed { reason }) = ending else {
        return;
    };
    let is_said = matches!(ending, Ending::NotStarted { .. });
    if !is_said || arguments.output == Output::Journal {
        eprintln!("launch: {}: {reason}", arguments.name);
    }
    notify::tell(&format!("STATUS={}", reason.replace('\n', " ")));
}
