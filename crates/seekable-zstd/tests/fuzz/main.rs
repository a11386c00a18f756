//! Any data survives, every part of it can be read by itself, and no bytes make a reader panic.
//!
//! `PROPTEST_CASES` says how many of each (256 if it does not).

use proptest::collection::vec;
use proptest::prelude::*;
use seekable_zstd::{SeekTable, compress, decompress_frame};

/// A file of frames and its table.
fn file(data: &[u8], frame_length: u32) -> (Vec<u8>, SeekTable) {
    let mut bytes = Vec::new();
    let table = compress(data, &mut bytes, frame_length, 3).expect("compressed");
    (bytes, table)
}

fn compressed_frame<'a>(bytes: &'a [u8], frame: &seekable_zstd::Frame) -> &'a [u8] {
    let begin = usize::try_from(frame.compressed_offset).expect("in memory");
    &bytes[begin..begin + frame.compressed_length as usize]
}

proptest! {
    #[test]
    fn data_survives(data in vec(0..4_u8, 0..20_000), frame_length in 1..5000_u32) {
        let (bytes, table) = file(&data, frame_length);
        let tail = SeekTable::encoded_length(table.frames().len());
        prop_assert_eq!(&SeekTable::parse(&bytes[bytes.len() - tail..]).unwrap(), &table);
        prop_assert_eq!(table.length(), data.len() as u64);
        let mut read = Vec::new();
        for frame in table.frames() {
            read.extend(decompress_frame(compressed_frame(&bytes, frame), frame.length).unwrap());
        }
        prop_assert_eq!(&read, &data);
        // Whoever knows nothing of the table reads it too.
        prop_assert_eq!(zstd::decode_all(&bytes[..]).unwrap(), data);
    }

    #[test]
    fn frames_of_covers_what_was_asked_for(lengths in vec((1..99_u32, 1..500_u32), 1..40), from in 0..9000_u64, length in 1..3000_u64) {
        let mut table = SeekTable::default();
        for (compressed, length) in lengths {
            table.push(compressed, length).unwrap();
        }
        let frames = table.frames_of(from..from + length);
        for (index, frame) in table.frames().iter().enumerate() {
            let overlaps = frame.offset < from + length && from < frame.offset + u64::from(frame.length);
            prop_assert_eq!(frames.contains(&index), overlaps, "frame {}", index);
        }
    }

    #[test]
    fn arbitrary_tables_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = SeekTable::parse(&bytes);
    }

    /// Header and footer are right, what is between is arbitrary.
    #[test]
    fn arbitrary_entries_never_panic(entries in vec(any::<u8>(), 0..300), frames in any::<u32>(), descriptor in any::<u8>()) {
        let mut bytes = 0x184D_2A5E_u32.to_le_bytes().to_vec();
        bytes.extend(u32::try_from(entries.len() + 9).unwrap().to_le_bytes());
        bytes.extend(&entries);
        bytes.extend(frames.to_le_bytes());
        bytes.push(descriptor);
        bytes.extend(0x8F92_EAB1_u32.to_le_bytes());
        if let Ok(table) = SeekTable::parse(&bytes) {
            prop_assert!(table.frames().len() * 8 <= entries.len());
        }
    }

    #[test]
    fn damaged_frames_never_panic(
        data in vec(0..4_u8, 1..4000),
        flips in vec((any::<prop::sample::Index>(), 0..8_u8), 1..4),
        cut in any::<prop::sample::Index>(),
        claimed in 0..100_000_u32,
    ) {
        let (bytes, table) = file(&data, 4096);
        let mut frame = compressed_frame(&bytes, &table.frames()[0]).to_vec();
        for (at, bit) in flips {
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
        }
        frame.truncate(cut.index(frame.len() + 1));
        for length in [claimed, table.frames()[0].length] {
            if let Ok(contents) = decompress_frame(&frame, length) {
                prop_assert_eq!(contents.len(), length as usize);
            }
        }
    }
}
