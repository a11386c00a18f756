//! `keelson inspect`: what a disk image, a unified kernel image, an initramfs or a manifest consists of.

use anyhow::{Context as _, bail};
use serde::Serialize;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::ExitCode;

use disk_format::gpt::{PartitionTable, SectorSize};
use disk_format::{cpio, uki};

use crate::cli::InspectArguments;

/// A part of a file: a partition, a section or an archive member.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    start_bytes: u64,
    length_bytes: u64,
    detail: String,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    kind: &'static str,
    parts: Vec<Part>,
}

/// Runs the command.
pub(crate) fn run(arguments: &InspectArguments) -> anyhow::Result<ExitCode> {
    let findings = inspect(&arguments.file)
        .with_context(|| format!("cannot inspect {}", arguments.file.display()))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: {}", arguments.file.display(), findings.kind);
    for Part {
        name,
        start_bytes,
        length_bytes,
        detail,
    } in &findings.parts
    {
        println!("  {name:<16} {start_bytes:>12} {length_bytes:>12}  {detail}");
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(path: &Path) -> anyhow::Result<Findings> {
    let mut file = File::open(path)?;
    let mut head = [0; 6];
    file.read_exact(&mut head)
        .context("it is shorter than any format known here")?;
    file.seek(SeekFrom::Start(0))?;
    match &head {
        b"070701" => inspect_cpio(&std::fs::read(path)?),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => inspect_cpio(&zstd::decode_all(file)?),
        [b'M', b'Z', ..] => inspect_uki(&std::fs::read(path)?),
        [b'{', ..] => bail!("it is a manifest: name one of the files in it"),
        _ => inspect_disk(&mut file),
    }
}

fn inspect_disk(file: &mut File) -> anyhow::Result<Findings> {
    let table = PartitionTable::read(file, SectorSize::Bytes512)
        .or_else(|_| PartitionTable::read(file, SectorSize::Bytes4096))
        .context("it is no disk image, unified kernel image or initramfs")?;
    let parts = table
        .partitions
        .values()
        .map(|partition| Part {
            name: partition.name.clone(),
            start_bytes: partition.start_bytes,
            length_bytes: partition.length_bytes,
            detail: partition.guid.to_string(),
        })
        .collect();
    Ok(Findings {
        kind: "disk image",
        parts,
    })
}

fn inspect_uki(image: &[u8]) -> anyhow::Result<Findings> {
    let parts = uki::sections(image)?
        .into_iter()
        .map(|(name, range)| {
            let is_text = matches!(name.as_str(), ".cmdline" | ".uname");
            let text = String::from_utf8_lossy(&image[range.clone()])
                .trim_end_matches('\0')
                .to_owned();
            Part {
                name,
                start_bytes: range.start as u64,
                length_bytes: range.len() as u64,
                detail: if is_text { text } else { String::new() },
            }
        })
        .collect();
    Ok(Findings {
        kind: "unified kernel image",
        parts,
    })
}

fn inspect_cpio(archive: &[u8]) -> anyhow::Result<Findings> {
    let parts = cpio::entries(archive)?
        .into_iter()
        .map(|entry| Part {
            name: entry.path.clone(),
            start_bytes: 0,
            length_bytes: match entry.kind {
                cpio::EntryKind::File(contents) => contents.len() as u64,
                _ => 0,
            },
            detail: format!("{:o}", entry.mode),
        })
        .collect();
    Ok(Findings {
        kind: "initramfs",
        parts,
    })
}
