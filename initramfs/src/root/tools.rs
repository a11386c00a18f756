//! Runs programs of the verified root, before it is `/`: mkfs and fsck are not carried twice.
//!
//! It does not judge exit codes; that is the caller's, who knows the program.
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::mount::{UnmountFlags, mount_bind, unmount};

use crate::report::error::{ActionFailed, Context};
use crate::root::verity_root::ROOT;
use crate::system_calls;

/// What most programs need to see of the running kernel.
const BOUND: [&str; 2] = ["/dev", "/proc"];

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Its exit code; `None` if a signal killed it.
    pub(crate) code: Option<i32>,
    /// How it ended, in words.
    pub(crate) status: String,
    /// Everything it printed, without blank lines.
    pub(crate) output: String,
}

/// Runs a program of the root with the root as `/`, and waits for it.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Finished, ActionFailed> {
    run_with(&BOUND, program, arguments)
}

/// As [`run`], for a program that needs to see these paths of the initramfs.
pub(crate) fn run_with(
    bound: &[&str],
    program: &str,
    arguments: &[&str],
) -> Result<Finished, ActionFailed> {
    for &path in bound {
        mount_bind(path, format!("{ROOT}{path}"))
            .context(|| format!("mount {path} on {ROOT}{path}"))?;
    }
    let finished = run_bound(program, arguments);
    for &path in bound {
        let target = format!("{ROOT}{path}");
        unmount(&target, UnmountFlags::empty()).context(|| format!("unmount {target}"))?;
    }
    finished
}

fn run_bound(program: &str, arguments: &[&str]) -> Result<Finished, ActionFailed> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .env("LC_ALL", "C");
    let output = system_calls::start_in(&mut command, PathBuf::from(ROOT))
        .output()
        .context(|| format!("run the root's {program}"))?;
    Ok(finished(&output))
}

fn finished(output: &Output) -> Finished {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    Finished {
        code: output.status.code(),
        status: output.status.to_string(),
        output: lines.join("\n"),
    }
}
