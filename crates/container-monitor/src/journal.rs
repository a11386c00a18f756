//! The journal's native protocol: a datagram an entry, with fields.
//!
//! It sends, and reads nothing back. Entries that the journal does not take in time are lost, as those of
//! any service are: a payload does not wait for ever because somebody's disk is full.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use monitor_protocol::Kind;

const SOCKET: &str = "/run/systemd/journal/socket";
const PATIENCE: Duration = Duration::from_secs(5);

/// Which of the two streams; a terminal is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    /// What clients get it as.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Output => Kind::Output,
            Self::Error => Kind::Error,
        }
    }
}

/// A connection to the journal, with the fields of all entries.
#[derive(Debug)]
pub(crate) struct Journal {
    socket: UnixDatagram,
    fields: Vec<u8>,
}

impl Journal {
    /// For entries about a container.
    pub(crate) fn connect(name: &str, image: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(SOCKET)?;
        Ok(Self {
            socket,
            fields: fields(name, image),
        })
    }

    /// One line.
    pub(crate) fn write(&self, stream: Stream, line: &[u8]) {
        let entry = entry(&self.fields, stream, line);
        if self.socket.send(&entry).is_err() {
            // journald was restarted without keeping its socket: it is there under the same name.
            let _again = self
                .socket
                .connect(SOCKET)
                .and_then(|()| self.socket.send(&entry));
        }
    }
}

fn fields(name: &str, image: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (key, value) in [
        ("SYSLOG_IDENTIFIER", name),
        ("CONTAINER_NAME", name),
        ("IMAGE_NAME", image),
    ] {
        push(&mut fields, key, value.as_bytes());
    }
    fields
}

/// As Docker's driver has it: output is information, errors are errors.
fn entry(fields: &[u8], stream: Stream, line: &[u8]) -> Vec<u8> {
    let priority = match stream {
        Stream::Output => "6",
        Stream::Error => "3",
    };
    let mut entry = fields.to_vec();
    push(&mut entry, "PRIORITY", priority.as_bytes());
    push(&mut entry, "MESSAGE", line);
    entry
}

/// A value with a line feed needs its length before it.
fn push(entry: &mut Vec<u8>, key: &str, value: &[u8]) {
    entry.extend_from_slice(key.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_containers_fields() {
        let entry = entry(&fields("web", "docker.io/a:b"), Stream::Error, b"hello");
        let expected = "SYSLOG_IDENTIFIER=web\nCONTAINER_NAME=web\nIMAGE_NAME=docker.io/a:b\nPRIORITY=3\nMESSAGE=hello\n";
        assert_eq!(String::from_utf8(entry).unwrap(), expected);
    }

    #[test]
    fn line_feeds_do_not_make_fields() {
        let mut entry = Vec::new();
        push(&mut entry, "MESSAGE", b"a\nFAKE=1");
        assert_eq!(entry, b"MESSAGE\n\x08\0\0\0\0\0\0\0a\nFAKE=1\n");
    }
}
