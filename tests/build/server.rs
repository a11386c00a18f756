//! An HTTP server on the loopback interface that answers each path as a test wants. No test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Answer to a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A whole body.
    Body(Vec<u8>),
    /// A status without a body.
    Status(u16),
    /// A body cut off: the header promises `promised` bytes, then the connection ends.
    Cut { body: Vec<u8>, promised: usize },
    /// A body that begins and never goes on, until the client gives up.
    Stalled { body: Vec<u8>, promised: usize },
}

type Answers = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// Serves until it is dropped.
pub(crate) struct Server {
    address: std::net::SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn new(answers: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stopping, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stop, log, answers): (_, Arc<Mutex<Vec<String>>>, Answers) =
            (Arc::clone(&stopping), Arc::clone(&asked), Arc::new(answers));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
                let stream = stream.expect("a connection");
                std::thread::spawn(move || serve(&stream, &log, &answers));
            }
        });
        Self {
            address,
            stopping,
            thread: Some(thread),
            asked,
        }
    }

    /// To be given as `--mirror`.
    pub(crate) fn mirror(&self) -> String {
        format!("http://{}/debian", self.address)
    }

    /// The paths asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // One more connection wakes the listener up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request a connection. A client that goes away in the middle is none of the server's business.
fn serve(mut stream: &TcpStream, log: &Mutex<Vec<String>>, answers: &Answers) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = answers(&path);
    log.lock().expect("unpoisoned").push(path);
    let (status, body, promised) = match &answer {
        Answer::Body(body) => (200, &body[..], body.len()),
        Answer::Status(status) => (*status, &[][..], 0),
        Answer::Cut { body, promised } | Answer::Stalled { body, promised } => {
            (200, &body[..], *promised)
        }
    };
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {promised}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
    if let Answer::Stalled { .. } = answer {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(90)));
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    }
}
