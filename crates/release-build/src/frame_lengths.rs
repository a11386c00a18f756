//! Where the root is cut into frames: at the edges of what changed, and rarely within.
//!
//! A machine that updates fetches every frame with a block that it has not. Frames that hold only blocks which an earlier
//! release lacks are fetched whole by whoever runs it, so they may be long, which compresses better; frames of what no
//! update since then has changed stay short, for machines that run something else.

use std::collections::HashSet;

use disk_format::verity::Digest;

/// Bytes of a block.
const BLOCK: usize = 4096;
/// Longest frame of what changed, in bytes: longer ones gain little, and are fetched again if a connection breaks.
const CHANGED_LENGTH: usize = 256 << 10;
/// So few blocks between two places that changed are fetched with them anyway, to save a request.
const BLOCKS_BETWEEN: usize = 2;
/// As many earlier releases are told apart.
const EARLIER_MAX: usize = 32;

/// Lengths of frames, in bytes, over a root whose blocks have the digests `new`.
///
/// `earlier` are the digests of the releases that machines come from, `usual` is the length of frames of what all of
/// them have: whole blocks.
pub fn frame_lengths(new: &[Digest], earlier: &[&[Digest]], usual: usize) -> Vec<usize> {
    let earlier = &earlier[..earlier.len().min(EARLIER_MAX)];
    let known: Vec<HashSet<&Digest>> = earlier.iter().map(|one| one.iter().collect()).collect();
    // Which of the earlier releases have a block, a bit each.
    let owners = |digest: &Digest| {
        let bits = known.iter().map(|one| u32::from(one.contains(digest)));
        bits.fold(0_u32, |owners, bit| owners << 1 | bit)
    };
    let all = known.iter().fold(0_u32, |all, _| all << 1 | 1);
    let owners = without_gaps(&new.iter().map(owners).collect::<Vec<_>>(), all);
    let mut lengths = Vec::new();
    for run in owners.chunk_by(|a, b| a == b) {
        let longest = if run[0] == all {
            usual
        } else {
            usual.max(CHANGED_LENGTH)
        };
        let frames = run.chunks((longest / BLOCK).max(1));
        lengths.extend(frames.map(|frame| frame.len() * BLOCK));
    }
    lengths
}

/// The same, where a few blocks that all have between two runs of the same owners belong to these.
fn without_gaps(owners: &[u32], all: u32) -> Vec<u32> {
    let runs: Vec<&[u32]> = owners.chunk_by(|a, b| a == b).collect();
    let mut filled: Vec<u32> = Vec::with_capacity(owners.len());
    for (index, run) in runs.iter().enumerate() {
        let next = runs.get(index + 1).map(|next| next[0]);
        let before = filled.last().copied();
        let is_short = run[0] == all && run.len() <= BLOCKS_BETWEEN;
        let is_gap = is_short && before.is_some() && before == next;
        let owner = before.filter(|_| is_gap).unwrap_or(run[0]);
        filled.extend(run.iter().map(|_| owner));
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(names: &str) -> Vec<Digest> {
        names.bytes().map(|name| [name; 32]).collect()
    }

    fn blocks(new: &str, earlier: &[&str]) -> Vec<usize> {
        let earlier: Vec<Vec<Digest>> = earlier.iter().map(|one| digests(one)).collect();
        let earlier: Vec<&[Digest]> = earlier.iter().map(Vec::as_slice).collect();
        let lengths = frame_lengths(&digests(new), &earlier, 2 * BLOCK);
        lengths.into_iter().map(|length| length / BLOCK).collect()
    }

    #[test]
    fn without_earlier_releases_all_are_of_the_usual_length() {
        assert_eq!(blocks("abcde", &[]), [2, 2, 1]);
        assert_eq!(blocks("", &[]), [0; 0]);
    }

    #[test]
    fn what_changed_is_cut_out_in_long_frames() {
        assert_eq!(blocks("abcXYZVWde", &["abcde"]), [2, 1, 5, 2]);
        let long = "X".repeat(100);
        assert_eq!(blocks(&format!("a{long}b"), &["ab"]), [1, 64, 36, 1]);
    }

    #[test]
    fn a_few_blocks_between_changes_go_with_them() {
        assert_eq!(blocks("abXXXbXcdXabcX", &["abcd"]), [2, 8, 2, 1, 1]);
        assert_eq!(blocks("aXb", &["ab"]), [1, 1, 1]);
    }

    #[test]
    fn what_some_have_and_others_not_is_apart() {
        assert_eq!(blocks("aaXXYYZZ", &["aXY", "aZY"]), [2, 2, 2, 2]);
        assert_eq!(blocks("XXXYYYY", &["", "Y"]), [3, 4]);
    }
}
