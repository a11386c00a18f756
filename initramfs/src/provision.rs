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
/// The owner's configuration is wrong: `provision` has seen to it that systemd starts nothing but a target that says so.
const REFUSED: i32 = 3;

/// How the boot goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Configured {
    /// As it should.
    GoOn,
    /// To a stop before anything of the user's, which is no fault of this version.
    Stop,
}

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
pub(crate) fn apply(esp: Option<&str>) -> Result<Configured, ProvisionError> {
    if Path::new(ROOT).join(DONE).exists() {
        return Ok(Configured::GoOn);
    }
    let mut arguments = vec!["first-boot"];
    if let Some(esp) = esp {
        arguments.extend(["--esp", esp]);
    }
    let (configured, said) = judge(tools::run_with(&BOUND, PROGRAM, &arguments)?)?;
    match configured {
        Configured::GoOn => console::notice(&said),
        Configured::Stop => console::error(&said),
    }
    Ok(configured)
}

/// With what it said, to be told.
fn judge(finished: Finished) -> Result<(Configured, String), ProvisionError> {
    match finished.code {
        Some(code) if GOOD.contains(&code) => Ok((Configured::GoOn, finished.output)),
        Some(REFUSED) => Ok((Configured::Stop, finished.output)),
        _ => Err(ProvisionError::NotApplied {
            status: finished.status,
            output: finished.output,
        }),
    }
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
        for code in [0, 4] {
            let (configured, _) = judge(finished(code)).unwrap();
            assert_eq!(configured, Configured::GoOn);
        }
    }

    #[test]
    fn a_refused_configuration_is_no_failure_of_the_version() {
        let (configured, said) = judge(finished(3)).unwrap();
        assert_eq!(configured, Configured::Stop);
        assert!(said.contains("config.toml:1:1: hostname"), "{said}");
    }

    #[test]
    fn a_program_that_fails_fails_the_boot_with_its_reason() {
        let text = chain(&judge(finished(1)).unwrap_err());
        assert!(text.contains("config.toml:1:1: hostname"), "{text}");
        let killed = Finished {
            code: None,
            ..finished(0)
        };
        assert!(judge(killed).is_err());
    }
}
