//! What is mounted where, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
//!
//! It mounts nothing and does not ask for free space.
use machine_facts::error::{Fact, FactError};
use machine_facts::system_root::SystemRoot;

const PATH: &str = "/proc/self/mountinfo";

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `MAJOR:MINOR` of the file system's device.
    pub(crate) device_numbers: String,
    /// Where it is mounted.
    pub(crate) path: String,
    /// The kind of file system.
    pub(crate) file_system: String,
    /// What was mounted, such as `/dev/dm-0`.
    pub(crate) source: String,
}

/// All mounts, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountTable(Vec<Mount>);

impl MountTable {
    /// Asks the kernel.
    pub(crate) fn read(root: &SystemRoot) -> Fact<Self> {
        Self::parse(&root.read_text(PATH)?)
    }

    fn parse(text: &str) -> Fact<Self> {
        let malformed = |line| FactError::malformed(PATH, format!("cannot understand {line:?}"));
        let mounts = text
            .lines()
            .map(|line| parse_line(line).ok_or_else(|| malformed(line)));
        Ok(Self(mounts.collect::<Fact<_>>()?))
    }

    /// The mount that is seen at this path: the last one of several.
    pub(crate) fn at(&self, path: &str) -> Fact<&Mount> {
        let found = self.0.iter().rfind(|m| m.path == path);
        found.ok_or_else(|| FactError::Absent(format!("nothing is mounted at {path}")))
    }
}

/// Six fields, any number of optional ones, a hyphen, three fields.
fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let mut after = after.split(' ');
    Some(Mount {
        device_numbers: before.next()?.to_owned(),
        path: unescape(before.nth(1)?),
        file_system: after.next()?.to_owned(),
        source: unescape(after.next()?),
    })
}

/// Blanks, tabs, line feeds and backslashes stand as a backslash and three octal digits.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..3).and_then(|d| u8::from_str_radix(d, 8).ok());
        if let Some(byte) = digits {
            out.push(char::from(byte));
            out.push_str(&part[3..]);
        } else {
            out.push('\\');
            out.push_str(part);
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three lines of a running system, and one of a folder with a blank.
    pub(crate) const TEXT: &str = "\
26 1 253:0 / / ro,relatime shared:1 - erofs /dev/dm-0 ro,user_xattr,acl,cache_strategy=readaround
40 26 254:7 / /state rw,noatime shared:20 - ext4 /dev/vda7 rw,errors=remount-ro
41 26 0:38 / /etc rw,relatime - overlay overlay rw,lowerdir=/etc
60 26 254:7 /home /mnt/a\\040b rw shared:2 master:1 - ext4 /dev/vda7 rw
";

    #[test]
    fn optional_fields_do_not_matter() {
        let table = MountTable::parse(TEXT).unwrap();
        let root = table.at("/").unwrap();
        assert_eq!(root.device_numbers, "253:0");
        assert_eq!(
            (root.file_system.as_str(), root.source.as_str()),
            ("erofs", "/dev/dm-0")
        );
        assert_eq!(table.at("/etc").unwrap().file_system, "overlay");
        assert_eq!(table.at("/mnt/a b").unwrap().source, "/dev/vda7");
    }

    #[test]
    fn the_last_mount_hides_the_others() {
        let text = format!("{TEXT}70 26 0:99 / / rw - tmpfs none rw\n");
        let table = MountTable::parse(&text).unwrap();
        assert_eq!(table.at("/").unwrap().file_system, "tmpfs");
    }

    #[test]
    fn absence_and_rubbish_are_errors() {
        let table = MountTable::parse(TEXT).unwrap();
        assert_eq!(
            table.at("/efi").unwrap_err().reason(),
            "nothing is mounted at /efi"
        );
        for text in [
            "26 1 253:0 / /",
            "26 1 253:0 / / ro - erofs",
            "26 1 253:0 - erofs /dev/x",
        ] {
            assert!(MountTable::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_are_octal() {
        assert_eq!(unescape(r"a\040b\134c"), r"a b\c");
        assert_eq!(unescape(r"a\9z\0"), r"a\9z\0");
    }
}
