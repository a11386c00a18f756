//! The machine's first-boot configuration, applied by the root's own `provision` before systemd starts.
//!
//! Whether there is one, and what it wants, is not known here, but for the disk that state shall be on. A mark in state says that it was dealt with; while
//! it is missing, every boot tries: after a power cut, and after a configuration that was refused and is corrected.
use std::fs;
use std::io;
use std::path::Path;

use disk_format::state_disk::{InvalidDiskName, StateDisk, WISH_FILE};

use crate::report::console;
use crate::report::error::{ActionFailed, Context};
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

/// Which disk the configuration wants state on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The one that is booted from.
    Nothing,
    /// Another.
    Disk(StateDisk),
    /// It is wrong so that nobody can say; [`apply`] will be told what is.
    Unknown,
}

/// Why the machine must not start as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvisionError {
    /// The program could not be run.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// It was refused before there was state, and now it is not.
    #[error(
        "the configuration was not understood before, and state is in memory: the next boot looks again"
    )]
    NoState,
    /// It says what is no name of a disk.
    #[error("what {PROGRAM} wrote to /run/{WISH_FILE}")]
    Wish(#[from] InvalidDiskName),
    /// It was, and did not configure the machine.
    #[error("{status}\n{output}")]
    NotApplied {
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
}

/// Asks the configuration where state shall be, before there is any.
pub(crate) fn state_disk(esp: Option<&str>) -> Result<Wish, ProvisionError> {
    let (configured, said) = judge(run("state-disk", esp)?)?;
    match configured {
        Configured::Stop => {
            console::info(&said);
            Ok(Wish::Unknown)
        }
        Configured::GoOn => read_wish(&Path::new("/run").join(WISH_FILE)),
    }
}

fn read_wish(path: &Path) -> Result<Wish, ProvisionError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Wish::Nothing),
        read => read.context(|| format!("read {}", path.display()))?,
    };
    Ok(Wish::Disk(text.trim_end_matches('\n').parse()?))
}

fn run(command: &str, esp: Option<&str>) -> Result<Finished, ActionFailed> {
    let mut arguments = vec![command];
    if let Some(esp) = esp {
        arguments.extend(["--esp", esp]);
    }
    tools::run_with(&BOUND, PROGRAM, &arguments)
}

/// Configures the machine if that was not done before. Without state that lasts, it can only be refused.
pub(crate) fn apply(esp: Option<&str>, state_lasts: bool) -> Result<Configured, ProvisionError> {
    if Path::new(ROOT).join(DONE).exists() {
        return Ok(Configured::GoOn);
    }
    let (configured, said) = judge(run("first-boot", esp)?)?;
    match configured {
        Configured::GoOn => console::notice(&said),
        Configured::Stop => console::error(&said),
    }
    if configured == Configured::GoOn && !state_lasts {
        return Err(ProvisionError::NoState);
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
    fn a_wish_is_a_line_or_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wish");
        assert_eq!(read_wish(&path).unwrap(), Wish::Nothing);
        fs::write(&path, "wipe serial A B\n").unwrap();
        let wish = "wipe serial A B".parse().unwrap();
        assert_eq!(read_wish(&path).unwrap(), Wish::Disk(wish));
        fs::write(&path, "").unwrap();
        assert!(read_wish(&path).is_err());
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
