//! A web server on the loopback that answers as a test says: rightly, wrongly, slowly, without end.
//!
//! For tests alone. One thread a connection; all end with the test's process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What was asked.
#[derive(Debug)]
pub(crate) struct Request {
    /// How many came before.
    pub(crate) number: usize,
    /// Method and path.
    pub(crate) line: String,
    /// What came with it.
    pub(crate) body: String,
    headers: Vec<(String, String)>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Status line, other headers, body.
    Whole(String, Vec<(String, String)>, Vec<u8>),
    /// Nothing at all.
    Silence,
    /// A head, and then a byte now and then.
    Trickle,
    /// A head, and then bytes without end.
    Flood,
}

/// The server.
pub(crate) struct MockServer {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Request {
    /// By its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Answer {
    pub(crate) fn text(body: impl AsRef<[u8]>) -> Self {
        Self::Whole("200 OK".to_owned(), Vec::new(), body.as_ref().to_vec())
    }

    pub(crate) fn status(status: &str) -> Self {
        Self::Whole(status.to_owned(), Vec::new(), Vec::new())
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Whole(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

impl MockServer {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a port");
        let address = listener.local_addr().expect("it has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &noted, &*answer));
            }
        });
        Self {
            url: format!("http://{address}"),
            requests,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// First lines of all that was asked.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: TcpStream, noted: &Mutex<Vec<String>>, answer: &dyn Fn(&Request) -> Answer) {
    let Some(mut request) = read(&stream) else {
        return;
    };
    {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        request.number = noted.len();
        noted.push(request.line.clone());
    }
    // The client may be gone: that is the client's test.
    let _ = write(&mut stream, &answer(&request));
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let (line, _) = first.rsplit_once(' ')?;
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        number: 0,
        line: line.to_owned(),
        body: String::new(),
        headers,
    };
    let length = request.header("content-length").unwrap_or("0");
    let mut part = reader.take(length.parse().ok()?);
    part.read_to_string(&mut request.body).ok()?;
    Some(request)
}

fn write(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    const OPEN: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    match answer {
        Answer::Whole(status, headers, body) => {
            let length = body.len();
            let mut head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n");
            for (name, value) in headers {
                head.extend([name, ": ", value, "\r\n"]);
            }
            head.push_str("\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)
        }
        Answer::Silence => {
            std::thread::sleep(Duration::from_mins(1));
            Ok(())
        }
        Answer::Trickle => {
            stream.write_all(OPEN)?;
            loop {
                stream.write_all(b"x")?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Answer::Flood => {
            stream.write_all(OPEN)?;
            loop {
                stream.write_all(&[b'x'; 1 << 13])?;
            }
        }
    }
}
