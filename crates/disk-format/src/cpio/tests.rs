//! Archives against the program `cpio` in both directions, and malformed ones.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::*;
use crate::test_tools::run_tool;

const MODIFIED_SECONDS: u32 = 1_700_000_000;

fn archive() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), MODIFIED_SECONDS);
    writer.directory("dev", 0o755).unwrap();
    writer.device_node("dev/console", 0o600, 5, 1).unwrap();
    writer.file("init", 0o755, b"#!/bin/sh\n").unwrap();
    writer.file("empty", 0o644, b"").unwrap();
    writer.symlink("bin", "usr/bin").unwrap();
    writer.finish().unwrap()
}

fn entry<'a>(path: &str, mode: u32, kind: EntryKind<'a>) -> Entry<'a> {
    Entry {
        path: path.to_owned(),
        mode,
        modified_seconds: MODIFIED_SECONDS,
        kind,
    }
}

/// Runs `cpio` with these arguments, feeding it `input`.
fn cpio(arguments: &[&str], directory: &std::path::Path, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("cpio")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run cpio ({error}): install the package cpio"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "cpio {arguments:?}: {}",
        output.status
    );
    output.stdout
}

#[test]
fn archives_round_trip() {
    let expected = [
        entry("dev", 0o755, EntryKind::Directory),
        entry("dev/console", 0o600, EntryKind::CharacterDevice(5, 1)),
        entry("init", 0o755, EntryKind::File(b"#!/bin/sh\n")),
        entry("empty", 0o644, EntryKind::File(b"")),
        entry("bin", 0o777, EntryKind::Symlink("usr/bin".to_owned())),
    ];
    assert_eq!(entries(&archive()).unwrap(), expected);
    assert_eq!(archive(), archive());
}

#[test]
fn cpio_lists_our_archive() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("archive"), archive()).unwrap();
    let mut command = Command::new("cpio");
    command
        .args(["-tv", "--numeric-uid-gid", "-F", "archive"])
        .env("TZ", "UTC")
        .env("LC_ALL", "C");
    let listing = run_tool("cpio", command.current_dir(directory.path()));
    let lines: Vec<Vec<&str>> = listing
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 5, "{listing}");
    let date = ["Nov", "14", "2023"];
    assert_eq!(
        lines[0],
        [&["drwxr-xr-x", "2", "0", "0", "0"], &date[..], &["dev"]].concat()
    );
    let device = ["crw-------", "1", "0", "0", "5,", "1"];
    assert_eq!(lines[1], [&device, &date[..], &["dev/console"]].concat());
    assert_eq!(
        lines[2],
        [&["-rwxr-xr-x", "1", "0", "0", "10"], &date[..], &["init"]].concat()
    );
    assert!(listing.ends_with("bin -> usr/bin\n"), "{listing}");
}

#[test]
fn cpio_unpacks_our_files() {
    let directory = tempfile::tempdir().unwrap();
    // Device nodes need root.
    let patterns = ["-id", "--quiet", "init", "empty", "bin", "dev"];
    cpio(&patterns, directory.path(), &archive());
    let init = directory.path().join("init");
    assert_eq!(fs::read(&init).unwrap(), b"#!/bin/sh\n");
    assert_eq!(
        fs::metadata(&init).unwrap().permissions().mode() & 0o777,
        0o755
    );
    let target = fs::read_link(directory.path().join("bin")).unwrap();
    assert_eq!(target.to_str(), Some("usr/bin"));
    assert!(directory.path().join("dev").is_dir());
}

#[test]
fn we_read_an_archive_of_cpio() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("a")).unwrap();
    fs::write(directory.path().join("a/odd"), b"12345").unwrap();
    std::os::unix::fs::symlink("odd", directory.path().join("a/link")).unwrap();
    let archive = cpio(
        &["-o", "-H", "newc", "--quiet"],
        directory.path(),
        b"a\na/odd\na/link\n",
    );
    let read = entries(&archive).unwrap();
    let kinds: Vec<_> = read
        .into_iter()
        .map(|entry| (entry.path, entry.kind))
        .collect();
    let expected = [
        ("a".to_owned(), EntryKind::Directory),
        ("a/odd".to_owned(), EntryKind::File(b"12345")),
        ("a/link".to_owned(), EntryKind::Symlink("odd".to_owned())),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn concatenated_archives_are_one() {
    let mut both = archive();
    both.extend_from_slice(&[0; 512]);
    both.extend_from_slice(&archive());
    assert_eq!(entries(&both).unwrap().len(), 10);
}

#[test]
fn paths_that_the_kernel_would_drop_are_refused() {
    let mut writer = Writer::new(Vec::new(), 0);
    writer.directory("a", 0o755).unwrap();
    writer.file("f", 0o644, b"").unwrap();
    for path in [
        "",
        "/a",
        "a/",
        "a//b",
        "./a",
        "a/../b",
        "TRAILER!!!",
        "nul\0",
    ] {
        let error = writer.file(path, 0o644, b"").unwrap_err();
        assert!(matches!(error, CpioError::Path(_)), "{path}: {error}");
    }
    assert!(matches!(
        writer.directory("a", 0o755),
        Err(CpioError::Duplicate(_))
    ));
    assert!(matches!(
        writer.file("b/c", 0o644, b""),
        Err(CpioError::MissingParent(_))
    ));
    assert!(matches!(
        writer.file("f/c", 0o644, b""),
        Err(CpioError::MissingParent(_))
    ));
    writer.file("a/c", 0o644, b"").unwrap();
}

#[test]
fn every_truncation_is_noticed() {
    let archive = archive();
    for length in 0..archive.len() - 3 {
        assert!(entries(&archive[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn malformed_headers_are_refused() {
    let damaged = |offset: usize, value: u8| {
        let mut archive = archive();
        archive[offset] = value;
        entries(&archive).unwrap_err()
    };
    assert!(matches!(
        damaged(0, b'1'),
        CpioError::BadHeader { offset_bytes: 0 }
    ));
    assert!(matches!(
        damaged(20, b'x'),
        CpioError::BadHeader { offset_bytes: 0 }
    ));
    assert!(matches!(
        damaged(54, b'f'),
        CpioError::CutShort { offset_bytes: 0 }
    ));
    assert!(matches!(
        damaged(110, 0xff),
        CpioError::BadName { offset_bytes: 0 }
    ));
    assert!(matches!(
        damaged(113, b'x'),
        CpioError::BadName { offset_bytes: 0 }
    ));
    let error = entries(b"\x28\xb5\x2f\xfd").unwrap_err();
    assert!(matches!(error, CpioError::CutShort { .. }), "{error}");
}
