//! Images made from a stub of a few header fields, checked with `objdump`.

use std::process::Command;

use super::*;
use crate::test_tools::{Noise, file_of, run_tool};

const COFF: usize = 0x40;
const OPTIONAL: usize = COFF + 24;
const SECTION_TABLE: usize = OPTIONAL + 240;
const IMAGE_BASE: u64 = 0x1_0000_0000;

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    put(bytes, offset, &value.to_le_bytes());
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

/// A stub laid out as systemd's: headers of 0x3f0 bytes (not aligned), `.text` and `.sbat`.
fn stub() -> Vec<u8> {
    let mut stub = vec![0; 0x800];
    put(&mut stub, 0, b"MZ");
    put_u32(&mut stub, 0x3c, 0x40);
    put(&mut stub, COFF, b"PE\0\0\x64\x86\x02\0");
    put(&mut stub, COFF + 20, &[240, 0, 0x2e, 0x02]);
    put(&mut stub, OPTIONAL, &[0x0b, 0x02]);
    put_u32(&mut stub, OPTIONAL + 8, 0x100);
    put_u32(&mut stub, OPTIONAL + 16, 0x1000);
    put(&mut stub, OPTIONAL + 24, &IMAGE_BASE.to_le_bytes());
    put_u32(&mut stub, OPTIONAL + 32, 0x1000);
    put_u32(&mut stub, OPTIONAL + 36, 0x200);
    put_u32(&mut stub, OPTIONAL + 56, 0x4000);
    put_u32(&mut stub, OPTIONAL + 60, 0x3f0);
    put_u32(&mut stub, OPTIONAL + 64, 0xdead_beef);
    put(&mut stub, OPTIONAL + 68, &[10]);
    put_u32(&mut stub, OPTIONAL + 108, 16);
    stub_section(
        &mut stub,
        0,
        b".text",
        [0x1800, 0x1000, 0x200, 0x400],
        0x6000_0020,
    );
    stub_section(
        &mut stub,
        1,
        b".sbat",
        [5, 0x3000, 0x200, 0x600],
        0x4000_0040,
    );
    put(&mut stub, 0x400, &[0xc3]);
    put(&mut stub, 0x600, b"sbat,");
    stub
}

fn stub_section(stub: &mut [u8], index: usize, name: &[u8], fields: [u32; 4], flags: u32) {
    let header = SECTION_TABLE + index * 40;
    put(stub, header, name);
    for (index, field) in fields.into_iter().enumerate() {
        put_u32(stub, header + 8 + index * 4, field);
    }
    put_u32(stub, header + 36, flags);
}

fn assembled(sections: &[(&str, &[u8])]) -> Result<Vec<u8>, UkiError> {
    let sections: Vec<_> = sections
        .iter()
        .map(|(name, contents)| Section { name, contents })
        .collect();
    assemble(&stub(), &sections)
}

#[test]
fn contents_come_back() {
    let kernel = Noise(7).bytes(0x1234);
    let added = [
        (".osrel", b"ID=keelson\n".as_slice()),
        (".linux", &kernel),
        (".initrd", &[7; 512]),
    ];
    let image = assembled(&added).unwrap();
    let found = sections(&image).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|(name, r)| (name.as_str(), &image[r.clone()]))
        .collect();
    assert_eq!(found[0].0, ".text");
    assert_eq!(found[1], (".sbat", b"sbat,".as_slice()));
    assert_eq!(found[2..], added);
    assert_eq!(image, assembled(&added).unwrap());
}

fn objdump(option: &str) -> String {
    let kernel = Noise(7).bytes(0x1234);
    let added = [
        (".cmdline", b"gpt\0".as_slice()),
        (".linux", &kernel),
        (".uname", b"6.12"),
    ];
    let file = file_of(&assembled(&added).unwrap());
    run_tool(
        "binutils",
        Command::new("objdump").arg(option).arg(file.path()),
    )
}

#[test]
fn objdump_sees_every_section() {
    let listing = objdump("--section-headers");
    let lines: Vec<Vec<&str>> = listing
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    for (number, name, length, address, offset) in [
        ("2", ".cmdline", "00000004", "0000000100004000", "00000800"),
        ("3", ".linux", "00001234", "0000000100005000", "00000a00"),
        ("4", ".uname", "00000004", "0000000100007000", "00001e00"),
    ] {
        // The address is there twice: virtual and load address.
        let row = [number, name, length, address, address, offset];
        assert!(
            lines.iter().any(|line| line.starts_with(&row)),
            "{row:?} in {listing}"
        );
    }
    let kernel = lines
        .iter()
        .position(|line| line.get(1) == Some(&".linux"))
        .unwrap();
    assert!(lines[kernel + 1].contains(&"CODE"), "{listing}");
}

#[test]
fn objdump_sees_the_sums() {
    let header = objdump("--private-headers");
    for (name, expected) in [
        ("SizeOfImage", 0x8000),
        ("SizeOfHeaders", 0x400),
        ("SizeOfInitializedData", 0x100 + 4 + 0x1234 + 4),
        ("CheckSum", 0),
    ] {
        let line = header
            .lines()
            .find(|line| line.starts_with(name))
            .expect(name);
        let value = line.split_whitespace().last().unwrap();
        assert_eq!(u64::from_str_radix(value, 16), Ok(expected), "{name}");
    }
}

#[test]
fn the_stub_is_otherwise_untouched() {
    let image = assembled(&[(".osrel", b"x")]).unwrap();
    let mut expected = stub();
    put(&mut expected, COFF + 6, &[3]);
    for (offset, value) in [(8, 0x101), (56, 0x5000), (60, 0x400), (64, 0)] {
        put_u32(&mut expected, OPTIONAL + offset, value);
    }
    let table_end = SECTION_TABLE + 2 * 40;
    assert_eq!(image[..table_end], expected[..table_end]);
    assert_eq!(image[table_end + 40..0x800], expected[table_end + 40..]);
    assert_eq!(image.len(), 0xa00);
    assert_eq!(u32_at(&image, table_end + 20), 0x800);
}

#[test]
fn an_unaligned_stub_is_padded() {
    let mut stub = stub();
    stub.extend_from_slice(b"symbols");
    let image = assemble(
        &stub,
        &[Section {
            name: ".osrel",
            contents: b"x",
        }],
    )
    .unwrap();
    let (_, range) = sections(&image).unwrap().pop().unwrap();
    assert_eq!(range, 0xa00..0xa01);
}

#[test]
fn a_full_header_is_an_error() {
    // 0x400 - 0x198 bytes are free.
    let names: Vec<String> = (0..16).map(|number| format!(".s{number}")).collect();
    let added: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), b"x".as_slice()))
        .collect();
    assert_eq!(
        sections(&assembled(&added[..15]).unwrap()).unwrap().len(),
        2 + 15
    );
    assert_eq!(
        assembled(&added),
        Err(UkiError::NoHeaderRoom {
            room: 15,
            wanted: 16
        })
    );
}

#[test]
fn bad_sections_are_refused() {
    let refused = |sections: &[(&str, &[u8])]| assembled(sections).unwrap_err();
    let duplicate = |name: &str| UkiError::DuplicateSection(name.to_owned());
    assert_eq!(refused(&[(".sbat", b"x")]), duplicate(".sbat"));
    assert_eq!(
        refused(&[(".osrel", b"x"), (".osrel", b"y")]),
        duplicate(".osrel")
    );
    for name in ["", ".toolong9", "a b", "é"] {
        assert_eq!(
            refused(&[(name, b"x")]),
            UkiError::SectionName(name.to_owned())
        );
    }
    assert_eq!(
        refused(&[(".uname", b"")]),
        UkiError::EmptySection(".uname".to_owned())
    );
}

#[test]
fn a_signed_stub_is_refused() {
    let mut signed = stub();
    put_u32(&mut signed, OPTIONAL + 112 + 4 * 8, 0x600);
    assert_eq!(assemble(&signed, &[]), Err(UkiError::SignedStub));
}

#[test]
fn other_files_are_refused() {
    let not_pe = |bytes: &[u8]| matches!(sections(bytes), Err(UkiError::NotPe(_)));
    assert!(not_pe(b""));
    assert!(not_pe(b"\x7fELF"));
    assert!(not_pe(b"MZ"));
    let changed = |offset: usize, value: u8| {
        let mut stub = stub();
        stub[offset] = value;
        stub
    };
    assert!(not_pe(&changed(0x3f, 0xff)));
    assert!(not_pe(&changed(COFF, 0)));
    assert!(not_pe(&changed(OPTIONAL + 1, 1)));
    assert!(not_pe(&changed(COFF + 7, 0xff)));
    assert!(matches!(
        assemble(&changed(OPTIONAL + 37, 0), &[]),
        Err(UkiError::NotPe(_))
    ));
    for length in 0..SECTION_TABLE + 80 {
        assert!(not_pe(&stub()[..length]), "{length} bytes");
    }
    let outside = UkiError::SectionOutside {
        name: ".sbat".to_owned(),
    };
    assert_eq!(sections(&stub()[..0x7ff]), Err(outside));
}

#[test]
fn an_image_beyond_4_gib_is_refused() {
    let mut stub = stub();
    put_u32(&mut stub, SECTION_TABLE + 40 + 12, 0xffff_e000);
    let added = [Section {
        name: ".linux",
        contents: &[1; 0x1000],
    }];
    assert_eq!(
        assemble(&stub, &added),
        Err(UkiError::TooLarge(".linux".to_owned()))
    );
}
