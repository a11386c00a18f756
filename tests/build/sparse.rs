//! Digests of large sparse files without reading their holes.

use rustix::fs::{SeekFrom, seek};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const BLOCK_BYTES: usize = 1 << 16;

/// A digest of a file's length and of every block that is not all zeros, with its place: equal for equal
/// contents, wherever the holes are.
pub(crate) fn content_digest(path: &Path) -> String {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let length = file.metadata().expect("a length").len();
    let mut hasher = Sha256::new();
    hasher.update(length.to_le_bytes());
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    while let Ok(data) = seek(&file, SeekFrom::Data(at)) {
        at = data - data % BLOCK_BYTES as u64;
        let hole = seek(&file, SeekFrom::Hole(data)).expect("a hole or the end");
        while at < hole {
            let count = file.read_at(&mut block, at).expect("readable");
            // A read may end early only at the end of the file.
            if block[..count].iter().any(|&byte| byte != 0) {
                hasher.update(at.to_le_bytes());
                hasher.update(&block[..count]);
            }
            at += BLOCK_BYTES as u64;
        }
    }
    hasher
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string");
            text
        })
}

#[test]
fn holes_do_not_count_but_places_do() {
    let folder = crate::fixture::scratch();
    let write = |name: &str, at: u64, dense: bool| {
        let path = folder.path().join(name);
        let file = File::create_new(&path).expect("created");
        file.set_len(1 << 20).expect("grown");
        if dense {
            file.write_all_at(&vec![0; 1 << 20], 0).expect("written");
        }
        file.write_all_at(b"here", at).expect("written");
        content_digest(&path)
    };
    let sparse = write("a", 300_000, false);
    assert_eq!(sparse, write("b", 300_000, true));
    assert_ne!(sparse, write("c", 300_000 + 65_536, false));
}
