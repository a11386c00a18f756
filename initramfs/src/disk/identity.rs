//! What a disk says of itself that no other says: its serial number and its world-wide identifier, from sysfs.
//!
//! udev, which makes links of them, does not run yet.
use std::fs;
use std::path::Path;

/// Of one disk; what it does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// As its maker numbers it.
    pub(crate) serial: Option<String>,
    /// As `eui.…`, `naa.…` or `t10.…`.
    pub(crate) wwid: Option<String>,
}

/// Of the disk with this kernel's name, below `/sys`.
pub(crate) fn of(sys: &Path, disk: &str) -> Identity {
    let folder = sys.join("block").join(disk);
    let text = |attribute: &str| clean(&fs::read(folder.join(attribute)).ok()?);
    let vital = || serial_page(&fs::read(folder.join("device/vpd_pg80")).ok()?);
    Identity {
        // virtio's; NVMe's and MMC's; SCSI's and ATA's.
        serial: text("serial")
            .or_else(|| text("device/serial"))
            .or_else(vital),
        // NVMe's; SCSI's and ATA's.
        wwid: text("wwid").or_else(|| text("device/wwid")),
    }
}

/// The page "unit serial number" of SCSI: its kind and its length, then the number.
fn serial_page(page: &[u8]) -> Option<String> {
    let (head, rest) = page.split_at_checked(4)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    clean(rest.get(..length)?)
}

/// Without blanks around it; `None` if it is empty or no text.
fn clean(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bus_has_its_own_place() {
        let sys = tempfile::tempdir().unwrap();
        let put = |disk: &str, attribute: &str, bytes: &[u8]| {
            let path = sys.path().join("block").join(disk).join(attribute);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        put("vdb", "serial", b"DATA 1\n");
        put("nvme0n1", "device/serial", b"S4EV           \n");
        put("nvme0n1", "wwid", b"eui.00253\n");
        put("sda", "device/vpd_pg80", b"\0\x80\0\x08  WD-1\0\0more");
        put("sda", "device/wwid", b"naa.5000c500\n");
        put("sdb", "device/vpd_pg80", b"\0\x80\0\x09short");
        put("vdc", "serial", b"\n");
        let found = |disk: &str| {
            let identity = of(sys.path(), disk);
            (identity.serial, identity.wwid)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found("vdb"), (some("DATA 1"), None));
        assert_eq!(found("nvme0n1"), (some("S4EV"), some("eui.00253")));
        assert_eq!(found("sda"), (some("WD-1"), some("naa.5000c500")));
        for nothing in ["sdb", "vdc", "vdd"] {
            assert_eq!(found(nothing), (None, None), "{nothing}");
        }
    }
}
