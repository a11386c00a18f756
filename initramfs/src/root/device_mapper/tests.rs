//! The messages, byte by byte, against `linux/dm-ioctl.h`.
use super::*;

fn u32_at(message: &Message, offset: usize) -> u32 {
    u32::from_ne_bytes(message.bytes[offset..offset + 4].try_into().unwrap())
}

fn u64_at(message: &Message, offset: usize) -> u64 {
    u64::from_ne_bytes(message.bytes[offset..offset + 8].try_into().unwrap())
}

#[test]
fn request_numbers_are_those_of_the_header() {
    // As `strace -X raw` shows them for dmsetup.
    assert_eq!(Request::Version.opcode(), 0xc138_fd00);
    assert_eq!(Request::Create.opcode(), 0xc138_fd03);
    assert_eq!(Request::Remove.opcode(), 0xc138_fd04);
    assert_eq!(Request::Resume.opcode(), 0xc138_fd06);
    assert_eq!(Request::LoadTable.opcode(), 0xc138_fd09);
}

#[test]
fn a_bare_message_is_the_header() {
    let message = Message::new("root", "keelson-1").unwrap();
    assert_eq!(message.bytes.len(), 312);
    assert_eq!(
        [
            u32_at(&message, 0),
            u32_at(&message, 4),
            u32_at(&message, 8)
        ],
        [4, 0, 0]
    );
    assert_eq!((u32_at(&message, 12), u32_at(&message, 16)), (312, 312));
    assert_eq!((u32_at(&message, 20), u32_at(&message, 28)), (0, 0));
    assert_eq!(&message.bytes[48..53], b"root\0");
    assert_eq!(&message.bytes[176..186], b"keelson-1\0");
}

#[test]
fn a_table_follows_the_header() {
    let target = Target {
        kind: "verity",
        length_sectors: 1 << 33,
        parameters: "1 a b".into(),
    };
    let message = Message::table("root", &target, Access::ReadOnly).unwrap();
    assert_eq!(message.bytes.len(), 312 + 40 + 8);
    assert_eq!(u32_at(&message, 12), 360, "data size");
    assert_eq!(u32_at(&message, 16), 312, "data start");
    assert_eq!(u32_at(&message, 20), 1, "target count");
    assert_eq!(u32_at(&message, 28), 1, "read-only");
    assert_eq!((u64_at(&message, 312), u64_at(&message, 320)), (0, 1 << 33));
    assert_eq!(
        (u32_at(&message, 328), u32_at(&message, 332)),
        (0, 0),
        "status, next"
    );
    assert_eq!(&message.bytes[336..352], b"verity\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&message.bytes[352..], b"1 a b\0\0\0");
}

#[test]
fn parameters_always_end_in_nul() {
    let table = |parameters: &str| {
        let target = Target {
            kind: "verity",
            length_sectors: 8,
            parameters: parameters.into(),
        };
        Message::table("root", &target, Access::ReadOnly)
            .unwrap()
            .bytes
    };
    assert_eq!(table("1234567").len(), 352 + 8);
    let eight = table("12345678");
    assert_eq!(eight.len(), 352 + 16, "the NUL needs another word");
    assert_eq!(eight[360], 0);
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(Message::new(&"n".repeat(127), "").is_ok());
    let error = Message::new(&"n".repeat(128), "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the device-mapper name of 128 bytes does not fit"
    );
    assert!(Message::new("n", &"u".repeat(128)).is_ok());
    assert!(Message::new("n", &"u".repeat(129)).is_err());
    let target = Target {
        kind: "a-kind-of-16-byt",
        length_sectors: 1,
        parameters: String::new(),
    };
    assert!(Message::table("n", &target, Access::ReadOnly).is_err());
}

#[test]
fn device_numbers_are_unpacked() {
    let mut message = Message::new("n", "").unwrap();
    message.bytes[40..48].copy_from_slice(&0x0000_0000_0000_fd00_u64.to_ne_bytes());
    assert_eq!(message.device_numbers(), (253, 0));
    // new_encode_dev(MKDEV(254, 0x12345)) = 0x45 | 254 << 8 | (0x12345 & ~0xff) << 12
    message.bytes[40..48].copy_from_slice(&0x1230_fe45_u64.to_ne_bytes());
    assert_eq!(message.device_numbers(), (254, 0x12345));
}

#[test]
fn the_control_minor_is_found() {
    let misc = "236 device-mapper\n130 watchdog\n";
    assert_eq!(control_minor(misc), Some(236));
    assert_eq!(control_minor(" 61 device-mapper\n"), Some(61));
    assert_eq!(control_minor("130 watchdog\n"), None);
}
