//! How a client talks with the monitor of a container, and what the monitor leaves behind.
//!
//! A container's monitor listens on a Unix socket of type stream, `control`, in the container's folder
//! `/run/keelson/launch/NAME`, which root alone may enter. What goes over it is a sequence of [`Frame`]s with the eight bytes
//! of header that Docker's attached streams have, so that frames of output go to a Docker client as they are.
//!
//! # A conversation
//!
//! The client sends [`Request`]s. Each is answered by exactly one [`Answer`], in order. [`Request::Attach`],
//! [`Request::Exec`] and [`Request::Watch`] make the connection one about that:
//!
//! - **Attached**, the client gets frames of output from then on ([`Kind::Output`], and [`Kind::Error`] unless
//!   there is a terminal), in the end [`Event::Exited`], and the monitor closes. It may send frames of
//!   [`Kind::Input`]; an empty one closes the payload's standard input. Many clients may be attached. One that does
//!   not read loses output instead of stopping the payload, and gets [`Event::Lost`] where it is missing, unless it
//!   asked the payload to wait for it. A client that goes away changes nothing for the payload.
//! - **Executing**, the same holds for the new process, which has one client: if that does not read, the process waits.
//!   When the client goes away its input ends and its terminal hangs up, unless it said [`Request::Detach`] before.
//! - **Watching**, the client gets an [`Event::Status`] whenever anything in it changes, and [`Event::Exited`].
//!
//! [`Request::Resize`] and [`Request::Kill`] are about the new process on a connection that executes, and about the
//! payload on others.
//!
//! # Attached before it starts
//!
//! With `launch run --hold=FILE` the monitor stops after the runtime created the payload, if that file exists, and goes
//! on at [`Request::Start`]. So nothing is lost of what is written first: whoever wants to attach makes the file,
//! starts the unit without waiting, attaches once `control` answers, removes the file, and says start. The unit is
//! `activating` until then; after a restart by systemd the file is not there, and nothing is held.
//!
//! # What is left
//!
//! An [`ExitRecord`] per name, on disk: written when the payload starts and again when it ended.
//!
//! Nothing here reads, writes or waits: bytes are passed in and out.

pub mod detach_keys;
pub mod exit;
pub mod frame;
pub mod health;
pub mod message;
pub mod status;

pub use detach_keys::DetachKeys;
pub use exit::{Exit, ExitRecord};
pub use frame::{Decoder, Frame, Kind};
pub use health::HealthCheck;
pub use message::{Answer, Attach, Event, Exec, Failure, FailureKind, Request};
pub use status::Status;

use serde::{Deserialize, Serialize};

/// The version of requests; a monitor refuses others, and says so.
pub const VERSION: u32 = 1;
/// Where the folders of running containers are, each with the container's name.
pub const FOLDER: &str = "/run/keelson/launch";
/// Where the runtime keeps what it knows of containers, each in a folder with the container's name. It is one folder for
/// all of them, since the runtime keeps its compiled system call filters there, too.
pub const RUNTIME_STATE: &str = "/run/keelson/crun";
/// The socket in a container's folder. Its path may be longer than an address of a socket can be: open the folder
/// and use `/proc/self/fd/N/control`.
pub const CONTROL: &str = "control";
/// Where exit records are, each as `NAME.json`.
pub const RECORDS: &str = "/var/lib/keelson/container-exits";

/// Microseconds since 1970, as systemd and the journal count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// A terminal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Bytes that are no message of this protocol.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// A header whose first byte is none of ours.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// Nobody sends such a length.
    #[error("a frame of {0} bytes; {max} are allowed", max = frame::LENGTH_MAX)]
    Length(u32),
    /// Another version.
    #[error("the client speaks version {0} of the protocol and the monitor version {VERSION}")]
    Version(u32),
    /// What a frame contains.
    #[error("a message that cannot be read: {0}")]
    Message(#[from] serde_json::Error),
    /// A frame that this side does not get.
    #[error("a frame of the kind {0:?} where none belongs")]
    Direction(Kind),
}
