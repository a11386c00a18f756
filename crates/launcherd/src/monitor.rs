//! A conversation with a container's monitor (`monitor-protocol`), in two halves.
//!
//! What is asked, and what becomes of the answers, is the caller's.

use std::collections::VecDeque;

use anyhow::bail;
use monitor_protocol::frame::{self, Kind, STREAM_MAX};
use monitor_protocol::message::{Failure, FromMonitor};
use monitor_protocol::{Answer, CONTROL, Decoder, Event, FOLDER, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;

/// Both halves.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) receiving: Receiving,
    pub(crate) sending: Sending,
}

/// What the monitor says.
#[derive(Debug)]
pub(crate) struct Receiving {
    half: OwnedReadHalf,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// What came before an answer.
    early: VecDeque<FromMonitor>,
}

/// What the monitor hears.
#[derive(Debug)]
pub(crate) struct Sending(OwnedWriteHalf);

impl Connection {
    /// To the monitor of the container with this id, if it listens.
    pub(crate) async fn open(id: &str) -> std::io::Result<Self> {
        // An id is short enough for an address.
        let stream = UnixStream::connect(format!("{FOLDER}/{id}/{CONTROL}")).await?;
        let (reading, writing) = stream.into_split();
        Ok(Self {
            receiving: Receiving {
                half: reading,
                decoder: Decoder::default(),
                buffer: vec![0; BUFFER],
                early: VecDeque::new(),
            },
            sending: Sending(writing),
        })
    }

    /// Asks, and waits for the answer; a failure is an error of the type [`Failure`].
    pub(crate) async fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        self.sending.request(request).await?;
        loop {
            match self.receiving.read().await? {
                Some(FromMonitor::Answer(Answer::Failed(failure))) => {
                    return Err(anyhow::Error::new::<Failure>(failure));
                }
                Some(FromMonitor::Answer(answer)) => return Ok(answer),
                Some(other) => self.receiving.early.push_back(other),
                None => bail!("the container's monitor closed the connection"),
            }
        }
    }
}

impl Receiving {
    /// The next of what comes; none if the monitor closed. Nothing is lost if nobody waits for the end of this.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<FromMonitor>> {
        match self.early.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> anyhow::Result<Option<FromMonitor>> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame.try_into()?));
            }
            let count = self.half.read(&mut self.buffer).await?;
            if count == 0 {
                return Ok(None);
            }
            self.decoder.push(&self.buffer[..count]);
        }
    }

    /// Waits for the end of the payload, or of the monitor.
    pub(crate) async fn ended(&mut self) {
        while let Ok(Some(message)) = self.next().await {
            if matches!(message, FromMonitor::Event(Event::Exited(_))) {
                return;
            }
        }
    }
}

impl Sending {
    pub(crate) async fn request(&mut self, request: &Request) -> std::io::Result<()> {
        self.0.write_all(&request.encode()).await
    }

    /// For the standard input.
    pub(crate) async fn input(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        for piece in bytes.chunks(STREAM_MAX) {
            self.0.write_all(&frame::encode(Kind::Input, piece)).await?;
        }
        Ok(())
    }

    /// The standard input is over.
    pub(crate) async fn end_input(&mut self) -> std::io::Result<()> {
        self.0.write_all(&frame::encode(Kind::Input, b"")).await
    }
}
