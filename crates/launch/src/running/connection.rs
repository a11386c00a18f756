//! A connection to a container's monitor.
//!
//! It waits for each answer; what goes both ways at once is in `session`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail};
use container_model::name::Name;
use monitor_protocol::message::{Failure, FromMonitor};
use monitor_protocol::{Answer, CONTROL, Decoder, FOLDER, Request, Status};
use rustix::fs::OFlags;

/// Bytes that are read at once.
pub(crate) const BUFFER: usize = 16 * 1024;

/// Connected.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    decoder: Decoder,
    /// What came before an answer.
    early: VecDeque<FromMonitor>,
}

impl Connection {
    /// To the container's monitor. That there is none is said in words for the user.
    pub(crate) fn open(name: &Name) -> anyhow::Result<Self> {
        let folder = Path::new(FOLDER).join(name.as_str());
        let flags = (OFlags::PATH | OFlags::DIRECTORY).bits();
        let opened = File::options()
            .read(true)
            .custom_flags(i32::try_from(flags)?)
            .open(&folder);
        let opened = match opened {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("no container named {name} is running: see `launch ps --all`")
            }
            other => other.with_context(|| folder.display().to_string())?,
        };
        // The path itself may be too long for an address.
        let path = format!("/proc/self/fd/{}/{CONTROL}", opened.as_raw_fd());
        let stream = UnixStream::connect(path)
            .with_context(|| format!("the monitor of the container {name} does not answer"))?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            early: VecDeque::new(),
        })
    }

    /// Asks, and waits for the answer; a failure is an error of the type [`Failure`].
    pub(crate) fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        self.stream.write_all(&request.encode())?;
        loop {
            match self.receive()? {
                Some(FromMonitor::Answer(Answer::Failed(failure))) => {
                    return Err(anyhow::Error::new::<Failure>(failure));
                }
                Some(FromMonitor::Answer(answer)) => return Ok(answer),
                Some(other) => self.early.push_back(other),
                None => bail!("the container's monitor closed the connection"),
            }
        }
    }

    /// The next of what came, waited for if need be; none if the monitor closed.
    pub(crate) fn receive(&mut self) -> anyhow::Result<Option<FromMonitor>> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame.try_into()?));
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// What came already.
    pub(crate) fn received(&mut self) -> anyhow::Result<Option<FromMonitor>> {
        if let Some(early) = self.early.pop_front() {
            return Ok(Some(early));
        }
        let frame = self.decoder.next_frame()?;
        Ok(frame.map(TryInto::try_into).transpose()?)
    }

    /// Reads once. Gives back whether the monitor is still there.
    pub(crate) fn read(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; BUFFER];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.decoder.push(&buffer[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How the container is.
    pub(crate) fn status(&mut self) -> anyhow::Result<Status> {
        match self.ask(&Request::Status)? {
            Answer::Status(status) => Ok(*status),
            other => bail!("the container's monitor answered {other:?}"),
        }
    }
}
