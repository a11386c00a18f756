//! What `systemctl status` says of a unit on this machine.
//!
//! It is for people: whoever wants a state reads it from the store.

use std::process::{Output, Stdio};
use std::time::Duration;

use fleet_api::status::StatusReport;
use systemd_unit::UnitName;
use tokio::process::Command;
use tokio::time::timeout;

/// It is deaf during a reload.
const PATIENCE: Duration = Duration::from_secs(25);

/// A unit's status on this machine.
pub async fn status(unit: &UnitName) -> StatusReport {
    let mut command = Command::new("systemctl");
    command.args(["status", "--full", "--no-pager", "--", unit.as_str()]);
    report(command).await
}

async fn report(mut command: Command) -> StatusReport {
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => read(&output),
        Ok(Err(error)) => unreachable(format!("cannot start systemctl: {error}")),
        Err(_) => unreachable(format!(
            "systemctl did not end within {} s",
            PATIENCE.as_secs()
        )),
    }
}

fn read(output: &Output) -> StatusReport {
    let code = output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok());
    let Some(exit_code) = code else {
        return unreachable(format!("systemctl: {}", output.status));
    };
    // A unit that is not there is told on standard error.
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    StatusReport::Status {
        exit_code,
        text: text.concat(),
    }
}

fn unreachable(message: String) -> StatusReport {
    StatusReport::Unreachable { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(script: &str) -> StatusReport {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        report(command).await
    }

    #[tokio::test]
    async fn the_exit_status_and_all_that_was_printed_is_told() {
        let expected = StatusReport::Status {
            exit_code: 3,
            text: "out\nerror\n".to_owned(),
        };
        assert_eq!(of("echo out; echo error >&2; exit 3").await, expected);
    }

    #[tokio::test]
    async fn one_that_was_killed_says_nothing_of_the_unit() {
        assert!(matches!(
            of("kill -9 $$").await,
            StatusReport::Unreachable { .. }
        ));
    }
}
