//! A line to a web server that breaks: each connection ends after so many bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes passed on at once.
const CHUNK_BYTES: usize = 16 << 10;

/// The line, until the test's process ends.
pub(crate) struct BrokenLine {
    pub(crate) address: SocketAddr,
    breaks: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl BrokenLine {
    /// A line to this server that breaks after so many bytes.
    pub(crate) fn to(server: SocketAddr, bytes_each: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let line = Self {
            address: listener.local_addr().expect("an address"),
            breaks: Arc::default(),
            bytes: Arc::default(),
        };
        let (breaks, bytes) = (Arc::clone(&line.breaks), Arc::clone(&line.bytes));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (breaks, bytes) = (Arc::clone(&breaks), Arc::clone(&bytes));
                // Whoever goes away ends the connection.
                std::thread::spawn(move || pass_on(client, server, bytes_each, &breaks, &bytes));
            }
        });
        line
    }

    /// How often it broke.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::Relaxed)
    }

    /// Bytes that came through.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn pass_on(
    mut client: TcpStream,
    server: SocketAddr,
    bytes_each: u64,
    breaks: &AtomicU64,
    bytes: &AtomicU64,
) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    let mut left = bytes_each;
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        let wanted = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES));
        let count = server.read(&mut chunk[..wanted])?;
        if count == 0 {
            return client.shutdown(Shutdown::Both);
        }
        client.write_all(&chunk[..count])?;
        left -= count as u64;
        bytes.fetch_add(count as u64, Ordering::Relaxed);
    }
    breaks.fetch_add(1, Ordering::Relaxed);
    server.shutdown(Shutdown::Both)?;
    client.shutdown(Shutdown::Both)
}
