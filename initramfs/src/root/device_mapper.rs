//! Device-mapper messages: the binary protocol of `linux/dm-ioctl.h`, version 4.
//!
//! Building and reading the buffers is pure; [`create`] at the end sends them.
//! It does not know dm-verity; the caller brings the target's name and parameters.
//!
//! A message is `struct dm_ioctl` (312 bytes, native byte order), for a table followed by one
//! `struct dm_target_spec` (40 bytes) and the parameters as a NUL-terminated string, padded to
//! a multiple of 8:
//!
//! | offset | field          | offset | field                 |
//! |--------|----------------|--------|-----------------------|
//! | 0      | version, 3×u32 | 28     | flags, u32            |
//! | 12     | data size, u32 | 32     | event number, u32     |
//! | 16     | data start     | 40     | device number, u64    |
//! | 20     | target count   | 48     | name, 128 bytes       |
//! | 24     | open count     | 176    | uuid, 129 bytes + pad |
use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::ioctl::{Opcode, opcode};

use crate::report::error::{ActionFailed, Context};
use crate::system_calls;

const HEADER_LENGTH: usize = 312;
const TARGET_LENGTH: usize = 40;
const NAME_OFFSET: usize = 48;
const NAME_LENGTH: usize = 128;
const UUID_OFFSET: usize = 176;
const UUID_LENGTH: usize = 129;
/// `DM_READONLY_FLAG`.
const READ_ONLY: u32 = 1;
const CONTROL: &str = "/dev/mapper/control";
/// Misc device numbers: `MISC_MAJOR`, and `MAPPER_CTRL_MINOR` of `linux/miscdevice.h`.
const MISC_MAJOR: u32 = 10;
const CONTROL_MINOR: u32 = 236;

/// The requests used here, with their numbers in `linux/dm-ioctl.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Request {
    /// `DM_VERSION`: the kernel refuses an interface version it does not speak.
    Version = 0,
    /// `DM_DEV_CREATE`.
    Create = 3,
    /// `DM_DEV_REMOVE`.
    Remove = 4,
    /// `DM_DEV_SUSPEND`; without the suspend flag it resumes, which activates a loaded table.
    Resume = 6,
    /// `DM_TABLE_LOAD`.
    LoadTable = 9,
}

impl Request {
    /// `_IOWR(0xfd, number, struct dm_ioctl)`.
    pub(crate) fn opcode(self) -> Opcode {
        opcode::read_write::<[u8; HEADER_LENGTH]>(0xfd, self as u8)
    }
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is read.
    ReadOnly,
    /// It is written, too.
    Whole,
}

/// One target that fills a whole device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The kind of target, such as `verity`.
    pub(crate) kind: &'static str,
    /// Length of the device in sectors of 512 bytes.
    pub(crate) length_sectors: u64,
    /// The parameters in the target's own syntax.
    pub(crate) parameters: String,
}

/// A name or kind too long for its field, or a table too large for its length field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the device-mapper {field} of {length} bytes does not fit")]
pub(crate) struct TooLong {
    field: &'static str,
    length: usize,
}

/// A message as the kernel takes it; its length field always equals its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message without a table; an empty `uuid` leaves the device without one.
    pub(crate) fn new(name: &str, uuid: &str) -> Result<Self, TooLong> {
        let mut message = Self {
            bytes: vec![0; HEADER_LENGTH],
        };
        message.put_u32(0, 4);
        message.put_length()?;
        message.put_u32(16, u32::try_from(HEADER_LENGTH).unwrap_or(u32::MAX));
        message.put_text("name", NAME_OFFSET, NAME_LENGTH, name)?;
        message.put_text("uuid", UUID_OFFSET, UUID_LENGTH, uuid)?;
        Ok(message)
    }

    /// A message that loads a table of one target.
    pub(crate) fn table(name: &str, target: &Target, access: Access) -> Result<Self, TooLong> {
        let mut message = Self::new(name, "")?;
        message.put_u32(20, 1);
        if access == Access::ReadOnly {
            message.put_u32(28, READ_ONLY);
        }
        let start = message.bytes.len();
        let text_length = target.parameters.len() + 1;
        message
            .bytes
            .resize(start + TARGET_LENGTH + text_length.next_multiple_of(8), 0);
        message.bytes[start + 8..start + 16].copy_from_slice(&target.length_sectors.to_ne_bytes());
        message.put_text("target kind", start + 24, 16, target.kind)?;
        let text = start + TARGET_LENGTH;
        message.bytes[text..text + target.parameters.len()]
            .copy_from_slice(target.parameters.as_bytes());
        message.put_length()?;
        Ok(message)
    }

    /// The whole message, for the system call.
    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Major and minor number of the device in a reply, packed as `huge_encode_dev` does.
    pub(crate) fn device_numbers(&self) -> (u32, u32) {
        let mut packed = [0; 4];
        packed.copy_from_slice(&self.bytes[40..44]);
        let packed = u32::from_ne_bytes(packed);
        (
            (packed & 0x000f_ff00) >> 8,
            (packed & 0xff) | ((packed >> 12) & 0x000f_ff00),
        )
    }

    fn put_u32(&mut self, offset: usize, value: u32) {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_length(&mut self) -> Result<(), TooLong> {
        let length = self.bytes.len();
        let value = u32::try_from(length).map_err(|_| TooLong {
            field: "table",
            length,
        })?;
        self.put_u32(12, value);
        Ok(())
    }

    /// Keeps room for the terminating NUL.
    fn put_text(
        &mut self,
        field: &'static str,
        offset: usize,
        room: usize,
        text: &str,
    ) -> Result<(), TooLong> {
        if text.len() >= room {
            return Err(TooLong {
                field,
                length: text.len(),
            });
        }
        self.bytes[offset..offset + text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Why no device came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceMapperError {
    /// The message could not be built.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// A request or a device node failed.
    #[error(transparent)]
    Request(#[from] ActionFailed),
}

/// Creates and activates a device of one target; its node, such as `/dev/dm-0`.
///
/// On failure nothing is left behind under that name.
pub(crate) fn create(
    name: &str,
    uuid: &str,
    target: &Target,
    access: Access,
) -> Result<String, DeviceMapperError> {
    let control = open_control()?;
    send(
        &control,
        Request::Version,
        &mut Message::new("", "")?,
        "ask for its version",
    )?;
    let mut created = Message::new(name, uuid)?;
    send(
        &control,
        Request::Create,
        &mut created,
        &format!("create the device {name}"),
    )?;
    let activated =
        activate(&control, name, (target, access)).and_then(|()| node(created.device_numbers()));
    if activated.is_err() {
        // The first error is the one worth reporting.
        let _ = send(
            &control,
            Request::Remove,
            &mut Message::new(name, "")?,
            "remove the device",
        );
    }
    activated
}

fn activate(
    control: &File,
    name: &str,
    (target, access): (&Target, Access),
) -> Result<(), DeviceMapperError> {
    let mut table = Message::table(name, target, access)?;
    // Parameters may hold a key.
    let shown = match access {
        Access::ReadOnly => target.parameters.as_str(),
        Access::Whole => "…",
    };
    let action = format!(
        "load the table \"0 {} {} {shown}\"",
        target.length_sectors, target.kind
    );
    send(control, Request::LoadTable, &mut table, &action)?;
    send(
        control,
        Request::Resume,
        &mut Message::new(name, "")?,
        "activate the table",
    )?;
    Ok(())
}

fn send(
    control: &File,
    request: Request,
    message: &mut Message,
    action: &str,
) -> Result<(), ActionFailed> {
    system_calls::device_mapper(control, request, message)
        .context(|| format!("make the device-mapper {action} (the kernel log says more)"))
}

fn open_control() -> Result<File, ActionFailed> {
    if !Path::new(CONTROL).exists() {
        let minor = fs::read_to_string("/proc/misc")
            .ok()
            .and_then(|text| control_minor(&text));
        make_node(
            CONTROL,
            FileType::CharacterDevice,
            (MISC_MAJOR, minor.unwrap_or(CONTROL_MINOR)),
        )?;
    }
    let control = File::options().read(true).write(true).open(CONTROL);
    control.context(|| format!("open {CONTROL} (is dm-mod loaded?)"))
}

/// The minor number of `device-mapper` in the text of `/proc/misc`.
fn control_minor(misc: &str) -> Option<u32> {
    let line = misc
        .lines()
        .find_map(|line| line.trim().strip_suffix(" device-mapper"))?;
    line.trim().parse().ok()
}

/// devtmpfs has made the node already; where it has not, this does.
fn node(numbers: (u32, u32)) -> Result<String, DeviceMapperError> {
    let path = format!("/dev/dm-{}", numbers.1);
    if !Path::new(&path).exists() {
        make_node(&path, FileType::BlockDevice, numbers)?;
    }
    Ok(path)
}

fn make_node(path: &str, kind: FileType, (major, minor): (u32, u32)) -> Result<(), ActionFailed> {
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder).context(|| format!("create {}", folder.display()))?;
    }
    mknodat(
        CWD,
        path,
        kind,
        Mode::RUSR | Mode::WUSR,
        makedev(major, minor),
    )
    .context(|| format!("create the device node {path}"))
}

#[cfg(test)]
mod tests;
