//! The block delta: which blocks of a new root are here already, and which frames bring the rest.
//!
//! Blocks are told apart by their digests in the hash trees, under one salt. The plan is made for one
//! order of execution, in which nothing is overwritten before it was read: first [`BlockPlan::moves`] within
//! the target from the lowest number up, then the rest in any order. Does not read blocks: whoever
//! executes it checks each against its digest as it lands, and plans again for those that were not as
//! promised.

use std::collections::HashMap;
use std::ops::Range;

use disk_format::verity::{BLOCK_LENGTH_BYTES, Digest};
use seekable_zstd::SeekTable;

/// What is known of blocks that are here.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// The digests of what stands in the target now, as far as they are known; a slot that was never
    /// written, or was not read, has none.
    pub target: &'a [Digest],
    /// The digests of blocks in other places, such as the running slot.
    pub others: &'a [&'a [Digest]],
}

/// Blocks from somewhere to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The first block to read.
    pub from: u64,
    /// The first block to write.
    pub to: u64,
    /// How many.
    pub count: u64,
}

/// Neighbouring frames, fetched with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Numbers of the frames.
    pub frames: Range<usize>,
    /// Bytes of the file of frames.
    pub bytes: Range<u64>,
}

/// How the target becomes the new root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockPlan {
    /// How many blocks are in place already.
    pub in_place: u64,
    /// From further up in the target, to be done in this order.
    pub moves: Vec<Copy>,
    /// From other places, by their number in [`Local::others`].
    pub copies: Vec<(usize, Copy)>,
    /// What must be fetched.
    pub fetches: Vec<Fetch>,
}

impl BlockPlan {
    /// Bytes to fetch.
    pub fn fetched_bytes(&self) -> u64 {
        let length = |fetch: &Fetch| fetch.bytes.end - fetch.bytes.start;
        self.fetches.iter().map(length).sum()
    }
}

/// Where a block can be had.
#[derive(Clone, Copy)]
enum Place {
    Target(u64),
    Other(usize, u64),
}

/// Plans for a new root whose blocks have the digests `new` and which `frames` holds compressed.
///
/// Frames with less than `gap_bytes` between them are fetched with one request. Of a frame table that is
/// shorter than the root, what it lacks is left out: check its length first.
pub fn plan(new: &[Digest], local: Local<'_>, frames: &SeekTable, gap_bytes: u64) -> BlockPlan {
    let places = places(local);
    let mut plan = BlockPlan::default();
    let mut missing: Vec<Range<usize>> = Vec::new();
    for (to, digest) in (0_u64..).zip(new) {
        if usize::try_from(to).is_ok_and(|to| local.target.get(to) == Some(digest)) {
            plan.in_place += 1;
            continue;
        }
        match best_place(places.get(digest), to) {
            Some(Place::Target(from)) => extend(&mut plan.moves, from, to),
            Some(Place::Other(place, from)) => extend_other(&mut plan.copies, place, from, to),
            None => {
                let bytes = to * BLOCK_LENGTH_BYTES..(to + 1) * BLOCK_LENGTH_BYTES;
                push_frames(&mut missing, frames.frames_of(bytes));
            }
        }
    }
    plan.fetches = merge(&missing, frames, gap_bytes);
    plan
}

/// Where each digest is: the last place in the target, the first elsewhere.
#[derive(Default, Clone, std::marker::Copy)]
struct Places {
    target: Option<u64>,
    other: Option<(usize, u64)>,
}

fn places(local: Local<'_>) -> HashMap<&Digest, Places> {
    let mut places: HashMap<&Digest, Places> = HashMap::new();
    for (block, digest) in (0..).zip(local.target) {
        places.entry(digest).or_default().target = Some(block);
    }
    for (place, digests) in local.others.iter().enumerate() {
        for (block, digest) in (0..).zip(*digests) {
            let other = &mut places.entry(digest).or_default().other;
            other.get_or_insert((place, block));
        }
    }
    places
}

/// Other places first: they stay as they are. In the target only what is further up than where it goes,
/// since the moves overwrite what is below.
fn best_place(places: Option<&Places>, to: u64) -> Option<Place> {
    let places = places?;
    if let Some((place, block)) = places.other {
        return Some(Place::Other(place, block));
    }
    let from = places.target.filter(|from| *from > to)?;
    Some(Place::Target(from))
}

fn extend(copies: &mut Vec<Copy>, from: u64, to: u64) {
    match copies.last_mut() {
        Some(last) if last.to + last.count == to && last.from + last.count == from => {
            last.count += 1;
        }
        _ => copies.push(Copy { from, to, count: 1 }),
    }
}

fn extend_other(copies: &mut Vec<(usize, Copy)>, place: usize, from: u64, to: u64) {
    match copies.last_mut() {
        Some((same, last))
            if *same == place && last.to + last.count == to && last.from + last.count == from =>
        {
            last.count += 1;
        }
        _ => copies.push((place, Copy { from, to, count: 1 })),
    }
}

/// Adds frames behind or among the last ones.
fn push_frames(missing: &mut Vec<Range<usize>>, frames: Range<usize>) {
    match missing.last_mut() {
        Some(last) if frames.start <= last.end => last.end = last.end.max(frames.end),
        _ if frames.is_empty() => {}
        _ => missing.push(frames),
    }
}

fn merge(missing: &[Range<usize>], frames: &SeekTable, gap_bytes: u64) -> Vec<Fetch> {
    let mut fetches: Vec<Fetch> = Vec::new();
    for range in missing {
        let (Some(first), Some(last)) = (
            frames.frames().get(range.start),
            frames.frames().get(range.end - 1),
        ) else {
            continue;
        };
        let end = last.compressed_offset + u64::from(last.compressed_length);
        match fetches.last_mut() {
            Some(before) if first.compressed_offset - before.bytes.end < gap_bytes => {
                before.frames.end = range.end;
                before.bytes.end = end;
            }
            _ => fetches.push(Fetch {
                frames: range.clone(),
                bytes: first.compressed_offset..end,
            }),
        }
    }
    fetches
}
