//! Puts the entries `.` and `..` of every directory where FAT wants them.
//!
//! `fatfs` 0.3 writes a long name before each of the two, and has `..` of the root's children name
//! the root's cluster instead of 0; a directory that is moved keeps its old `..`. `fsck.vfat`
//! objects to all of that. Format: "FAT: General Overview of On-Disk Format", version 1.03. Does
//! not touch anything else, and handles FAT32 only.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

const ENTRY_LENGTH: usize = 32;
const ATTRIBUTES_OFFSET: usize = 11;
const DIRECTORY: u8 = 0x10;
const VOLUME_LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
const DELETED: u8 = 0xe5;
const END: u8 = 0;

type Entry = [u8; ENTRY_LENGTH];

/// Where things are, from the boot sector.
struct Geometry {
    cluster_bytes: u64,
    table_offset: u64,
    data_offset: u64,
    root_cluster: u32,
}

/// Corrects every directory below the root.
pub(super) fn correct<D: Read + Write + Seek>(device: &mut D) -> io::Result<()> {
    let geometry = Geometry::read(device)?;
    let mut seen = BTreeSet::new();
    let mut directories = vec![(geometry.root_cluster, None)];
    while let Some((cluster, parent)) = directories.pop() {
        // A damaged file system may have loops.
        if !seen.insert(cluster) {
            continue;
        }
        let entries = geometry.read_directory(device, cluster)?;
        if let Some(parent) = parent {
            correct_directory(device, &geometry, cluster, parent, &entries)?;
        }
        let children = entries.iter().filter(|entry| is_child(entry));
        directories.extend(children.map(|entry| (first_cluster(entry), Some(cluster))));
    }
    Ok(())
}

impl Geometry {
    fn read<D: Read + Seek>(device: &mut D) -> io::Result<Self> {
        let mut boot = [0; 512];
        device.seek(SeekFrom::Start(0))?;
        device.read_exact(&mut boot)?;
        let u16_at =
            |offset: usize| u64::from(u16::from_le_bytes([boot[offset], boot[offset + 1]]));
        let u32_at = |offset: usize| u16_at(offset) | u16_at(offset + 2) << 16;
        let sector_bytes = u16_at(11);
        let table_offset = u16_at(14) * sector_bytes;
        Ok(Self {
            cluster_bytes: sector_bytes * u64::from(boot[13]),
            table_offset,
            data_offset: table_offset + u64::from(boot[16]) * u32_at(36) * sector_bytes,
            root_cluster: u32::try_from(u32_at(44)).map_err(io::Error::other)?,
        })
    }

    fn cluster_offset(&self, cluster: u32) -> u64 {
        self.data_offset + u64::from(cluster).saturating_sub(2) * self.cluster_bytes
    }

    fn next_cluster<D: Read + Seek>(&self, device: &mut D, cluster: u32) -> io::Result<u32> {
        let mut entry = [0; 4];
        device.seek(SeekFrom::Start(self.table_offset + u64::from(cluster) * 4))?;
        device.read_exact(&mut entry)?;
        Ok(u32::from_le_bytes(entry) & 0x0fff_ffff)
    }

    /// The entries of a directory up to its end.
    fn read_directory<D: Read + Seek>(
        &self,
        device: &mut D,
        first_cluster: u32,
    ) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        let mut cluster = first_cluster;
        while (2..0x0fff_fff7).contains(&cluster) && seen.insert(cluster) {
            let mut contents = Vec::new();
            device.seek(SeekFrom::Start(self.cluster_offset(cluster)))?;
            device
                .by_ref()
                .take(self.cluster_bytes)
                .read_to_end(&mut contents)?;
            entries.extend_from_slice(contents.as_chunks().0);
            cluster = self.next_cluster(device, cluster)?;
        }
        let end = entries.iter().position(|entry| entry[0] == END);
        entries.truncate(end.unwrap_or(entries.len()));
        Ok(entries)
    }
}

fn is_child(entry: &Entry) -> bool {
    let kind = entry[ATTRIBUTES_OFFSET] & (DIRECTORY | VOLUME_LABEL);
    kind == DIRECTORY && entry[0] != DELETED && entry[0] != b'.'
}

fn first_cluster(entry: &Entry) -> u32 {
    u32::from_le_bytes([entry[26], entry[27], entry[20], entry[21]])
}

/// The entry, with another first cluster.
fn with_first_cluster(mut entry: Entry, cluster: u32) -> Entry {
    let bytes = cluster.to_le_bytes();
    entry[26..28].copy_from_slice(&bytes[..2]);
    entry[20..22].copy_from_slice(&bytes[2..]);
    entry
}

fn correct_directory<D: Write + Seek>(
    device: &mut D,
    geometry: &Geometry,
    cluster: u32,
    parent: u32,
    entries: &[Entry],
) -> io::Result<()> {
    let Some((dot, dot_dot, used)) = find_dots(entries) else {
        return Ok(());
    };
    let parent = if parent == geometry.root_cluster {
        0
    } else {
        parent
    };
    let mut corrected: Vec<Entry> = entries[..used].to_vec();
    for entry in &mut corrected {
        entry[0] = DELETED;
    }
    corrected[0] = *dot;
    corrected[1] = with_first_cluster(*dot_dot, parent);
    if corrected == entries[..used] {
        return Ok(());
    }
    device.seek(SeekFrom::Start(geometry.cluster_offset(cluster)))?;
    device.write_all(corrected.as_flattened())
}

/// The two entries, and how many there are with the long names before them; `None` if a directory
/// is neither as it should be nor as `fatfs` leaves it.
fn find_dots(entries: &[Entry]) -> Option<(&Entry, &Entry, usize)> {
    let is = |entry: &Entry, name: &[u8; 11]| entry.starts_with(name);
    let long = |entry: &Entry| entry[ATTRIBUTES_OFFSET] == LONG_NAME;
    match entries {
        [dot, dot_dot, ..] if is(dot, b".          ") && is(dot_dot, b"..         ") => {
            Some((dot, dot_dot, 2))
        }
        [first, dot, second, dot_dot, ..]
            if long(first)
                && long(second)
                && is(dot, b".          ")
                && is(dot_dot, b"..         ") =>
        {
            Some((dot, dot_dot, 4))
        }
        _ => None,
    }
}
