//! `ssh`, and commands on machines by SSH.
//!
//! The `ssh` program does it, with the user's terminal.

use std::process::ExitStatus;

use fleet_api::Machine;

use crate::arguments::Ssh as Arguments;
use crate::connect::Session;
use crate::failure::Failure;
use crate::names::mangle;
use crate::ssh::{Ssh, quote};

/// Runs `ssh`; the exit code is the command's.
pub(crate) async fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8, Failure> {
    let mut rest = arguments.rest.as_slice();
    let machine = match (&arguments.machine, &arguments.unit) {
        (Some(_), Some(_)) => {
            return Err(Failure::new(
                "Both machine and unit flags provided, please specify only one.",
            ));
        }
        (Some(machine), None) => session.find_machine(machine).await,
        (None, Some(unit)) => of_unit(session, unit).await,
        (None, None) => {
            let (first, others) = rest.split_first().ok_or_else(|| {
                Failure::new("Unable to proceed: one machine or unit must be provided")
            })?;
            rest = others;
            look_up(session, first).await
        }
    };
    let machine = machine?;
    if rest.first().is_some_and(|word| word == "--") {
        rest = &rest[1..];
    }
    let ssh = to(
        session,
        &machine,
        arguments.ssh_port,
        arguments.forward_agent,
    )?;
    let words = if rest.is_empty() {
        ssh.shell()
    } else {
        // As fleetctl did: the words are the remote shell's to split.
        ssh.command(&rest.join(" "))
    };
    execute("ssh", &words).await
}

/// Runs a command on a machine: here, if it is this one, else by SSH.
pub(crate) async fn run_on_machine(
    session: &Session<'_>,
    machine_id: &str,
    port: u16,
    words: &[&str],
) -> Result<u8, Failure> {
    if is_local(machine_id) {
        let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        return execute(program, &arguments).await;
    }
    let machine = session.machine(machine_id).await.ok_or_else(|| {
        Failure::new(format!(
            "Error getting machine IP: machine {machine_id} does not exist"
        ))
    })?;
    let ssh = to(session, &machine, port, false)?;
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    execute("ssh", &ssh.command(&quoted.join(" "))).await
}

fn to(session: &Session<'_>, machine: &Machine, port: u16, agent: bool) -> Result<Ssh, Failure> {
    if machine.primary_ip.is_empty() {
        return Err(Failure::new(format!(
            "Could not determine address of machine {}: its fleetd knows no public_ip",
            machine.id
        )));
    }
    Ssh::to_machine(session.global, &machine.primary_ip, port, agent)
        .map_err(|reason| Failure::new(format!("Failed building SSH client: {reason}")))
}

/// A machine or a unit, whichever there is.
async fn look_up(session: &Session<'_>, given: &str) -> Result<Machine, Failure> {
    let machine = session.find_machine(given).await;
    let unit = of_unit(session, given).await;
    match (machine, unit) {
        (Ok(_), Ok(_)) => Err(Failure::new(format!(
            "Unable to proceed: ambiguous argument, both machine and unit found for `{given}`.\n\
             Please use flag `-m` or `-u` to refine the search"
        ))),
        (Ok(machine), Err(_)) | (Err(_), Ok(machine)) => Ok(machine),
        (Err(_), Err(_)) => Err(Failure::new(
            "Unable to proceed: could not find matching unit or machine",
        )),
    }
}

async fn of_unit(session: &Session<'_>, given: &str) -> Result<Machine, Failure> {
    let unit = session.existing_unit(given).await?;
    let name = mangle(given);
    if unit.is_global() {
        return Err(Failure::new(format!(
            "Unable to proceed: {name} is global; name the machine instead"
        )));
    }
    let machine = session.machine(&unit.machine_id).await;
    machine.ok_or_else(|| Failure::new(format!("Unable to proceed: {name} is on no machine")))
}

fn is_local(machine_id: &str) -> bool {
    let own = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    !machine_id.is_empty() && own.trim() == machine_id
}

/// With our own standard input, output and error.
async fn execute(program: &str, arguments: &[String]) -> Result<u8, Failure> {
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .status()
        .await
        .map_err(|error| Failure::new(format!("cannot start {program}: {error}")))?;
    Ok(code(status))
}

/// As a shell tells it.
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}
