//! Whole configurations: each file below `tests/configurations` is valid, or has the problems beside it.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use provision_model::document::Document;
use provision_model::{Format, Problem, parse};
use serde_json::Value;

fn folder(format: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/configurations")
        .join(format)
        .join(kind)
}

/// The configurations of a folder, with their names.
fn configurations(format: &str, kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder(format, kind)).expect("the folder is there");
    let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind != "problems"));
    files.sort();
    assert!(!files.is_empty(), "no {kind} {format}");
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("readable");
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

fn text(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("{problem}\n"));
    lines.collect()
}

/// What is not as expected of a configuration.
fn difference(path: &Path, bytes: &[u8]) -> Option<String> {
    let expected = fs::read_to_string(path.with_extension("problems")).unwrap_or_default();
    let found = parse(bytes).err().unwrap_or_default();
    let is_as_expected = expected.lines().count() == found.len()
        && expected
            .lines()
            .zip(&found)
            .all(|(expected, found)| found.to_string().starts_with(expected));
    let name = path.file_name().unwrap_or_default().display();
    let found = text(&found);
    (!is_as_expected).then(|| format!("{name}: found\n{found}expected\n{expected}"))
}

fn check(name: &str, format: Format) {
    let valid = configurations(name, "valid");
    for (path, bytes) in &valid {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        assert_eq!(Format::of(text), format, "{}", path.display());
        assert!(
            !path.with_extension("problems").exists(),
            "{}",
            path.display()
        );
    }
    let invalid = configurations(name, "invalid");
    for (path, _) in &invalid {
        assert!(
            path.with_extension("problems").exists(),
            "{}",
            path.display()
        );
    }
    let all = valid.iter().chain(&invalid);
    let differences: Vec<_> = all
        .filter_map(|(path, bytes)| difference(path, bytes))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn ignition_after_the_specification() {
    check("ignition", Format::Ignition);
}

#[test]
fn cloud_configs() {
    check("cloud-config", Format::CloudConfig);
}

#[test]
fn keelsons_own() {
    check("keelson", Format::Keelson);
}

/// By name, as Butane writes its keys in Ignition.
fn field<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn the_readmes_example_is_what_its_source_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first-boot");
    let text = |name: &str| fs::read_to_string(folder.join(name)).expect("readable");
    let (ignition, butane) = (text("hello.ign"), text("hello.bu"));
    let (format, plan) = parse(ignition.as_bytes()).expect("it is right");
    assert_eq!(format, Format::Ignition);
    assert_eq!(
        (plan.users.len(), plan.files.len(), plan.units.len()),
        (1, 1, 1)
    );
    let ignition: Value = serde_json::from_str(&ignition).expect("JSON");
    let butane = Document::yaml(&butane).expect("YAML").value;
    for (made, source) in [
        ("/passwd/users/0/name", "/passwd/users/0/name"),
        (
            "/passwd/users/0/sshAuthorizedKeys",
            "/passwd/users/0/ssh_authorized_keys",
        ),
        ("/storage/files/0/path", "/storage/files/0/path"),
        ("/storage/files/0/mode", "/storage/files/0/mode"),
        (
            "/storage/files/0/contents/source",
            "/storage/files/0/contents/source",
        ),
        ("/systemd/units/0/name", "/systemd/units/0/name"),
        ("/systemd/units/0/enabled", "/systemd/units/0/enabled"),
        ("/systemd/units/0/contents", "/systemd/units/0/contents"),
    ] {
        assert_eq!(field(&ignition, made), field(&butane, source), "{made}");
    }
}

/// What is near to a configuration finds more than bytes do.
fn altered() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<_> = ["ignition", "cloud-config", "keelson"]
        .into_iter()
        .flat_map(|format| ["valid", "invalid"].map(|kind| configurations(format, kind)))
        .flatten()
        .map(|(_, bytes)| bytes)
        .collect();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (
        prop::sample::select(all),
        edits,
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut bytes, edits, end)| {
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(end.index(bytes.len()) + 1);
            bytes
        })
}

proptest! {
    #[test]
    fn never_panic_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn never_panic_on_text(text in "(\\{|#cloud-config\n|#!|Content-Type: multipart/mixed; boundary=x\n\n|)\\PC{0,200}") {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn never_panic_on_what_is_near_to_valid(bytes in altered()) {
        let _ = parse(&bytes);
    }
}
