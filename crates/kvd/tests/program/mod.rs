//! Starting the program and talking to it; no test.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// In a folder of its own, without settings of the machine that runs the test.
pub(crate) fn kvd(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD_") {
            command.env_remove(name);
        }
    }
    command.args(words).current_dir(folder);
    command
        .env_remove("STATE_DIRECTORY")
        .env_remove("NOTIFY_SOCKET");
    command.stdin(Stdio::null());
    command
}

/// A port that nobody listens on. It is none of those that connections are given, or one of another
/// test could take it before the program does; processes begin to look at different places.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(61);
    loop {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_240 + u16::try_from(place % 22_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A process with a place for its messages to systemd.
pub(crate) struct Running {
    child: Child,
    messages: UnixDatagram,
}

impl Running {
    pub(crate) fn start(command: &mut Command, folder: &Path) -> Self {
        let path = folder.join("notify");
        // One that ran here before leaves its socket.
        let _ = std::fs::remove_file(&path);
        let messages = UnixDatagram::bind(&path).unwrap();
        let limit = Some(Duration::from_secs(30));
        messages.set_read_timeout(limit).unwrap();
        command.env("NOTIFY_SOCKET", &path);
        command.stderr(std::fs::File::create(folder.join("log")).unwrap());
        let child = command.spawn().expect("it starts");
        Self { child, messages }
    }

    /// Reads messages until one has this line.
    pub(crate) fn wait_for(&self, line: &str) {
        let mut buffer = [0; 4096];
        loop {
            let count = self.messages.recv(&mut buffer).expect("a message comes");
            let message = String::from_utf8_lossy(&buffer[..count]);
            if message.lines().any(|one| one == line) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn end(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait_for("STOPPING=1");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
