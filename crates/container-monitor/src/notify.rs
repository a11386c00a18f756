//! What the payload tells systemd, passed on by the monitor, and what the monitor tells itself.
//!
//! systemd believes a datagram by its sender's control group, and the payload is in another one than the main
//! process. Only what a payload may say is passed on: not which process is the main one, no descriptors.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// The longest message, in bytes; systemd's own limit.
const LENGTH_MAX: usize = 4096;

/// Variables that are passed on.
const PASSED: &[&str] = &[
    "READY",
    "RELOADING",
    "STOPPING",
    "STATUS",
    "ERRNO",
    "WATCHDOG",
    "EXTEND_TIMEOUT_USEC",
    "MONOTONIC_USEC",
];

/// The socket that the payload writes to.
#[derive(Debug)]
pub(crate) struct Proxy {
    socket: UnixDatagram,
}

impl Proxy {
    /// Listens in the folder that the payload sees; everybody in the container may write.
    pub(crate) fn listen() -> io::Result<Self> {
        Self::listen_at(Path::new("notify/socket"))
    }

    fn listen_at(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        Ok(Self { socket })
    }

    /// What is waited on.
    pub(crate) fn socket(&self) -> &UnixDatagram {
        &self.socket
    }

    /// Passes on what has come. Gives back whether the payload said that it is ready.
    pub(crate) fn forward(&self) -> bool {
        let mut is_ready = false;
        let mut buffer = [0; LENGTH_MAX];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let passed = passed(&String::from_utf8_lossy(&buffer[..length]));
            is_ready |= passed.lines().any(|line| line == "READY=1");
            if !passed.is_empty() {
                tell(&passed);
            }
        }
        is_ready
    }
}

fn passed(message: &str) -> String {
    let is_passed = |line: &&str| {
        let key = line.split_once('=').map(|(key, _)| key);
        key.is_some_and(|key| PASSED.contains(&key))
    };
    let lines: Vec<&str> = message.lines().filter(is_passed).collect();
    lines.join("\n")
}

/// Tells systemd, if there is one. It fails only if systemd is gone.
pub(crate) fn tell(message: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let _sent = send(path.as_bytes(), message);
}

fn send(path: &[u8], message: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_payload_may_say_is_passed_on() {
        let message = "READY=1\nMAINPID=7\nSTATUS=a=b\nFDSTORE=1\nWATCHDOG=1\nX_OWN=1\nNONSENSE";
        assert_eq!(passed(message), "READY=1\nSTATUS=a=b\nWATCHDOG=1");
        assert_eq!(passed("BARRIER=1"), "");
    }

    #[test]
    fn everybody_may_write_to_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("notify")).unwrap();
        for _ in 0..2 {
            let path = folder.path().join("notify/socket");
            let proxy = Proxy::listen_at(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o666);
            send(path.as_os_str().as_bytes(), "STATUS=x").unwrap();
            let mut buffer = [0; 64];
            assert_eq!(proxy.socket().recv(&mut buffer).unwrap(), 8);
        }
    }
}
