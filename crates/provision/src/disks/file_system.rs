//! A file system on a device that nobody uses: made, unless the one that is wanted is there.
//!
//! It is made and recognized by the image's own programs.

use std::io;
use std::path::Path;
use std::process::Command;

use provision_model::plan::{FileSystem, FileSystemFormat};

/// What is on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// As blkid(8) calls it.
    kind: String,
    label: String,
    uuid: String,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is there.
    Keep,
    /// It is made, over what is there.
    Make,
}

/// What is on a device; `None` if nothing that is known.
pub(super) fn look(device: &Path) -> io::Result<Option<Contents>> {
    let output = Command::new("/usr/sbin/blkid")
        .args(["-p", "-o", "export"])
        .arg(device)
        .output()?;
    match output.status.code() {
        Some(0) => Ok(contents(&String::from_utf8_lossy(&output.stdout))),
        // Nothing was found.
        Some(2) => Ok(None),
        _ => Err(failed("blkid", &output)),
    }
}

/// A table of partitions counts where there is no file system: FAT's first sector looks like one, too.
fn contents(text: &str) -> Option<Contents> {
    let mut contents = Contents::default();
    let mut table = String::new();
    for line in text.lines() {
        match line.split_once('=') {
            Some(("TYPE", kind)) => kind.clone_into(&mut contents.kind),
            Some(("PTTYPE", kind)) => kind.clone_into(&mut table),
            Some(("LABEL", label)) => contents.label = label.replace('\\', ""),
            Some(("UUID", uuid)) => uuid.clone_into(&mut contents.uuid),
            _ => {}
        }
    }
    if contents.kind.is_empty() {
        contents.kind = table;
    }
    (!contents.kind.is_empty()).then_some(contents)
}

/// As Ignition decides.
pub(super) fn decide(wanted: &FileSystem, found: Option<&Contents>) -> Result<Decision, String> {
    let Some(found) = found.filter(|_| !wanted.is_wiped) else {
        return Ok(Decision::Make);
    };
    let is = |wanted: &Option<String>, found: &str| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
    };
    if found.kind == wanted.format.to_string()
        && is(&wanted.label, &found.label)
        && is(&wanted.uuid, &found.uuid)
    {
        return Ok(Decision::Keep);
    }
    let label = if found.label.is_empty() {
        String::new()
    } else {
        format!(" with the label {}", found.label)
    };
    Err(format!(
        "{} has {}{label} already: wipeFilesystem replaces it",
        wanted.device, found.kind
    ))
}

/// Makes it, whatever is there.
pub(super) fn make(wanted: &FileSystem, device: &Path) -> io::Result<()> {
    let (program, force, label, uuid) = match wanted.format {
        FileSystemFormat::Ext4 => ("/usr/sbin/mkfs.ext4", &["-q", "-F"][..], "-L", "-U"),
        FileSystemFormat::Vfat => ("/usr/sbin/mkfs.vfat", &["-I"][..], "-n", "-i"),
        FileSystemFormat::Swap => ("/usr/sbin/mkswap", &["-f"][..], "-L", "-U"),
    };
    let mut command = Command::new(program);
    command.args(force);
    if let Some(text) = &wanted.label {
        command.args([label, text]);
    }
    if let Some(text) = &wanted.uuid {
        let plain = text.replace('-', "");
        let is_fat = wanted.format == FileSystemFormat::Vfat;
        command.args([uuid, if is_fat { &plain } else { text }]);
    }
    let output = command.args(&wanted.options).arg(device).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(program, &output))
}

fn failed(program: &str, output: &std::process::Output) -> io::Error {
    let said = String::from_utf8_lossy(&output.stderr);
    io::Error::other(format!("{program}: {}: {}", output.status, said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> FileSystem {
        FileSystem {
            device: "/dev/vdb1".to_owned(),
            format: FileSystemFormat::Ext4,
            label: Some("data".to_owned()),
            uuid: None,
            options: Vec::new(),
            is_wiped: false,
            path: None,
        }
    }

    #[test]
    fn what_is_there_is_kept_replaced_or_in_the_way() {
        let found = contents("DEVNAME=/dev/vdb1\nLABEL=data\nUUID=1-2\nTYPE=ext4\n");
        let decide = |wanted: &FileSystem| decide(wanted, found.as_ref());
        assert_eq!(decide(&wanted()), Ok(Decision::Keep));
        let other = FileSystem {
            label: Some("other".to_owned()),
            ..wanted()
        };
        let error = decide(&other).unwrap_err();
        assert!(error.contains("ext4 with the label data"), "{error}");
        let wiped = FileSystem {
            is_wiped: true,
            ..other
        };
        assert_eq!(decide(&wiped), Ok(Decision::Make));
        assert_eq!(super::decide(&wanted(), None), Ok(Decision::Make));
        assert_eq!(contents("AMBIVALENT=x\n"), None);
    }

    /// By the programs of this machine, which are the image's.
    #[test]
    fn one_is_made_in_a_file_and_recognized() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        assert_eq!(look(file.path()).unwrap(), None);
        make(&wanted(), file.path()).unwrap();
        let found = look(file.path()).unwrap();
        assert_eq!(decide(&wanted(), found.as_ref()), Ok(Decision::Keep));
        let swap = FileSystem {
            format: FileSystemFormat::Swap,
            ..wanted()
        };
        assert!(decide(&swap, found.as_ref()).is_err());
        make(&swap, file.path()).unwrap();
        let found = look(file.path()).unwrap();
        assert_eq!(decide(&swap, found.as_ref()), Ok(Decision::Keep));
    }
}
