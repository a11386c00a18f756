//! The machine's first-boot configuration, applied by the root's own `provision` before systemd starts.
//!
//! Whether there is one, and what it wants, is not known here. A mark in state says that it was dealt with; while
//! it is missing, every boot tries: after a power cut, and after a configuration that was refused and is corrected.
use std::path::Path;

use crate::report::console;
use crate::report::error::ActionFailed;
use crate::root::tools::{self, Finished};
use crate::root::verity_root::ROOT;

const PROGRAM: &str = "/usr/bin/provision";
/// Below the root: where `provision` says that nothing is left to do.
const DONE: &str = "var/lib/keelson/provision/done";
/// What it sees of the running kernel, and where it may mount.
const BOUND: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];
/// Exit codes of `provision`: done, and what waits for the network.
const GOOD: [i32; 2] = [0, 4];

/// Why the machine must not start as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvisionError {
    /// The program could not be run.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// It was, and did not configure the machine.
    #[error("{status}\n{output}")]
    NotApplied {
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
}

/// Configures the machine if that was not done before.
pub(crate) fn apply(esp: Option<&str>) -> Result<(), ProvisionError> {
    if Path::new(ROOT).join(DONE).exists() {
        return Ok(());
    }
    let mut arguments = vec!["first-boot"];
    if let Some(esp) = esp {
        arguments.extend(["--esp", esp]);
    }
    let said = judge(tools::run_with(&BOUND, PROGRAM, &arguments)?)?;
    console::notice(&said);
    Ok(())
}

/// What it said, to be told.
fn judge(finished: Finished) -> Result<String, ProvisionError> {
    if finished.code.is_some_and(|code| GOOD.contains(&code)) {
        return Ok(finished.output);
    }
    Err(ProvisionError::NotApplied {
        status: finished.status,
        output: finished.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::error::chain;

    fn finished(code: i32) -> Finished {
        Finished {
            code: Some(code),
            status: format!("exit status: {code}"),
            output: "config.toml:1:1: hostname: no host name".to_owned(),
        }
    }

    #[test]
    fn what_waits_for_the_network_does_not_stop_the_boot() {
        assert!(judge(finished(0)).is_ok() && judge(finished(4)).is_ok());
    }

    #[test]
    fn a_refused_configuration_stops_it_with_its_reason() {
        let error = judge(finished(3)).unwrap_err();
        let text = chain(&error);
        assert!(text.contains("config.toml:1:1: hostname"), "{text}");
        let killed = Finished {
            code: None,
            ..finished(0)
        };
        assert!(judge(killed).is_err());
    }
}
