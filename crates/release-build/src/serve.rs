//! A web server for a release directory, for trying it out: GET and HEAD, one range, no TLS.
//!
//! What is public belongs behind a real one.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use update_model::manifest::is_safe_path;

/// Longest head of a request.
const HEAD_LENGTH_MAX: u64 = 16 << 10;
/// A client that sends nothing for so long is let go.
const IDLE: Duration = Duration::from_mins(1);

/// Called after each request with its path, status and the bytes sent.
pub type Log = Arc<dyn Fn(&str, u16, u64) + Send + Sync>;

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    folder: PathBuf,
}

impl Server {
    /// Binds; port 0 takes a free one.
    pub fn bind(folder: &Path, address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address)?,
            folder: folder.to_owned(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever, a thread a connection.
    pub fn run(self, log: &Log) -> io::Result<()> {
        for stream in self.listener.incoming() {
            let (folder, log) = (self.folder.clone(), Arc::clone(log));
            let stream = stream?;
            // A client that goes away in the middle is none of the server's business.
            std::thread::spawn(move || connection(&folder, stream, &log));
        }
        Ok(())
    }
}

/// A request's line and what matters of its head.
struct Request {
    is_head: bool,
    path: String,
    range: Option<String>,
}

fn connection(folder: &Path, stream: TcpStream, log: &Log) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader)? {
        let (status, sent) = answer(folder, &request, &mut writer)?;
        log(&request.path, status, sent);
    }
    Ok(())
}

/// `None` at the end of the connection, or of what this server understands.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    let mut limited = reader.take(HEAD_LENGTH_MAX);
    while !head.ends_with(b"\r\n\r\n") {
        if limited.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    if method != "GET" && method != "HEAD" {
        return Ok(None);
    }
    let range = lines.filter_map(|line| line.split_once(':'));
    let mut range = range.filter(|(name, _)| name.eq_ignore_ascii_case("range"));
    Ok(Some(Request {
        is_head: method == "HEAD",
        path: path.trim_start_matches('/').replace("%5E", "^"),
        range: range.next().map(|(_, value)| value.trim().to_owned()),
    }))
}

fn answer(folder: &Path, request: &Request, writer: &mut TcpStream) -> io::Result<(u16, u64)> {
    let opened = is_safe_path(&request.path)
        .then(|| File::open(folder.join(&request.path)).ok())
        .flatten()
        .and_then(|file| {
            Some((
                file.metadata()
                    .ok()
                    .filter(std::fs::Metadata::is_file)?
                    .len(),
                file,
            ))
        });
    let Some((length, mut file)) = opened else {
        return head(writer, 404, "Not Found", 0, "");
    };
    let wanted = request
        .range
        .as_ref()
        .map(|value| parse_range(value, length));
    let (status, text, range) = match wanted {
        None => (200, "OK", 0..length),
        Some(Some(range)) => (206, "Partial Content", range),
        Some(None) => {
            let extra = format!("Content-Range: bytes */{length}\r\n");
            return head(writer, 416, "Range Not Satisfiable", 0, &extra);
        }
    };
    let sent = range.end - range.start;
    let extra = match status {
        206 => format!(
            "Content-Range: bytes {}-{}/{length}\r\n",
            range.start,
            range.end - 1
        ),
        _ => String::new(),
    };
    head(writer, status, text, sent, &extra)?;
    if request.is_head {
        return Ok((status, 0));
    }
    file.seek(SeekFrom::Start(range.start))?;
    io::copy(&mut file.take(sent), writer)?;
    Ok((status, sent))
}

fn head(
    writer: &mut TcpStream,
    status: u16,
    text: &str,
    length: u64,
    extra: &str,
) -> io::Result<(u16, u64)> {
    let head = format!(
        "HTTP/1.1 {status} {text}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n\
         Content-Type: application/octet-stream\r\n{extra}\r\n"
    );
    writer.write_all(head.as_bytes())?;
    Ok((status, 0))
}

/// One range of bytes, of a file that has so many.
fn parse_range(value: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let range = if first.is_empty() {
        length.saturating_sub(last.parse().ok()?)..length
    } else {
        let last: u64 = if last.is_empty() {
            u64::MAX
        } else {
            last.parse().ok()?
        };
        first.parse().ok()?..last.saturating_add(1).min(length)
    };
    (range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("bytes=0-9", 100), Some(0..10));
        assert_eq!(parse_range("bytes=90-200", 100), Some(90..100));
        assert_eq!(parse_range("bytes=90-", 100), Some(90..100));
        assert_eq!(parse_range("bytes=-5", 100), Some(95..100));
        for bad in [
            "bytes=100-",
            "bytes=9-8",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=-0",
            "bytes=a-b",
        ] {
            assert_eq!(parse_range(bad, 100), None, "{bad}");
        }
    }
}
