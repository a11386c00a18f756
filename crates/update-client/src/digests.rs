//! The digests of many blocks, by as many threads as there are processors.
//!
//! Blocks of zeros, which an unwritten slot is full of, are hashed once.

use std::thread;

use disk_format::verity::{BLOCK_LENGTH_BYTES, Digest, hash_blocks};

const BLOCK: usize = 4096;
/// Blocks for which it is worth starting a thread.
const BLOCKS_A_THREAD: usize = 64;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Of whole blocks, in order; what follows the last whole block is ignored.
pub(crate) fn digests(salt: &[u8], blocks: &[u8]) -> Vec<Digest> {
    debug_assert_eq!(BLOCK as u64, BLOCK_LENGTH_BYTES);
    let count = blocks.len() / BLOCK;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(count / BLOCKS_A_THREAD).max(1);
    let share = count.div_ceil(threads).max(1) * BLOCK;
    let Some((first, rest)) = blocks.split_at_checked(share).filter(|_| threads > 1) else {
        return some(salt, blocks);
    };
    thread::scope(|scope| {
        let parts = rest.chunks(share);
        let others: Vec<_> = parts.map(|part| scope.spawn(|| some(salt, part))).collect();
        let mut digests = some(salt, first);
        for other in others {
            let part = other.join();
            digests.extend(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        digests
    })
}

fn some(salt: &[u8], blocks: &[u8]) -> Vec<Digest> {
    let mut digests = Vec::with_capacity(blocks.len() / BLOCK);
    let mut zeros = None;
    for block in blocks.chunks_exact(BLOCK) {
        digests.push(if *block == ZEROS {
            *zeros.get_or_insert_with(|| one(salt, block))
        } else {
            one(salt, block)
        });
    }
    digests
}

fn one(salt: &[u8], block: &[u8]) -> Digest {
    hash_blocks(salt, block).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_give_what_one_gives() {
        for count in [0, 1, 127, 128, 129, 1000] {
            let number = |index: usize| u8::try_from(index / BLOCK % 251).unwrap();
            let mut blocks: Vec<u8> = (0..count * BLOCK).map(number).collect();
            blocks.extend([7; 100]);
            let expected: Vec<Digest> = hash_blocks(b"salt", &blocks).collect();
            assert_eq!(digests(b"salt", &blocks), expected, "{count} blocks");
        }
    }
}
