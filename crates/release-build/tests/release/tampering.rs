//! Whatever is changed in a release directory is found, and its file named.

use std::collections::BTreeSet;
use std::fs;

use crate::fixture::{Fixture, files};

/// The files that a machine would read, of two releases: not what older metadata led to.
fn live(fixture: &Fixture) -> BTreeSet<String> {
    let repository = fixture.load().expect("accepted");
    let [targets, snapshot, _] = repository.versions();
    let mut live: BTreeSet<String> = [
        "metadata/1.root.json".to_owned(),
        format!("metadata/{targets}.targets.json"),
        format!("metadata/{snapshot}.snapshot.json"),
        "metadata/timestamp.json".to_owned(),
    ]
    .into();
    for name in repository.targets() {
        live.extend(repository.target_path(&name));
        if let Ok(manifest) = repository.manifest(&name) {
            live.extend(manifest.files().into_iter().map(|file| file.path.clone()));
        }
    }
    live
}

/// Applies a change to every live file in turn, and expects exactly that file to be named.
fn each_is_found(change: fn(&mut Vec<u8>)) {
    let fixture = Fixture::new();
    fixture.two_releases();
    assert_eq!(fixture.check(), [""; 0]);
    let live = live(&fixture);
    let all: BTreeSet<String> = files(&fixture.directory.path)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let stale: Vec<&String> = all.difference(&live).collect();
    let is_stale =
        |name: &&&String| name.starts_with("metadata/1.") || name.ends_with(".vm.edge.json");
    assert_eq!(
        stale.iter().filter(is_stale).count(),
        stale.len(),
        "{stale:?}"
    );
    assert!(live.is_subset(&all) && live.len() >= 18, "{live:?}");
    for name in &live {
        let path = fixture.directory.path.join(name);
        let original = fs::read(&path).expect("read");
        let mut bytes = original.clone();
        change(&mut bytes);
        fs::write(&path, &bytes).expect("written");
        let bad = fixture.check();
        assert!(
            bad.iter().any(|text| text.contains(name.as_str())),
            "{name}: {bad:?}"
        );
        fs::write(&path, &original).expect("written");
    }
    assert_eq!(fixture.check(), [""; 0]);
}

#[test]
fn a_changed_bit() {
    each_is_found(|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

#[test]
fn a_cut_end() {
    each_is_found(|bytes| bytes.truncate(bytes.len() - 1));
}

#[test]
fn more_than_there_should_be() {
    each_is_found(|bytes| bytes.push(b'x'));
}

#[test]
fn nothing_left() {
    each_is_found(Vec::clear);
}

#[test]
fn a_missing_file() {
    let fixture = Fixture::new();
    fixture.two_releases();
    for name in live(&fixture) {
        let path = fixture.directory.path.join(&name);
        let away = fixture.path("away");
        fs::rename(&path, &away).expect("moved");
        let bad = fixture.check();
        let last = name.rsplit('/').next().expect("a name");
        assert!(
            bad.iter().any(|text| text.contains(last)),
            "{name}: {bad:?}"
        );
        fs::rename(&away, &path).expect("moved back");
    }
}
