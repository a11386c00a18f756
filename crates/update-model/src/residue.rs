//! What a static delta holds: the blocks of a new root that the old one does not have.
//!
//! Both sides derive the lists from the two hash trees, so no list is transmitted. The old release's
//! blocks that the new one lacks are the compressor's prefix: they are the earlier versions of what
//! changed, and far fewer than the whole old root.
//!
//! Does not compress, and does not read blocks.

use std::collections::HashSet;

use disk_format::verity::Digest;

/// Numbers of blocks, counted from 0, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Residue {
    /// Blocks of the old root that are nowhere in the new one, each contents once: the prefix.
    pub prefix: Vec<u64>,
    /// Blocks of the new root that are nowhere in the old one, each contents once: the contents.
    pub contents: Vec<u64>,
}

/// The residue between two roots, from the digests of their blocks under one salt.
pub fn residue(old: &[Digest], new: &[Digest]) -> Residue {
    Residue {
        prefix: only_in(old, new),
        contents: only_in(new, old),
    }
}

fn only_in(these: &[Digest], others: &[Digest]) -> Vec<u64> {
    let mut seen: HashSet<&Digest> = others.iter().collect();
    let mut blocks = Vec::new();
    for (block, digest) in (0..).zip(these) {
        if seen.insert(digest) {
            blocks.push(block);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contents_stands_once() {
        let digests = |names: &[u8]| names.iter().map(|name| [*name; 32]).collect::<Vec<_>>();
        let residue = residue(&digests(b"abccxx"), &digests(b"bdedaff"));
        assert_eq!(residue.prefix, [2, 4]);
        assert_eq!(residue.contents, [1, 2, 5]);
    }
}
