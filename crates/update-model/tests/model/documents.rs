//! Manifests and channel documents: what survives, what is refused, and that no bytes make a reader panic.

use disk_format::verity::{RootHash, Superblock, verify};
use proptest::collection::vec;
use proptest::prelude::*;
use update_model::changelog::{Change, Package};
use update_model::channel::{Channel, Offer, Standing};
use update_model::digest::FileDigest;
use update_model::manifest::{
    BootImage, Changelog, Delta, FORMAT, File, InvalidManifest, Manifest, Part, Root,
};
use update_model::progress::{Failed, Release, State};
use update_model::record::{LastCheck, Record};
use update_model::rollout::{Rollout, Wave};

fn file(name: &str, length: u64) -> File {
    File {
        path: format!("files/vm-1.2/{name}"),
        length,
        sha256: FileDigest([7; 32]),
    }
}

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        product: "vm".to_owned(),
        architecture: "x86-64".to_owned(),
        version: "1.2".parse().unwrap(),
        released: "2026-11-29T00:00:00Z".parse().unwrap(),
        root_hash: RootHash([3; 32]),
        root: Root {
            length: 8192,
            full: file("root.zst", 100),
            frames: file("root.frames.zst", 120),
            index: file("root.index.zst", 20),
        },
        verity: file("root.verity", 8192),
        uki: BootImage {
            file: file("keelson.efi", 30),
            parts: [10, 20]
                .map(|length| Part {
                    length,
                    sha256: FileDigest([9; 32]),
                })
                .to_vec(),
        },
        deltas: vec![Delta {
            from: "1.1".parse().unwrap(),
            from_root_hash: RootHash([2; 32]),
            from_uki: FileDigest([1; 32]),
            file: file("from-1.1.zst", 6),
            tree_length: 1,
            root_length: 2,
            uki_length: 3,
        }],
        packages: vec![Package {
            name: "bash".to_owned(),
            version: "5.2".to_owned(),
        }],
        changelog: Some(Changelog {
            since: "1.1".parse().unwrap(),
            packages: vec![Change {
                name: "bash".to_owned(),
                from: Some("5.1".to_owned()),
                to: Some("5.2".to_owned()),
            }],
        }),
    }
}

fn channel() -> Channel {
    let offer = |version: &str| Offer {
        version: version.parse().unwrap(),
        manifest: format!("vm-{version}.json"),
        root_hash: RootHash([3; 32]),
        rollout: Rollout {
            start: "2026-11-29T00:00:00Z".parse().unwrap(),
            waves: vec![Wave {
                after_seconds: 0,
                percent: 10,
            }],
        },
        barrier: true,
        minimum_version: Some("1".parse().unwrap()),
        standing: Standing::Withdrawn("bad".to_owned()),
    };
    Channel {
        releases: vec![offer("1.1"), offer("1.2")],
        ..Channel::new("vm", "stable")
    }
}

fn record() -> Record {
    let release = Release {
        version: "1.2".parse().unwrap(),
        root_hash: RootHash([3; 32]),
    };
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let mut record = Record::default();
    record.enter(State::Good(release.clone()), at(1));
    record.enter(State::Idle.rolled_back(release.clone()), at(2));
    let failed = Failed {
        release: Some(release),
        reason: "no network".to_owned(),
    };
    record.enter(State::Failed(failed), at(3));
    record.last_check = LastCheck::Decided(at(4), "all is well".to_owned());
    record
}

#[test]
fn documents_survive_their_text() {
    assert_eq!(
        Manifest::parse(manifest().to_json().as_bytes()).unwrap(),
        manifest()
    );
    assert_eq!(
        Channel::parse(channel().to_json().as_bytes()).unwrap(),
        channel()
    );
    assert_eq!(manifest().files().len(), 6);
}

#[test]
fn unknown_keys_are_errors() {
    for key in ["product", "full", "path", "from", "length"] {
        let text = manifest().to_json().replacen(
            &format!("\"{key}\""),
            &format!("\"new\": 1, \"{key}\""),
            1,
        );
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, InvalidManifest::Json(_)), "{key}");
    }
    let text = channel()
        .to_json()
        .replacen("\"barrier\"", "\"new\": 1, \"barrier\"", 1);
    assert!(Channel::parse(text.as_bytes()).is_err());
}

#[test]
fn contradictions_are_refused() {
    let refused = |change: fn(&mut Manifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        Manifest::parse(manifest.to_json().as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert!(refused(|m| m.format = 2).contains("format is 2"));
    assert!(refused(|m| m.root.length = 4095).contains("root.length"));
    assert!(refused(|m| m.verity.length = 4096).contains("verity.length"));
    assert!(refused(|m| m.uki.parts[0].length = 11).contains("uki.parts"));
    assert!(refused(|m| m.uki.parts[0].length = u64::MAX).contains("uki.parts"));
    assert!(refused(|m| m.deltas[0].root_length = u64::MAX).contains("from 1.1"));
    for path in ["../etc/passwd", "/etc/passwd", "a//b", "a/./b", "a b", ""] {
        let mut manifest = manifest();
        path.clone_into(&mut manifest.root.full.path);
        assert!(manifest.check().is_err(), "{path:?}");
    }
}

#[test]
fn channels_are_in_order() {
    let mut reversed = channel();
    reversed.releases.reverse();
    assert!(
        reversed
            .check()
            .unwrap_err()
            .to_string()
            .contains("release 1.1")
    );
    let mut twice = channel();
    twice.releases[1].version = "1.1".parse().unwrap();
    assert!(twice.check().is_err());
    let mut away = channel();
    away.releases[0].manifest = "../x.json".to_owned();
    assert!(away.check().is_err());
}

/// JSON with some bytes changed.
fn mutated(text: &str, changes: &[(prop::sample::Index, u8)], cut: prop::sample::Index) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
    bytes
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Manifest::parse(&bytes);
        let _ = Channel::parse(&bytes);
        let _ = Superblock::parse(&bytes);
        let _ = Record::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn damaged_documents_never_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        if let Ok(manifest) = Manifest::parse(&mutated(&manifest().to_json(), &changes, cut)) {
            prop_assert!(manifest.check().is_ok());
        }
        // What updaterd itself wrote, after a damage of its disk.
        let text = String::from_utf8_lossy(&mutated(&record().to_json(), &changes, cut)).into_owned();
        if let Ok(record) = Record::parse(&text) {
            prop_assert_eq!(Record::parse(&record.to_json()).unwrap(), record);
        }
        if let Ok(channel) = Channel::parse(&mutated(&channel().to_json(), &changes, cut)) {
            prop_assert!(channel.check().is_ok());
        }
    }

    /// Signature and parameters are right, the rest is arbitrary; whatever a superblock claims, no more is
    /// read or allocated than is there.
    #[test]
    fn arbitrary_superblocks_never_panic(fields in vec(any::<u8>(), 512..9000), blocks in any::<u64>()) {
        let superblock = Superblock { uuid: uuid::Uuid::nil(), data_blocks: blocks, salt: fields[..32].to_vec() };
        let mut tree = superblock.to_bytes().to_vec();
        tree[80..82].copy_from_slice(&fields[32..34]);
        tree.extend(&fields);
        if let Ok(parsed) = Superblock::parse(&tree) {
            prop_assert_eq!(parsed.data_blocks, blocks);
        }
        prop_assert!(verify(&fields[..], &tree[..], &RootHash([0; 32])).is_err());
    }
}
