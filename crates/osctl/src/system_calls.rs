//! The system call that needs `unsafe`: the device-mapper's ioctl.
//!
//! It does not know the contents of the buffer; see [`crate::device_mapper`].
#![allow(unsafe_code)] // no safe wrapper of this call exists
use std::ffi::c_void;
use std::os::fd::AsFd;

use rustix::io;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode};

use crate::device_mapper::StatusMessage;

/// Sends the question; the kernel's answer replaces it.
pub(crate) fn device_mapper(control: impl AsFd, message: &mut StatusMessage) -> io::Result<()> {
    let call = DeviceMapperCall {
        opcode: StatusMessage::opcode(),
        buffer: message.as_bytes_mut(),
    };
    // SAFETY: the opcode belongs to the device-mapper protocol, whose message says its own
    // length in `data_size`; `StatusMessage` keeps that equal to the buffer's length, and the
    // kernel reads and writes no more than it.
    unsafe { ioctl::ioctl(control, call) }
}

struct DeviceMapperCall<'a> {
    opcode: Opcode,
    buffer: &'a mut [u8],
}

// SAFETY: the pointer is to a live, exclusively borrowed buffer and nothing is read from the
// pointer afterwards; the kernel mutates the buffer, which IS_MUTATING says.
unsafe impl Ioctl for DeviceMapperCall<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.buffer.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> io::Result<()> {
        Ok(())
    }
}
