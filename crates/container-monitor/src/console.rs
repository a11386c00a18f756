//! The socket over which the runtime hands over a terminal.
//!
//! It is in the current folder, by a name that is short enough for an address.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Where the runtime connects to.
#[derive(Debug)]
pub(crate) struct Console {
    listener: UnixListener,
    name: String,
}

impl Console {
    pub(crate) fn listen(name: String) -> io::Result<Self> {
        let listener = UnixListener::bind(&name)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, name })
    }

    /// The terminal's master, once the runtime is done.
    pub(crate) fn receive(&self) -> io::Result<File> {
        let (stream, _) = self.listener.accept()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0; 64];
        let flags = RecvFlags::CMSG_CLOEXEC;
        recvmsg(
            &stream,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            flags,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                let master = descriptors.map(File::from).next();
                return master.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
            }
        }
        Err(io::Error::other("the runtime sent no terminal"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It goes with the folder if not now.
        let _removed = std::fs::remove_file(&self.name);
    }
}
