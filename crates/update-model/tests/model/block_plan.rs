//! The plan of a block delta, executed on blocks in memory: the target becomes the new root.

use disk_format::verity::{Digest, hash_blocks};
use proptest::collection::vec;
use proptest::prelude::*;
use seekable_zstd::SeekTable;
use update_model::block_plan::{Local, plan};
use update_model::residue::residue;

const BLOCK: usize = 4096;

/// Blocks that all hold one byte each.
fn blocks(names: &[u8]) -> Vec<Vec<u8>> {
    names.iter().map(|name| vec![*name; BLOCK]).collect()
}

/// A block's number as an index.
fn index(block: u64) -> usize {
    usize::try_from(block).expect("in memory")
}

fn digests(blocks: &[Vec<u8>]) -> Vec<Digest> {
    hash_blocks(b"salt", &blocks.concat()).collect()
}

/// Frames of so many blocks, each compressed to so many bytes as its number says.
fn frames(block_count: usize, per_frame: usize) -> SeekTable {
    let mut table = SeekTable::default();
    for number in 0..block_count.div_ceil(per_frame) {
        let length = (block_count - number * per_frame).min(per_frame) * BLOCK;
        let compressed = 10 + u32::try_from(number % 7).unwrap();
        table
            .push(compressed, u32::try_from(length).unwrap())
            .unwrap();
    }
    table
}

proptest! {
    #[test]
    fn the_target_becomes_the_new_root(
        new in vec(0..12_u8, 1..60),
        target in vec(0..12_u8, 0..60),
        others in vec(vec(0..12_u8, 0..40), 0..3),
        per_frame in 1..5_usize,
        gap in 0..40_u64,
    ) {
        let new_blocks = blocks(&new);
        let mut target_blocks = blocks(&target);
        let other_blocks: Vec<_> = others.iter().map(|names| blocks(names)).collect();
        let (new_digests, target_digests) = (digests(&new_blocks), digests(&target_blocks));
        let other_digests: Vec<_> = other_blocks.iter().map(|blocks| digests(blocks)).collect();
        let borrowed: Vec<&[Digest]> = other_digests.iter().map(Vec::as_slice).collect();
        let table = frames(new.len(), per_frame);
        let local = Local { target: &target_digests, others: &borrowed };
        let plan = plan(&new_digests, local, &table, gap);

        target_blocks.resize(new.len().max(target.len()), vec![0xff; BLOCK]);
        let mut touched = 0;
        for copy in &plan.moves {
            for offset in 0..copy.count {
                let (from, to) = (index(copy.from + offset), index(copy.to + offset));
                prop_assert!(from > to);
                target_blocks[to] = target_blocks[from].clone();
                touched += 1;
            }
        }
        for (place, copy) in &plan.copies {
            for offset in 0..copy.count {
                let (from, to) = (index(copy.from + offset), index(copy.to + offset));
                target_blocks[to] = other_blocks[*place][from].clone();
                touched += 1;
            }
        }
        let mut fetched = 0;
        let mut end = 0;
        for fetch in &plan.fetches {
            prop_assert!(fetch.bytes.start >= end, "fetches are in order and apart");
            end = fetch.bytes.end;
            for frame in &table.frames()[fetch.frames.clone()] {
                prop_assert!(fetch.bytes.contains(&frame.compressed_offset));
                let first = usize::try_from(frame.offset).unwrap() / BLOCK;
                for to in first..first + frame.length as usize / BLOCK {
                    target_blocks[to] = new_blocks[to].clone();
                    fetched += 1;
                }
            }
        }
        prop_assert_eq!(&target_blocks[..new.len()], &new_blocks[..]);
        prop_assert!(plan.in_place + touched + fetched >= new.len() as u64);
        // Nothing is fetched that is in another place.
        let known = |name: &u8| others.iter().any(|names| names.contains(name));
        if new.iter().all(known) {
            prop_assert_eq!(plan.fetched_bytes(), 0);
        }
    }

    /// The new root is the old one's blocks and the residue's contents.
    #[test]
    fn the_residue_completes_the_old_root(old in vec(0..20_u8, 1..60), new in vec(0..20_u8, 1..60)) {
        let (old_digests, new_digests) = (digests(&blocks(&old)), digests(&blocks(&new)));
        let residue = residue(&old_digests, &new_digests);
        for (place, name) in new.iter().enumerate() {
            let in_residue = residue.contents.iter().filter(|block| new[index(**block)] == *name).count();
            prop_assert_eq!(in_residue, usize::from(!old.contains(name)), "block {}", place);
        }
        for block in &residue.prefix {
            prop_assert!(!new.contains(&old[index(*block)]));
        }
    }
}

#[test]
fn frames_with_little_between_them_are_one_request() {
    let new = digests(&blocks(&[1, 0, 2, 0, 0, 0, 3]));
    let other = digests(&blocks(&[0]));
    let local = Local {
        target: &[],
        others: &[&other],
    };
    let table = frames(7, 1);
    let count = |gap| plan(&new, local, &table, gap).fetches.len();
    assert_eq!((count(0), count(12), count(1000)), (3, 2, 1));
}
