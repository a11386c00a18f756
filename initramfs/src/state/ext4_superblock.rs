//! Recognises an ext4 file system by its first bytes, and whether it should be checked.
//!
//! Pure, and far from a driver: it reads seven fields. Source of the layout: the kernel's
//! `Documentation/filesystems/ext4/super.rst`.

/// Where the superblock starts, from the start of the partition.
const START: usize = 1024;
const LENGTH: usize = 1024;
const MAGIC: u16 = 0xef53;
const INCOMPATIBLE_64BIT: u32 = 0x80;
const STATE_CLEAN: u16 = 1;
const STATE_ERRORS: u16 = 2;

/// What the start of a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing but zeros.
    Blank,
    /// An ext2, ext3 or ext4 superblock.
    Ext4(Ext4Superblock),
    /// Something, but no such superblock.
    Other,
}

/// The fields that matter before mounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ext4Superblock {
    /// Length of the file system in bytes.
    pub(crate) length_bytes: u64,
    /// Length of a block in bytes.
    pub(crate) block_bytes: u64,
    /// Whether e2fsck has something to do that replaying the journal does not.
    pub(crate) needs_check: bool,
}

/// Looks at the first bytes of a partition; `head` should be long enough that a file system of
/// any other kind would show, say 1 MiB.
pub(crate) fn recognise(head: &[u8]) -> Found {
    if head.iter().all(|byte| *byte == 0) {
        return Found::Blank;
    }
    let superblock = head.get(START..START + LENGTH).and_then(parse);
    superblock.map_or(Found::Other, Found::Ext4)
}

fn parse(superblock: &[u8]) -> Option<Ext4Superblock> {
    let u16_at = |offset: usize| u16::from_le_bytes([superblock[offset], superblock[offset + 1]]);
    let u32_at = |offset: usize| u32::from(u16_at(offset)) | u32::from(u16_at(offset + 2)) << 16;
    let block_bytes = 1024_u64
        .checked_shl(u32_at(0x18))
        .filter(|bytes| *bytes <= 65536)?;
    if u16_at(0x38) != MAGIC || block_bytes == 0 {
        return None;
    }
    let high = if u32_at(0x60) & INCOMPATIBLE_64BIT == 0 {
        0
    } else {
        u32_at(0x150)
    };
    let blocks = u64::from(high) << 32 | u64::from(u32_at(0x4));
    let state = u16_at(0x3a);
    let (mounts, most_mounts) = (u16_at(0x34), u16_at(0x36));
    // The limit is signed; 0 and -1 mean that mounts are not counted.
    let too_many_mounts = (1..=0x7fff).contains(&most_mounts) && mounts >= most_mounts;
    let recorded_errors = u32_at(0x194) != 0;
    Some(Ext4Superblock {
        length_bytes: blocks.checked_mul(block_bytes)?,
        block_bytes,
        needs_check: state & STATE_CLEAN == 0
            || state & STATE_ERRORS != 0
            || recorded_errors
            || too_many_mounts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4096-byte blocks, 64-bit, 2^32 + 16 blocks, clean.
    fn head() -> Vec<u8> {
        let mut head = vec![0; 8192];
        put(&mut head, 0x04, &16_u32.to_le_bytes());
        put(&mut head, 0x18, &2_u32.to_le_bytes());
        put(&mut head, 0x36, &0xffff_u16.to_le_bytes());
        put(&mut head, 0x38, &MAGIC.to_le_bytes());
        put(&mut head, 0x3a, &1_u16.to_le_bytes());
        put(&mut head, 0x60, &0x2c2_u32.to_le_bytes());
        put(&mut head, 0x150, &1_u32.to_le_bytes());
        head
    }

    fn put(head: &mut [u8], offset: usize, bytes: &[u8]) {
        head[START + offset..START + offset + bytes.len()].copy_from_slice(bytes);
    }

    fn needs_check(offset: usize, bytes: &[u8]) -> bool {
        let mut head = head();
        put(&mut head, offset, bytes);
        match recognise(&head) {
            Found::Ext4(superblock) => superblock.needs_check,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blank_and_foreign_contents_are_told_apart() {
        assert_eq!(recognise(&vec![0; 1 << 20]), Found::Blank);
        let mut late = vec![0; 1 << 20];
        late[0x10040] = b'_'; // where btrfs has its magic
        assert_eq!(recognise(&late), Found::Other);
        assert_eq!(recognise(b"LUKS\xba\xbe"), Found::Other);
        assert_eq!(recognise(&vec![0xff; 8192]), Found::Other);
    }

    #[test]
    fn the_length_is_read_with_its_high_half() {
        let expected = Ext4Superblock {
            length_bytes: ((1 << 32) + 16) * 4096,
            block_bytes: 4096,
            needs_check: false,
        };
        assert_eq!(recognise(&head()), Found::Ext4(expected));
    }

    #[test]
    fn the_high_half_counts_only_with_its_feature() {
        let mut head = head();
        put(&mut head, 0x60, &0x242_u32.to_le_bytes());
        let Found::Ext4(superblock) = recognise(&head) else {
            panic!("not recognised")
        };
        assert_eq!(superblock.length_bytes, 16 * 4096);
    }

    #[test]
    fn a_journal_to_replay_is_the_kernels_work() {
        assert!(!needs_check(0x60, &(0x2c2_u32 | 4).to_le_bytes()));
    }

    #[test]
    fn errors_and_an_unclean_state_need_a_check() {
        assert!(needs_check(0x3a, &0_u16.to_le_bytes()), "not clean");
        assert!(needs_check(0x3a, &3_u16.to_le_bytes()), "errors seen");
        assert!(needs_check(0x194, &1_u32.to_le_bytes()), "errors recorded");
    }

    #[test]
    fn a_mount_limit_is_obeyed_if_there_is_one() {
        assert!(!needs_check(0x34, &900_u16.to_le_bytes()), "-1 is no limit");
        assert!(needs_check(0x34, &[30, 0, 30, 0]));
        assert!(!needs_check(0x34, &[29, 0, 30, 0]));
        assert!(!needs_check(0x34, &[29, 0, 0, 0]));
    }

    #[test]
    fn absurd_block_sizes_are_not_ext4() {
        for log in [7_u32, 64, u32::MAX] {
            let mut head = head();
            put(&mut head, 0x18, &log.to_le_bytes());
            assert_eq!(recognise(&head), Found::Other, "{log}");
        }
    }
}
