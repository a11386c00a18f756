//! Segments built by hand, whole and broken. The known bytes were made by another implementation.

use super::*;
use crate::format::{Place, put_record};
use crate::log_state::LogState;

const LENGTH: usize = 8192;

/// From a bitwise CRC32C and struct packing in Python.
const KNOWN_PREAMBLE: &str = "524146544c4f470a0100000007000000002000000000000044332211c18b9244";
const KNOWN_RECORDS: &str = "5ea501002500000000000000000000000df0feca001000008db08804030000000000\
    0000030000000000000002000000000000000200000070010000000000000000000000000000\
    5ea502000500000003000000000000008db08804001000004ba1e38768656c6c6f00000000000000";

fn known(hexadecimal: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("it is hexadecimal");
    (0..hexadecimal.len()).step_by(2).map(byte).collect()
}

fn preamble() -> Preamble {
    Preamble {
        number: 7,
        bytes: LENGTH as u64,
        salt: 0x1122_3344,
    }
}

/// A segment with writes, each of some entries with payloads of 20 bytes; and where each record is.
fn segment(writes: &[u64]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = preamble().encode().to_vec();
    bytes.resize(FIRST_RECORD, 0);
    let mut offsets = vec![FIRST_RECORD];
    let mut place = Place {
        salt: preamble().salt,
        previous: 0,
        write_began: small(FIRST_RECORD),
    };
    let state = LogState::default().encode();
    place.previous = put_record(&mut bytes, place, Kind::State, 0, &state);
    let mut index = 0;
    for (position, entries) in writes.iter().enumerate() {
        if position > 0 {
            place.write_began = small(bytes.len());
        }
        for _ in 0..*entries {
            offsets.push(bytes.len());
            place.previous = put_record(&mut bytes, place, Kind::Entry, index, &[0xA5; 20]);
            index += 1;
        }
    }
    offsets.push(bytes.len());
    bytes.resize(LENGTH, 0);
    (bytes, offsets)
}

fn end_of(bytes: &[u8]) -> End {
    scan(bytes).expect("the preamble is right").end
}

#[test]
fn the_format_is_what_it_was() {
    assert_eq!(preamble().encode()[..], known(KNOWN_PREAMBLE));
    let place = |previous| Place {
        salt: preamble().salt,
        previous,
        write_began: 4096,
    };
    let mut state = LogState::default();
    state.purge(2, "p".into());
    state.vote = Some(bytes::Bytes::new());
    let mut bytes = Vec::new();
    let chain = put_record(
        &mut bytes,
        place(0xCAFE_F00D),
        Kind::State,
        0,
        &state.encode(),
    );
    put_record(&mut bytes, place(chain), Kind::Entry, 3, b"hello");
    assert_eq!(bytes, known(KNOWN_RECORDS));

    let mut segment = known(KNOWN_PREAMBLE);
    segment.resize(FIRST_RECORD, 0);
    segment.extend(known(KNOWN_RECORDS));
    segment.resize(LENGTH, 0);
    let scan = scan(&segment).expect("it is a segment");
    assert_eq!(scan.preamble, preamble());
    assert_eq!(
        LogState::decode(&segment[scan.records[0].payload()]),
        Some(state)
    );
    assert_eq!(
        (scan.records[1].index, &segment[scan.records[1].payload()]),
        (3, &b"hello"[..])
    );
    assert_eq!(
        scan.end,
        End::Clean {
            offset: 4096 + 72 + 40
        }
    );
}

#[test]
fn a_whole_segment_ends_clean() {
    let (bytes, offsets) = segment(&[3, 1, 2]);
    let scan = scan(&bytes).expect("it is a segment");
    let found: Vec<usize> = scan
        .records
        .iter()
        .map(|record| record.offset as usize)
        .collect();
    assert_eq!(found[..], offsets[..7]);
    assert_eq!(
        scan.end,
        End::Clean {
            offset: small(offsets[7])
        }
    );
}

/// Any part of the last write may be missing, also its first record only.
#[test]
fn a_hole_in_the_last_write_is_torn_and_one_before_is_damage() {
    let (bytes, offsets) = segment(&[3, 2, 3]);
    let last_write = 6;
    for position in 1..9 {
        let mut holed = bytes.clone();
        holed[offsets[position]..offsets[position + 1]].fill(0);
        let offset = small(offsets[position]);
        let is_last_record = position == 8;
        match end_of(&holed) {
            End::Clean { offset: found } => assert!(is_last_record && found == offset),
            End::Torn {
                offset: found,
                until,
            } => {
                assert!(position >= last_write && found == offset);
                assert!(until as usize > offsets[8], "all of it is to be zeroed");
            }
            End::Damaged {
                offset: found,
                later,
            } => {
                assert!(position < last_write && found == offset);
                assert!(later > offset);
            }
        }
    }
}

/// A value that looks like a record does not count: its checksum needs the salt.
#[test]
fn records_inside_values_are_not_believed() {
    let (mut bytes, offsets) = segment(&[1]);
    let end = offsets[2];
    let mut forged = Vec::new();
    let place = Place {
        salt: preamble().salt ^ 1,
        previous: 0,
        write_began: small(end + 8),
    };
    put_record(&mut forged, place, Kind::Entry, 1, b"forged");
    bytes[end + 8..end + 8 + forged.len()].copy_from_slice(&forged);
    assert!(matches!(end_of(&bytes), End::Torn { .. }));
    let place = Place {
        salt: preamble().salt,
        ..place
    };
    forged.clear();
    put_record(&mut forged, place, Kind::Entry, 1, b"forged");
    bytes[end + 8..end + 8 + forged.len()].copy_from_slice(&forged);
    assert!(matches!(end_of(&bytes), End::Damaged { .. }));
}

#[test]
fn what_is_no_segment_is_told() {
    let (bytes, _) = segment(&[1]);
    for length in 0..40 {
        assert!(scan(&bytes[..length]).is_err(), "{length}");
    }
    let expected = Expected::Length { bytes: 8192 };
    assert_eq!(scan(&bytes[..8000]), Err(ScanError::Damaged { expected }));
    for at in 0..32 {
        let mut broken = bytes.clone();
        broken[at] ^= 4;
        let expected = Expected::Preamble;
        assert_eq!(scan(&broken), Err(ScanError::Damaged { expected }), "{at}");
    }
}
