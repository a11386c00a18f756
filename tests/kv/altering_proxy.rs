//! Stands between a client and a server and changes one answer, to prove that a comparison sees it.
//!
//! It knows no HTTP: it replaces the first bytes that match by others of the same length.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct AlteringProxy {
    /// Where it takes connections.
    pub(crate) address: SocketAddr,
    alteration: Arc<Alteration>,
}

#[derive(Debug)]
struct Alteration {
    from: &'static str,
    to: &'static str,
    is_done: AtomicBool,
    has_ended: AtomicBool,
}

impl AlteringProxy {
    /// Starts a proxy of `server` that once sends `to` where the server sent `from`.
    pub(crate) fn start(server: SocketAddr, from: &'static str, to: &'static str) -> Result<Self> {
        ensure!(from.len() == to.len(), "answers keep their length");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let alteration = Arc::new(Alteration {
            from,
            to,
            is_done: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&alteration);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                // A client whose connection fails notices it by itself.
                drop(connect(client, server, &shared));
            }
        });
        Ok(Self {
            address,
            alteration,
        })
    }

    /// Whether the answer has been changed.
    pub(crate) fn has_altered(&self) -> bool {
        self.alteration.is_done.load(Ordering::SeqCst)
    }
}

impl Drop for AlteringProxy {
    fn drop(&mut self) {
        self.alteration.has_ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for clients.
        drop(TcpStream::connect(self.address));
    }
}

fn connect(client: TcpStream, server: SocketAddr, alteration: &Arc<Alteration>) -> Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let alteration = Arc::clone(alteration);
    std::thread::spawn(move || copy(from_client, to_server, |_| {}));
    std::thread::spawn(move || copy(server, client, |bytes| alteration.apply(bytes)));
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, alter: impl Fn(&mut [u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        alter(&mut buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction may have ended before.
    to.shutdown(Shutdown::Both).unwrap_or_default();
}

impl Alteration {
    fn apply(&self, bytes: &mut [u8]) {
        let found = bytes
            .windows(self.from.len())
            .position(|window| window == self.from.as_bytes());
        if let Some(at) = found
            && !self.is_done.swap(true, Ordering::SeqCst)
        {
            bytes[at..at + self.to.len()].copy_from_slice(self.to.as_bytes());
        }
    }
}
