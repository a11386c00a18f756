//! The label of a file system, from its first bytes: those that config drives have.
//!
//! Sources: ECMA-119, 8.4; Microsoft's FAT specification, section 3.

/// How many bytes [`label`] wants to see.
pub const HEAD_LENGTH: usize = 0x8000 + 2048;
/// Where ISO 9660's first volume descriptor is.
const ISO_DESCRIPTOR: usize = 0x8000;
/// Boot sectors end with it.
const BOOT_SIGNATURE: &[u8] = &[0x55, 0xaa];

/// A file system and its label, without blanks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// As mount(2) has it.
    pub file_system: &'static str,
    /// The label.
    pub text: String,
}

/// The label in a device's first bytes, if it holds one of the file systems that are known.
pub fn label(head: &[u8]) -> Option<Label> {
    iso(head).or_else(|| fat(head))
}

fn iso(head: &[u8]) -> Option<Label> {
    let descriptor = head.get(ISO_DESCRIPTOR..)?;
    // Type 1, the primary one; then the standard's name.
    if descriptor.get(..6)? != b"\x01CD001" {
        return None;
    }
    labelled("iso9660", descriptor.get(40..72)?)
}

fn fat(head: &[u8]) -> Option<Label> {
    if head.get(510..512)? != BOOT_SIGNATURE {
        return None;
    }
    // FAT32 has its fields further back than FAT12 and FAT16.
    if head.get(82..87)? == b"FAT32" {
        return labelled("vfat", head.get(71..82)?);
    }
    if head.get(54..57)? == b"FAT" {
        return labelled("vfat", head.get(43..54)?);
    }
    None
}

fn labelled(file_system: &'static str, bytes: &[u8]) -> Option<Label> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.trim_matches([' ', '\0']).to_owned();
    Some(Label { file_system, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(head: &mut [u8], at: usize, bytes: &[u8]) {
        head[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn text(head: &[u8]) -> Option<(&'static str, String)> {
        label(head).map(|label| (label.file_system, label.text))
    }

    #[test]
    fn labels_of_every_kind() {
        let mut head = vec![0; HEAD_LENGTH];
        assert_eq!(text(&head), None);
        put(&mut head, 510, BOOT_SIGNATURE);
        assert_eq!(text(&head), None, "a partition table");
        put(&mut head, 43, b"CIDATA     FAT16   ");
        assert_eq!(text(&head), Some(("vfat", "CIDATA".to_owned())));
        put(&mut head, 71, b"CONFIG-2   FAT32   ");
        assert_eq!(text(&head), Some(("vfat", "CONFIG-2".to_owned())));
        put(&mut head, ISO_DESCRIPTOR, b"\x01CD001\x01");
        put(
            &mut head,
            ISO_DESCRIPTOR + 40,
            b"config-2                        ",
        );
        assert_eq!(text(&head), Some(("iso9660", "config-2".to_owned())));
    }

    #[test]
    fn short_heads_have_none() {
        for length in [0, 43, 511, ISO_DESCRIPTOR + 10] {
            assert_eq!(label(&vec![0xaa; length]), None, "{length}");
        }
    }
}
