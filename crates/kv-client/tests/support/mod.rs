//! A real etcd for tests, and a proxy before it that cuts connections.
//!
//! It needs Debian's `etcd`; its absence fails the tests that ask for it.
#![allow(dead_code)] // each test target uses a part of it
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A single etcd with its v2 API. It ends with this value.
pub(crate) struct Etcd {
    child: Child,
    pub(crate) url: String,
    pub(crate) port: u16,
    _folder: TempDir,
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("its address").port()
}

impl Etcd {
    /// Starts one and waits until it serves.
    pub(crate) fn start() -> Self {
        let (client, peer) = (free_port(), free_port());
        Self::start_with(client, peer, &format!("http://127.0.0.1:{client}"), &[])
    }

    /// Starts one with TLS, and more flags for it. It is not waited for.
    pub(crate) fn start_secure(flags: &[&OsStr]) -> Self {
        let client = free_port();
        Self::start_with(
            client,
            free_port(),
            &format!("https://127.0.0.1:{client}"),
            flags,
        )
    }

    fn start_with(client: u16, peer: u16, url: &str, flags: &[&OsStr]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let child = Command::new("etcd")
            .args(["--enable-v2=true", "--name", "one", "--log-level", "error"])
            .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--listen-client-urls", url, "--advertise-client-urls", url])
            .args(["--listen-peer-urls", &peer_url])
            .args(["--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("one={peer_url}")])
            .args(flags)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd can be run (Debian's etcd-server)");
        let etcd = Self {
            child,
            url: url.to_owned(),
            port: client,
            _folder: folder,
        };
        if url.starts_with("http:") {
            etcd.wait_until_it_serves();
        }
        etcd
    }

    fn wait_until_it_serves(&self) {
        let end = Instant::now() + Duration::from_mins(2);
        while !matches!(self.health(), Ok(text) if text.contains("\"true\"")) {
            assert!(Instant::now() < end, "etcd does not serve");
            thread::sleep(Duration::from_millis(30));
        }
    }

    fn health(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may be gone already; nothing else could be done either.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Passes connections on, and cuts all of them when told to.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Listens before a server that may not be there yet.
    pub(crate) fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("its address").port();
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let shared = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let mut open = shared.lock().expect("nobody panicked");
                for stream in [&client, &server] {
                    open.push(stream.try_clone().expect("a second handle"));
                }
                pump(&client, &server);
                pump(&server, &client);
            }
        });
        Self { port, open }
    }

    /// Cuts every connection there is; new ones are let through. Says how many there were.
    pub(crate) fn cut(&self) -> usize {
        let mut open = self.open.lock().expect("nobody panicked");
        open.drain(..)
            .filter(|stream| stream.shutdown(Shutdown::Both).is_ok())
            .count()
    }
}

fn pump(from: &TcpStream, to: &TcpStream) {
    let mut from = from.try_clone().expect("a second handle");
    let mut to = to.try_clone().expect("a second handle");
    thread::spawn(move || {
        let _copied = io::copy(&mut from, &mut to);
        let _closed = to.shutdown(Shutdown::Both);
    });
}

/// A port on which nobody listens, as far as one can know.
pub(crate) fn dead_port() -> u16 {
    free_port()
}
