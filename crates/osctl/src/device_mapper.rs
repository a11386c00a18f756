//! What the kernel says about a device-mapper device: `DM_TABLE_STATUS` of `linux/dm-ioctl.h`.
//!
//! Building and reading the buffer is pure; [`query`] sends it. It does not know dm-verity.
//!
//! A message is `struct dm_ioctl` (312 bytes, native byte order) and room for the answer. Used
//! here: version at 0, buffer length at 12, start of the answer at 16, number of targets at 20,
//! flags at 28, the device's name at 48. The answer is one `struct dm_target_spec` per target:
//! start and length in sectors, status, offset of the next one, at 24 the kind (16 bytes), and
//! at 40 a NUL-terminated text.
use std::fs::File;

use rustix::ioctl::{Opcode, opcode};

use crate::system_calls;
use machine_facts::error::{Fact, FactError};

const HEADER_LENGTH: usize = 312;
const TARGET_LENGTH: usize = 40;
/// A verity target's table takes about 300 bytes.
const ANSWER_LENGTH: usize = 4096;
const NAME_OFFSET: usize = 48;
const NAME_LENGTH: usize = 128;
const STATUS_TABLE_FLAG: u32 = 1 << 4;
const BUFFER_FULL_FLAG: u32 = 1 << 8;
const TABLE_STATUS: u8 = 12;
const CONTROL: &str = "/dev/mapper/control";

/// What to ask about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// How it is doing.
    Status,
    /// What it was made of.
    Table,
}

/// The one target of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The kind, such as `verity`.
    pub(crate) kind: String,
    /// The answer in the target's own syntax.
    pub(crate) text: String,
}

/// A question, or its answer; its length field always equals its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusMessage {
    bytes: Vec<u8>,
}

impl StatusMessage {
    /// A question about a device; `None` if no device can have such a name.
    fn new(name: &str, question: Question) -> Option<Self> {
        if name.len() >= NAME_LENGTH {
            return None;
        }
        let mut message = Self {
            bytes: vec![0; HEADER_LENGTH + ANSWER_LENGTH],
        };
        message.put_u32(0, 4);
        message.put_u32(12, u32::try_from(message.bytes.len()).ok()?);
        message.put_u32(16, u32::try_from(HEADER_LENGTH).ok()?);
        if question == Question::Table {
            message.put_u32(28, STATUS_TABLE_FLAG);
        }
        message.bytes[NAME_OFFSET..NAME_OFFSET + name.len()].copy_from_slice(name.as_bytes());
        Some(message)
    }

    /// `_IOWR(0xfd, 12, struct dm_ioctl)`.
    pub(crate) fn opcode() -> Opcode {
        opcode::read_write::<[u8; HEADER_LENGTH]>(0xfd, TABLE_STATUS)
    }

    /// The whole message, for the system call.
    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The answer; `None` if it is not of exactly one target, or was cut off.
    fn target(&self) -> Option<Target> {
        if self.u32_at(20)? != 1 || self.u32_at(28)? & BUFFER_FULL_FLAG != 0 {
            return None;
        }
        let answer = self.bytes.get(self.u32_at(16)? as usize..)?;
        Some(Target {
            kind: text_until_nul(answer.get(24..TARGET_LENGTH)?)?,
            text: text_until_nul(answer.get(TARGET_LENGTH..)?)?,
        })
    }

    fn put_u32(&mut self, offset: usize, value: u32) {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn u32_at(&self, offset: usize) -> Option<u32> {
        let bytes = self.bytes.get(offset..offset + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }
}

fn text_until_nul(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// Asks the kernel about a device by its name.
pub(crate) fn query(name: &str, question: Question) -> Fact<Target> {
    let unclear = || FactError::malformed(CONTROL, format!("no clear answer about {name:?}"));
    let mut message = StatusMessage::new(name, question).ok_or_else(unclear)?;
    let control = File::options().read(true).write(true).open(CONTROL);
    control
        .and_then(|control| Ok(system_calls::device_mapper(&control, &mut message)?))
        .map_err(FactError::read(CONTROL))?;
    message.target().ok_or_else(unclear)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(targets: u32, flags: u32) -> StatusMessage {
        let mut message = StatusMessage::new("root", Question::Status).unwrap();
        message.put_u32(20, targets);
        message.put_u32(28, flags);
        message.bytes[HEADER_LENGTH + 24..HEADER_LENGTH + 30].copy_from_slice(b"verity");
        message.bytes[HEADER_LENGTH + 40..HEADER_LENGTH + 42].copy_from_slice(b"V\0");
        message
    }

    #[test]
    fn the_request_number_is_that_of_the_header() {
        // As a C program prints DM_TABLE_STATUS.
        assert_eq!(StatusMessage::opcode(), 0xc138_fd0c);
    }

    #[test]
    fn a_question_names_the_device_and_its_own_length() {
        let message = StatusMessage::new("root", Question::Table).unwrap();
        assert_eq!(message.u32_at(0), Some(4));
        assert_eq!(message.u32_at(12), Some(312 + 4096));
        assert_eq!(
            (message.u32_at(16), message.u32_at(28)),
            (Some(312), Some(16))
        );
        assert_eq!(&message.bytes[48..53], b"root\0");
        assert_eq!(StatusMessage::new(&"x".repeat(128), Question::Table), None);
    }

    #[test]
    fn the_answer_is_the_only_target() {
        let target = answer(1, 0).target().unwrap();
        assert_eq!(
            (target.kind.as_str(), target.text.as_str()),
            ("verity", "V")
        );
        assert_eq!(answer(2, 0).target(), None);
        assert_eq!(answer(1, BUFFER_FULL_FLAG).target(), None);
    }

    #[test]
    fn an_answer_outside_the_buffer_is_none() {
        let mut message = answer(1, 0);
        message.put_u32(16, u32::MAX);
        assert_eq!(message.target(), None);
    }
}
