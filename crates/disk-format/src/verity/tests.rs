//! Trees against those of `veritysetup`, and every kind of damage.

use std::process::Command;

use uuid::uuid;

use super::*;
use crate::test_tools::{Noise, file_of, run_tool};

const SALT_TEXT: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const UUID_TEXT: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn options() -> VerityOptions {
    let salt: RootHash = SALT_TEXT.parse().unwrap();
    VerityOptions {
        salt: salt.0.to_vec(),
        uuid: UUID_TEXT.parse().unwrap(),
    }
}

fn data(blocks: usize) -> Vec<u8> {
    Noise(42).bytes(blocks * BLOCK_LENGTH)
}

fn built(data: &[u8], options: &VerityOptions) -> (Vec<u8>, RootHash) {
    let mut tree = Vec::new();
    let built = build(data, data.len() as u64, &mut tree, options).unwrap();
    assert_eq!(built.length_bytes, tree.len() as u64);
    assert_eq!(
        tree_length_bytes(data.len() as u64).unwrap(),
        tree.len() as u64
    );
    (tree, built.root_hash)
}

/// Zero, one, two and three levels, full and partial blocks.
#[test]
fn trees_are_those_of_veritysetup() {
    for blocks in [1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1] {
        let data = data(blocks);
        let (tree, root_hash) = built(&data, &options());
        let data_file = file_of(&data);
        let theirs = file_of(&[]);
        let printed = run_tool(
            "cryptsetup-bin",
            Command::new("veritysetup")
                .arg("format")
                .arg(format!("--salt={SALT_TEXT}"))
                .arg(format!("--uuid={UUID_TEXT}"))
                .args([data_file.path(), theirs.path()]),
        );
        assert!(
            printed.contains(&root_hash.to_string()),
            "{blocks} blocks: {printed}"
        );
        assert!(
            std::fs::read(theirs.path()).unwrap() == tree,
            "{blocks} blocks: other bytes"
        );
    }
}

#[test]
fn veritysetup_verifies_our_trees() {
    for blocks in [1, 128, 129, 128 * 128 + 1] {
        let data = data(blocks);
        let (tree, root_hash) = built(
            &data,
            &VerityOptions {
                salt: vec![],
                ..options()
            },
        );
        let (data_file, tree_file) = (file_of(&data), file_of(&tree));
        let mut command = Command::new("veritysetup");
        command
            .arg("verify")
            .args([data_file.path(), tree_file.path()]);
        run_tool("cryptsetup-bin", command.arg(root_hash.to_string()));
    }
}

#[test]
fn intact_data_verifies_and_tells_its_superblock() {
    for blocks in [1, 2, 128, 129, 128 * 128 + 1] {
        let data = data(blocks);
        let (tree, root_hash) = built(&data, &options());
        let superblock = verify(&data[..], &tree[..], &root_hash).unwrap();
        let VerityOptions { salt, uuid } = options();
        assert_eq!(
            superblock,
            Superblock {
                uuid,
                data_blocks: blocks as u64,
                salt
            }
        );
    }
}

#[test]
fn the_first_bad_block_of_data_is_named() {
    let mut data = data(300);
    let (tree, root_hash) = built(&data, &options());
    data[200 * BLOCK_LENGTH + 17] ^= 1;
    data[299 * BLOCK_LENGTH] ^= 1;
    let error = verify(&data[..], &tree[..], &root_hash).unwrap_err();
    assert!(
        matches!(error, VerityError::DataMismatch { block: 200 }),
        "{error}"
    );
    assert!(
        error.to_string().contains("block 200 (at byte 819200)"),
        "{error}"
    );
}

#[test]
fn a_bad_block_of_the_tree_is_named() {
    let data = data(300);
    let (tree, root_hash) = built(&data, &options());
    let verify_damaged = |offset: usize| {
        let mut damaged = tree.clone();
        damaged[offset] ^= 1;
        verify(&data[..], &damaged[..], &root_hash).unwrap_err()
    };
    // Superblock, one block above, three blocks of the data's digests; even their padding counts.
    assert!(matches!(verify_damaged(0), VerityError::NoSuperblock));
    assert!(matches!(verify_damaged(88), VerityError::RootMismatch));
    assert!(matches!(
        verify_damaged(4096 + 96),
        VerityError::RootMismatch
    ));
    for offset in [3 * 4096, 5 * 4096 - 1] {
        let block_start = offset as u64 / 4096 * 4096;
        let error = verify_damaged(offset);
        let VerityError::TreeMismatch { offset_bytes } = error else {
            panic!("{error}")
        };
        assert_eq!(offset_bytes, block_start);
    }
}

#[test]
fn another_root_hash_is_refused() {
    for blocks in [1, 2, 300] {
        let data = data(blocks);
        let (tree, mut root_hash) = built(&data, &options());
        root_hash.0[31] ^= 1;
        let error = verify(&data[..], &tree[..], &root_hash).unwrap_err();
        assert!(matches!(error, VerityError::RootMismatch), "{error}");
    }
}

#[test]
fn digests_hashed_in_parts_give_the_same_tree() {
    let data = data(129);
    let (front, back) = data.split_at(77 * BLOCK_LENGTH);
    let salt = options().salt;
    let back: Vec<_> = hash_blocks(&salt, back).collect();
    let digests = hash_blocks(&salt, front).chain(back).collect();
    let mut tree = Vec::new();
    let root_hash = build_from_digests(digests, &mut tree, &options())
        .unwrap()
        .root_hash;
    assert_eq!((tree, root_hash), built(&data, &options()));
}

#[test]
fn short_streams_and_odd_lengths_are_errors() {
    let data = data(2);
    let tree_of = |length| build(&data[..], length, Vec::new(), &options());
    assert!(matches!(tree_of(0), Err(VerityError::DataLength(0))));
    assert!(matches!(tree_of(4097), Err(VerityError::DataLength(4097))));
    assert!(matches!(
        tree_of(3 * 4096),
        Err(VerityError::ReadData {
            offset_bytes: 0,
            ..
        })
    ));
    let (tree, root_hash) = built(&data, &options());
    let short = verify(&data[..4096], &tree[..], &root_hash);
    assert!(matches!(short, Err(VerityError::ReadData { .. })));
    let short = verify(&data[..], &tree[..5000], &root_hash);
    assert!(matches!(short, Err(VerityError::ReadTree(_))));
}

#[test]
fn superblocks_round_trip() {
    let superblock = Superblock {
        uuid: options().uuid,
        data_blocks: 1234,
        salt: vec![9; 256],
    };
    assert_eq!(
        Superblock::parse(&superblock.to_bytes()).unwrap(),
        superblock
    );
    let long = VerityOptions {
        salt: vec![9; 257],
        ..options()
    };
    let error = build(&data(1)[..], 4096, Vec::new(), &long).unwrap_err();
    assert!(matches!(error, VerityError::SaltLength(257)));
}

#[test]
fn superblocks_of_other_kinds_are_refused() {
    let bytes = Superblock {
        uuid: options().uuid,
        data_blocks: 1,
        salt: vec![],
    }
    .to_bytes();
    for (offset, value, message) in [
        (8, 2, "version is 2, not 1"),
        (12, 0, "hash type is 0, not 1"),
        (35, b'5', "algorithm is sha556, not sha256"),
        (65, 2, "data block size is 512, not 4096"),
        (69, 8, "hash block size is 2048, not 4096"),
        (72, 0, "data_blocks is 0"),
        (79, 1, "data_blocks is 72057594037927937"),
        (81, 2, "512 bytes is longer"),
    ] {
        let mut bytes = bytes;
        bytes[offset] = value;
        let error = Superblock::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(matches!(
        Superblock::parse(&bytes[..511]),
        Err(VerityError::NoSuperblock)
    ));
}

#[test]
fn table_parameters_are_as_the_kernel_documents() {
    let root_hash: RootHash = SALT_TEXT.parse().unwrap();
    let uuid = uuid!("01234567-89ab-cdef-0123-456789abcdef");
    let mut superblock = Superblock {
        uuid,
        data_blocks: 77,
        salt: vec![0xa, 0xbc],
    };
    let with_options = ["restart_on_corruption", "panic_on_error"];
    assert_eq!(
        table_parameters(&superblock, &root_hash, "254:1", "/dev/vda3", &with_options),
        format!(
            "1 254:1 /dev/vda3 4096 4096 77 1 sha256 {SALT_TEXT} 0abc \
             2 restart_on_corruption panic_on_error"
        )
    );
    superblock.salt.clear();
    assert_eq!(
        table_parameters(&superblock, &root_hash, "/dev/a", "/dev/b", &[]),
        format!("1 /dev/a /dev/b 4096 4096 77 1 sha256 {SALT_TEXT} -")
    );
}
