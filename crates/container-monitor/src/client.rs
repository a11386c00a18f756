//! Clients: who is connected to the control socket, what they are connected for, and what waits for them.
//!
//! What requests do is decided in `requests`.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use monitor_protocol::message::FromClient;
use monitor_protocol::{Answer, CONTROL, Decoder, Event, Kind, Malformed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::outgoing::Outgoing;
use crate::reading::BUFFER;

/// More at once are refused: each costs memory, and descriptors are few.
const CLIENTS_MAX: usize = 64;

/// What a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Requests and answers.
    Plain,
    /// The container's status.
    Watching,
    /// The payload's streams.
    Attached(monitor_protocol::Attach),
    /// The process that it had executed, by number.
    Executing(u64),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) role: Role,
    pub(crate) outgoing: Outgoing,
    /// Whether it is to be told the status as soon as it has taken what is before.
    pub(crate) is_status_due: bool,
    stream: UnixStream,
    decoder: Decoder,
    presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    /// It gets what is there for it, and is heard no more.
    Dismissed,
    Gone,
}

impl Client {
    fn new(id: u64, stream: UnixStream) -> Self {
        Self {
            id,
            role: Role::Plain,
            outgoing: Outgoing::default(),
            is_status_due: false,
            stream,
            decoder: Decoder::default(),
            presence: Presence::Here,
        }
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether it may ask for something now: not if it does not take the answers.
    pub(crate) fn is_heard(&self) -> bool {
        self.presence == Presence::Here && !self.outgoing.is_full()
    }

    pub(crate) fn is_over(&self) -> bool {
        match self.presence {
            Presence::Here => false,
            Presence::Dismissed => self.outgoing.is_empty(),
            Presence::Gone => true,
        }
    }

    /// Nothing more is heard of it or sent to it, after what waits.
    pub(crate) fn dismiss(&mut self) {
        if self.presence == Presence::Here {
            self.presence = Presence::Dismissed;
        }
    }

    /// The next message that is whole, read if need be.
    pub(crate) fn next(&mut self) -> Result<Option<FromClient>, Malformed> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return FromClient::try_from(frame).map(Some);
            }
            let mut buffer = [0; BUFFER];
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(_) => break,
            }
        }
        self.presence = Presence::Gone;
        Ok(None)
    }

    pub(crate) fn answer(&mut self, answer: &Answer) {
        self.outgoing.push(&answer.encode());
    }

    pub(crate) fn flush(&mut self) {
        if self.outgoing.flush(&self.stream).is_err() {
            self.presence = Presence::Gone;
        }
    }
}

/// All of them, and where new ones come in.
#[derive(Debug)]
pub(crate) struct Clients {
    listener: UnixListener,
    pub(crate) all: Vec<Client>,
    next_id: u64,
}

impl Clients {
    /// Listens in the current folder, which root alone may enter.
    pub(crate) fn listen() -> io::Result<Self> {
        // The path from the root may be too long for an address.
        let listener = UnixListener::bind(CONTROL)?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(CONTROL, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            all: Vec::new(),
            next_id: 0,
        })
    }

    /// What is waited on, while there is room.
    pub(crate) fn listener(&self) -> Option<&UnixListener> {
        Some(&self.listener).filter(|_| self.all.len() < CLIENTS_MAX)
    }

    /// Lets in who waits.
    pub(crate) fn accept(&mut self) {
        while self.all.len() < CLIENTS_MAX {
            let Ok((stream, _)) = self.listener.accept() else {
                return;
            };
            if stream.set_nonblocking(true).is_ok() {
                self.next_id += 1;
                self.all.push(Client::new(self.next_id, stream));
            }
        }
    }

    pub(crate) fn by_id(&mut self, id: u64) -> Option<&mut Client> {
        self.all.iter_mut().find(|client| client.id == id)
    }

    /// What the payload wrote, to all who are attached.
    pub(crate) fn output(&mut self, kind: Kind, bytes: &[u8]) {
        for client in &mut self.all {
            let is_wanted = match client.role {
                Role::Attached(attach) if kind == Kind::Output => attach.output,
                Role::Attached(attach) => attach.error,
                _ => false,
            };
            match client.role {
                _ if !is_wanted => {}
                // The payload waits, so this is bounded too.
                Role::Attached(attach) if attach.wait => {
                    client
                        .outgoing
                        .push(&monitor_protocol::frame::encode(kind, bytes));
                }
                _ => client.outgoing.push_stream(kind, bytes),
            }
        }
    }

    /// Whether the payload is to wait for one of them.
    pub(crate) fn is_waited_for(&self) -> bool {
        let is_slow = |client: &Client| {
            matches!(client.role, Role::Attached(attach) if attach.wait)
                && client.outgoing.is_full()
        };
        self.all.iter().any(is_slow)
    }

    /// The payload's end, to all whom it concerns.
    pub(crate) fn exited(&mut self, event: &Event) {
        for client in &mut self.all {
            if matches!(client.role, Role::Attached(_) | Role::Watching) {
                client.outgoing.push(&event.encode());
            }
            client.dismiss();
        }
    }

    /// Waits until everything was taken, or nobody takes anything for so long.
    pub(crate) fn say_farewell(&mut self, patience: Duration) {
        let mut deadline = Instant::now() + patience;
        loop {
            for client in &mut self.all {
                client.flush();
            }
            self.all.retain(|client| !client.is_over());
            let left: usize = self.all.iter().map(|client| client.outgoing.len()).sum();
            let time = deadline.saturating_duration_since(Instant::now());
            if left == 0 || time.is_zero() {
                return;
            }
            let slow = self.all.iter().filter(|client| !client.outgoing.is_empty());
            let mut waited: Vec<PollFd<'_>> = slow
                .map(|client| PollFd::new(&client.stream, PollFlags::OUT))
                .collect();
            let timeout = Timespec::try_from(time).ok();
            if matches!(poll(&mut waited, timeout.as_ref()), Ok(count) if count > 0) {
                deadline = Instant::now() + patience;
            }
        }
    }

    pub(crate) fn status_changed(&mut self) {
        for client in &mut self.all {
            client.is_status_due = client.role == Role::Watching;
        }
    }
}
