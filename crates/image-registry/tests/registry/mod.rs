//! A registry on the loopback interface that does what a test wants, also what a registry should not do.
//! No test; the tests of containers have it, too.
//!
//! It speaks HTTP/1.1, one request a connection, and counts what it was asked and the bytes that it served.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// What a registry does about one request, if not what it should do.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// An answer without what was asked for.
    Status {
        code: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// The right head, and the connection ends after so many bytes of the body.
    Cut(usize),
    /// The right head, so many bytes of the body, and then nothing for so long.
    Stall(usize, Duration),
    /// Each 64 kB take so long.
    Slow(Duration),
    /// Other bytes of the same length.
    Lie,
    /// As if `Range` had not been in the request.
    NoRange,
}

impl Fault {
    /// A status alone.
    pub(crate) fn status(code: u16) -> Self {
        Self::Status {
            code,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// With a header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
}

/// What it has, by path.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

/// Says what is wrong with a request; nothing is, with none.
pub(crate) type Faults = Box<dyn Fn(&Asked) -> Option<Fault> + Send + Sync>;

struct Shared {
    contents: Mutex<HashMap<String, Content>>,
    faults: Mutex<Faults>,
    asked: Mutex<Vec<Asked>>,
    served: AtomicU64,
    stopping: AtomicBool,
}

/// What a TLS connection begins with.
const TLS: u8 = 0x16;

/// Serves until it is dropped.
pub(crate) struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// `sha256:…`
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

impl Registry {
    /// On a free port.
    pub(crate) fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    /// On a socket that somebody made, in whatever network.
    pub(crate) fn serve(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            contents: Mutex::default(),
            faults: Mutex::new(Box::new(|_| None)),
            asked: Mutex::default(),
            served: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.stopping.load(Ordering::Relaxed) {
                    return;
                }
                let (stream, own) = (stream.expect("a connection"), Arc::clone(&own));
                // A client that goes away in the middle is none of the registry's business.
                std::thread::spawn(move || answer(&stream, &own));
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Its name in images: `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Has it hold a blob.
    pub(crate) fn blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.put(path, "application/octet-stream", bytes);
        digest
    }

    /// Has it hold a manifest, by digest and tag.
    pub(crate) fn manifest(&self, repository: &str, tag: &str, kind: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        for name in [tag, &digest] {
            self.put(format!("/v2/{repository}/manifests/{name}"), kind, bytes);
        }
        digest
    }

    /// Has it hold anything.
    pub(crate) fn put(&self, path: String, kind: &str, bytes: &[u8]) {
        let content = Content {
            kind: kind.to_owned(),
            bytes: bytes.to_vec(),
        };
        self.shared
            .contents
            .lock()
            .expect("unpoisoned")
            .insert(path, content);
    }

    /// From now on, this is wrong with it.
    pub(crate) fn faults(&self, faults: impl Fn(&Asked) -> Option<Fault> + Send + Sync + 'static) {
        *self.shared.faults.lock().expect("unpoisoned") = Box::new(faults);
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("unpoisoned").clone()
    }

    /// How often it was asked for paths with something in them.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.asked()
            .iter()
            .filter(|asked| asked.path.contains(part))
            .count()
    }

    /// Bytes of blobs that it sent so far.
    pub(crate) fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // One more connection wakes the listener up. It may be in another network, and is left alone then.
        if TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ended = thread.join();
        }
    }
}

fn answer(mut stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut first = [0];
    if stream.peek(&mut first).ok()? > 0 && first[0] == TLS {
        return stream.write_all(b"HTTP/1.1 400 X\r\n\r\n").ok();
    }
    let asked = read(stream)?;
    let fault = (shared.faults.lock().expect("unpoisoned"))(&asked);
    shared.asked.lock().expect("unpoisoned").push(asked.clone());
    if let Some(Fault::Status {
        code,
        headers,
        body,
    }) = &fault
    {
        let mut head = format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            let _infallible = write!(head, "{name}: {value}\r\n");
        }
        let text = format!("{head}Connection: close\r\n\r\n{body}");
        return stream.write_all(text.as_bytes()).ok();
    }
    let path = asked.path.split('?').next().unwrap_or_default();
    let content = shared
        .contents
        .lock()
        .expect("unpoisoned")
        .get(path)
        .cloned();
    let Some(mut content) = content else {
        let text = "HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(text.as_bytes()).ok();
    };
    if matches!(fault, Some(Fault::Lie)) {
        for byte in &mut content.bytes {
            *byte ^= 1;
        }
    }
    send(stream, shared, &asked, &content, fault.as_ref())
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next()?.ok()?;
    let mut asked = Asked {
        path: request.split(' ').nth(1)?.to_owned(),
        authorization: None,
        range: None,
    };
    loop {
        let line = lines.next()?.ok()?;
        if line.is_empty() {
            return Some(asked);
        }
        let (name, value) = line.split_once(':')?;
        let value = Some(value.trim().to_owned());
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.authorization = value,
            "range" => asked.range = value,
            _ => {}
        }
    }
}

fn send(
    mut stream: &TcpStream,
    shared: &Shared,
    asked: &Asked,
    content: &Content,
    fault: Option<&Fault>,
) -> Option<()> {
    let total = content.bytes.len();
    let begin = asked
        .range
        .as_ref()
        .filter(|_| !matches!(fault, Some(Fault::NoRange)));
    let begin = begin.and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    let body = &content.bytes[begin.unwrap_or(0).min(total)..];
    let mut head = match begin {
        Some(begin) => format!(
            "HTTP/1.1 206 X\r\nContent-Range: bytes {begin}-{}/{total}\r\n",
            total - 1
        ),
        None => "HTTP/1.1 200 X\r\n".to_owned(),
    };
    let _infallible = write!(
        head,
        "Content-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.kind,
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let length = match fault {
        Some(Fault::Cut(length) | Fault::Stall(length, _)) => (*length).min(body.len()),
        _ => body.len(),
    };
    for piece in body[..length].chunks(64 * 1024) {
        stream.write_all(piece).ok()?;
        if asked.path.contains("/blobs/") {
            shared
                .served
                .fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        if let Some(Fault::Slow(pause)) = fault {
            std::thread::sleep(*pause);
        }
    }
    if let Some(Fault::Stall(_, pause)) = fault {
        std::thread::sleep(*pause);
    }
    Some(())
}
