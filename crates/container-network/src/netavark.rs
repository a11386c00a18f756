//! netavark: `setup` and `teardown` of one container's network, by its JSON.
//!
//! Callers hold the lock: netavark looks at the firewall's rules and then changes them.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use container_model::network::{Connection, NetavarkRequest};

use crate::closed_descriptors::close_descriptors;
use crate::error::Error;
use crate::file;

const NETAVARK: &str = "/usr/lib/podman/netavark";
const AARDVARK: &str = "/usr/lib/podman/aardvark-dns";
/// Where netavark finds `nft` and `systemd-run`.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Everything is made.
    Setup,
    /// Everything is removed.
    Teardown,
}

/// Has it done. `namespace` is a path; `state` is netavark's own folder.
pub(crate) fn run(
    action: Action,
    namespace: &str,
    connection: &Connection,
    state: &Path,
) -> Result<(), Error> {
    fs::create_dir_all(state).map_err(Error::io(state))?;
    forget_dead_resolver(state)?;
    let request = serde_json::to_vec(&NetavarkRequest::from(connection))
        .map_err(|error| Error::Netavark(error.to_string()))?;
    let failed = |error: std::io::Error| Error::Netavark(format!("{NETAVARK}: {error}"));
    let mut command = Command::new(NETAVARK);
    command
        .env_clear()
        .env("PATH", PATH)
        .arg("--config")
        .arg(state)
        .args([
            "--aardvark-binary",
            AARDVARK,
            "--firewall-driver",
            "nftables",
        ])
        .arg(match action {
            Action::Setup => "setup",
            Action::Teardown => "teardown",
        })
        .arg(namespace)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = close_descriptors(&mut command).spawn().map_err(failed)?;
    // It reads all of it before it writes anything.
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut input| input.write_all(&request));
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(Error::Netavark(reason(&output.stdout, &output.stderr)));
    }
    written.map_err(failed)
}

/// What it says of its failure: an object with the key `error`, or a line on standard error.
fn reason(output: &[u8], errors: &[u8]) -> String {
    let told = serde_json::from_slice::<serde_json::Value>(output).ok();
    let told = told.and_then(|value| Some(value.get("error")?.as_str()?.to_owned()));
    told.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(errors).trim().replace('\n', "; ");
        if text.is_empty() {
            "it failed and does not say why".to_owned()
        } else {
            text
        }
    })
}

/// netavark signals whichever process has the number that aardvark-dns wrote down; if that was killed, this may be
/// another by now.
fn forget_dead_resolver(state: &Path) -> Result<(), Error> {
    let path = state.join("aardvark-dns/aardvark.pid");
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let program = fs::read_link(format!("/proc/{}/exe", text.trim()));
    let is_it =
        program.is_ok_and(|program| program.file_name() == Some(OsStr::new("aardvark-dns")));
    if is_it { Ok(()) } else { file::remove(&path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_one_line() {
        assert_eq!(
            reason(b"{\"error\":\"no bridge\"}\n", b"noise"),
            "no bridge"
        );
        assert_eq!(reason(b"", b"one\ntwo\n"), "one; two");
        assert_eq!(reason(b"{}", b""), "it failed and does not say why");
    }

    #[test]
    fn a_number_that_is_another_process_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("aardvark-dns/aardvark.pid");
        fs::create_dir(pid.parent().unwrap()).unwrap();
        fs::write(&pid, std::process::id().to_string()).unwrap();
        forget_dead_resolver(folder.path()).unwrap();
        assert!(!pid.exists());
    }
}
