//! The system calls that need `unsafe`: four ioctls, and a child that starts inside a chroot.
//!
//! It knows neither the contents of the buffers nor why they are sent; see `device_mapper`
//! and `block_device`.
#![allow(unsafe_code)] // no safe wrapper of these calls exists
use std::ffi::c_void;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::io;
use rustix::ioctl::{self, Ioctl, IoctlOutput, NoArg, Opcode, Setter};

use crate::root::device_mapper::{Message, Request};

/// `BLKPG` of `linux/blkpg.h`: `_IO(0x12, 105)`.
const BLKPG: Opcode = ioctl::opcode::none(0x12, 105);
const BLKPG_RESIZE_PARTITION: i32 = 3;
/// `BLKRRPART` of `linux/fs.h`: `_IO(0x12, 95)`.
const BLKRRPART: Opcode = ioctl::opcode::none(0x12, 95);
/// `EXT4_IOC_RESIZE_FS` of `linux/ext4.h`: `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: Opcode = ioctl::opcode::write::<u64>(b'f', 16);

/// Sends a device-mapper message; the kernel's reply replaces it.
pub(crate) fn device_mapper(
    control: impl AsFd,
    request: Request,
    message: &mut Message,
) -> io::Result<()> {
    let call = DeviceMapperCall {
        opcode: request.opcode(),
        buffer: message.as_bytes_mut(),
    };
    // SAFETY: the opcode belongs to the device-mapper protocol, whose message says its own
    // length in `data_size`; `Message` keeps that equal to the buffer's length, and the kernel
    // reads and writes no more than it.
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

/// `struct blkpg_partition` of `linux/blkpg.h`; lengths in bytes.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg` of `linux/blkpg.h`.
#[repr(C)]
struct BlkpgArgument {
    operation: i32,
    flags: i32,
    data_length: i32,
    data: *mut BlkpgPartition,
}

/// Tells the kernel a partition's new length; works while other partitions are in use.
///
/// `disk` is the whole disk, `start_bytes` must be the partition's present start.
pub(crate) fn resize_partition(
    disk: impl AsFd,
    number: u32,
    start_bytes: u64,
    length_bytes: u64,
) -> io::Result<()> {
    let mut partition = BlkpgPartition {
        start: i64::try_from(start_bytes).map_err(|_| io::Errno::OVERFLOW)?,
        length: i64::try_from(length_bytes).map_err(|_| io::Errno::OVERFLOW)?,
        number: i32::try_from(number).map_err(|_| io::Errno::OVERFLOW)?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let argument = BlkpgArgument {
        operation: BLKPG_RESIZE_PARTITION,
        flags: 0,
        data_length: i32::try_from(size_of::<BlkpgPartition>()).map_err(|_| io::Errno::OVERFLOW)?,
        data: &raw mut partition,
    };
    // SAFETY: BLKPG takes a `blkpg_ioctl_arg` whose `data` points to a `blkpg_partition`; both
    // have the C layout and outlive the call.
    unsafe { ioctl::ioctl(disk, Setter::<BLKPG, BlkpgArgument>::new(argument)) }
}

/// Has the kernel read the partition table of a whole disk; fails while a partition of it is in use.
pub(crate) fn read_partitions(disk: impl AsFd) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument.
    unsafe { ioctl::ioctl(disk, NoArg::<BLKRRPART>::new()) }
}

/// Grows a mounted ext4 file system; `root` is its open root directory.
pub(crate) fn grow_ext4(root: impl AsFd, blocks: u64) -> io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64, the new number of blocks.
    unsafe { ioctl::ioctl(root, Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks)) }
}

/// Makes the command start with `root` as its root and working directory.
pub(crate) fn start_in(command: &mut Command, root: PathBuf) -> &mut Command {
    let enter = move || {
        rustix::process::chroot(root.as_path())?;
        rustix::process::chdir("/")?;
        Ok(())
    };
    // SAFETY: between fork and exec only two system calls are made; a path shorter than
    // rustix's stack buffer is passed without allocating.
    unsafe { command.pre_exec(enter) }
}
