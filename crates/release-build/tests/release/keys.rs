//! Keys: made once, rotated, kept apart, and never fewer than must sign.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use release_build::error::ReleaseError;
use release_build::keys::KeyFolders;
use release_build::root_metadata::Threshold;
use tough::schema::RoleType;

use crate::fixture::{Fixture, Tree, in_a_year, one_of_one};

fn two_of_three(role: RoleType) -> Threshold {
    let keys = if role == RoleType::Root { 3 } else { 1 };
    Threshold {
        keys,
        signatures: keys.min(2),
    }
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let fixture = Fixture::new();
    let path = fixture.keys.root_folder.join("root-1.pem");
    let mode = fs::metadata(&path).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = fixture.keys.create(one_of_one, in_a_year(fixture.now));
    assert!(
        matches!(again, Err(ReleaseError::KeysExist(_))),
        "{again:?}"
    );
}

#[test]
fn releasing_needs_no_root_key() {
    let fixture = Fixture::new();
    fs::rename(&fixture.keys.root_folder, fixture.path("in the safe")).expect("moved");
    fixture.release("1.0", &Tree::new());
    assert_eq!(fixture.check(), [""; 0]);
    let rotated = fixture
        .keys
        .rotate(RoleType::Targets, in_a_year(fixture.now));
    assert!(
        matches!(rotated, Err(ReleaseError::TooFewKeys { .. })),
        "{rotated:?}"
    );
}

#[test]
fn a_release_without_its_keys_changes_nothing() {
    let fixture = Fixture::new();
    let image = fixture.image("1.0", &Tree::new(), &[]);
    fs::remove_file(fixture.keys.folder.join("timestamp-1.pem")).expect("removed");
    let result = fixture.try_release(&image, &fixture.options());
    assert!(
        matches!(result, Err(ReleaseError::TooFewKeys { .. })),
        "{result:?}"
    );
    assert!(!fixture.directory.path.exists());
}

#[test]
fn machines_follow_every_rotation() {
    let fixture = Fixture::new();
    let tree = Tree::new();
    fixture.release("1.0", &tree);
    let roles = [
        RoleType::Timestamp,
        RoleType::Snapshot,
        RoleType::Targets,
        RoleType::Root,
        RoleType::Targets,
    ];
    for (number, role) in (1..).zip(roles) {
        let new = fixture
            .keys
            .rotate(role, in_a_year(fixture.now))
            .expect("rotated");
        assert_eq!((new.root_version, new.retired.len()), (number + 1, 1));
        // The directory is still signed by the old keys, and still accepted.
        assert_eq!(
            fixture.check(),
            [""; 0],
            "before signing with the new {role} key"
        );
        let image = fixture.image(&format!("1.{number}"), &tree, &[]);
        let mut options = fixture.options();
        options.deltas = 0;
        fixture.try_release(&image, &options).expect("released");
        assert_eq!(
            fixture.check(),
            [""; 0],
            "after signing with the new {role} key"
        );
    }
    assert_eq!(
        fixture
            .load()
            .expect("accepted")
            .root()
            .signed
            .version
            .get(),
        6
    );
}

#[test]
fn an_old_key_signs_no_more() {
    let fixture = Fixture::new();
    fixture.release("1.0", &Tree::new());
    let timestamp = fixture.directory.path.join("metadata/timestamp.json");
    let old = fs::read(&timestamp).expect("read");
    fixture
        .keys
        .rotate(RoleType::Timestamp, in_a_year(fixture.now))
        .expect("rotated");
    fixture.release("1.1", &Tree::new().next());
    fs::write(&timestamp, old).expect("written");
    let bad = fixture.check();
    assert!(bad[0].contains("metadata/timestamp.json"), "{bad:?}");
}

/// As if the power had failed between the new root and the timestamp.
#[test]
fn an_interrupted_rotation_is_finished_by_the_next_release() {
    let fixture = Fixture::new();
    fixture.release("1.0", &Tree::new());
    let new = fixture
        .keys
        .rotate(RoleType::Timestamp, in_a_year(fixture.now))
        .expect("rotated");
    fs::copy(new.root, fixture.directory.metadata().join("2.root.json")).expect("copied");
    assert!(fixture.check()[0].contains("timestamp.json"));
    fixture.release("1.1", &Tree::new().next());
    assert_eq!(fixture.check(), [""; 0]);
}

#[test]
fn so_many_of_so_many_must_sign() {
    let fixture = Fixture::new();
    let keys = KeyFolders {
        folder: fixture.path("online"),
        root_folder: fixture.path("safe"),
    };
    let bad = keys.create(
        |_| Threshold {
            keys: 1,
            signatures: 2,
        },
        in_a_year(fixture.now),
    );
    assert!(
        matches!(bad, Err(ReleaseError::BadThreshold { .. })),
        "{bad:?}"
    );
    let new = keys
        .create(two_of_three, in_a_year(fixture.now))
        .expect("made");
    assert_eq!(new.created.len(), 6);
    fs::remove_file(keys.root_folder.join("root-1.pem")).expect("removed");
    keys.rotate(RoleType::Root, in_a_year(fixture.now))
        .expect("two are enough");
    for number in [4, 5] {
        fs::remove_file(keys.root_folder.join(format!("root-{number}.pem"))).expect("removed");
    }
    let rotated = keys.rotate(RoleType::Targets, in_a_year(fixture.now));
    let message = rotated.expect_err("one is not").to_string();
    assert!(
        message.starts_with("1 of the 2 root keys that must sign are in"),
        "{message}"
    );
}

#[test]
fn a_broken_key_is_named() {
    let fixture = Fixture::new();
    let path = fixture.keys.folder.join("targets-1.pem");
    fs::write(
        &path,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .expect("written");
    let image = fixture.image("1.0", &Tree::new(), &[]);
    let message = fixture
        .try_release(&image, &fixture.options())
        .expect_err("no key")
        .to_string();
    assert!(
        message.contains("targets-1.pem") && message.contains("no Ed25519 key"),
        "{message}"
    );
}
