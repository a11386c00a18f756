//! Metadata that a machine must not accept: expired, rolled back, by other keys, mixed.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use release_build::publication::Lifetimes;
use release_build::release::refresh;
use update_client::repository::{Expiry, Repository};

use crate::fixture::{Fixture, Tree, chain};

/// Copies the metadata of one state over that of another.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

fn load(fixture: &Fixture, seen: Option<&Path>, expiry: Expiry) -> Result<Repository, String> {
    let loaded = Repository::load(fixture.source(), &fixture.trusted_root(), seen, expiry);
    loaded.map_err(|error| chain(&error))
}

#[test]
fn expired() {
    let fixture = Fixture::new();
    fixture.release("1.0", &Tree::new());
    let past = Timestamp::now() - SignedDuration::from_hours(2);
    let short = |targets, snapshot| Lifetimes {
        targets: SignedDuration::from_hours(targets),
        snapshot: SignedDuration::from_hours(snapshot),
    };
    for (lifetimes, file) in [
        (short(9, 1), "timestamp.json"),
        (short(1, 9), "targets.json"),
    ] {
        refresh(&fixture.directory, &fixture.keys, lifetimes, past).expect("signed");
        let error = load(&fixture, None, Expiry::Enforced).expect_err("expired");
        assert!(
            error.contains(file) && error.to_lowercase().contains("expired"),
            "{error}"
        );
        // Whoever holds the keys can still sign anew.
        load(&fixture, None, Expiry::Ignored).expect("accepted");
    }
    refresh(
        &fixture.directory,
        &fixture.keys,
        Lifetimes::default(),
        fixture.now,
    )
    .expect("signed");
    load(&fixture, None, Expiry::Enforced).expect("accepted again");
}

#[test]
fn rolled_back() {
    let fixture = Fixture::new();
    let (metadata, old, seen) = (
        fixture.directory.metadata(),
        fixture.path("old"),
        fixture.path("seen"),
    );
    for folder in [&old, &seen] {
        fs::create_dir(folder).expect("made");
    }
    fixture.release("1.0", &Tree::new());
    copy(&metadata, &old);
    fixture.release("1.1", &Tree::new().next());
    load(&fixture, Some(&seen), Expiry::Enforced).expect("accepted");
    copy(&old, &metadata);
    let error = load(&fixture, Some(&seen), Expiry::Enforced).expect_err("older than before");
    assert!(
        error.contains("timestamp.json") && error.contains("version"),
        "{error}"
    );
    // Without a memory there is nothing to tell it by but its end.
    load(&fixture, None, Expiry::Enforced).expect("accepted");
}

#[test]
fn signed_by_other_keys() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    fixture.release("1.0", &Tree::new());
    other.release("1.0", &Tree::new());
    for (number, name) in ["timestamp.json", "1.snapshot.json", "1.targets.json"]
        .into_iter()
        .enumerate()
    {
        let (from, to) = (
            other.directory.metadata().join(name),
            fixture.directory.metadata().join(name),
        );
        let original = fs::read(&to).expect("read");
        fs::copy(from, &to).expect("copied");
        let error = load(&fixture, None, Expiry::Enforced).expect_err("other keys");
        assert!(error.contains(name), "{number}: {error}");
        fs::write(&to, original).expect("written");
    }
    // All of it at once.
    copy(&other.directory.metadata(), &fixture.directory.metadata());
    let error = load(&fixture, None, Expiry::Enforced).expect_err("other keys");
    assert!(error.contains("timestamp.json"), "{error}");
    // Nor are documents of other keys built on.
    let image = fixture.image("1.1", &Tree::new(), &[]);
    let error = fixture
        .try_release(&image, &fixture.options())
        .expect_err("other keys");
    assert!(error.to_string().contains("1.root.json"), "{error}");
}

#[test]
fn mixed_from_two_states() {
    let fixture = Fixture::new();
    fixture.two_releases();
    let metadata = fixture.directory.metadata();
    for (old, new) in [
        ("1.targets.json", "2.targets.json"),
        ("1.snapshot.json", "2.snapshot.json"),
    ] {
        let original = fs::read(metadata.join(new)).expect("read");
        fs::copy(metadata.join(old), metadata.join(new)).expect("copied");
        let error = load(&fixture, None, Expiry::Enforced).expect_err("mixed");
        assert!(error.contains(new), "{error}");
        fs::write(metadata.join(new), original).expect("written");
    }
    load(&fixture, None, Expiry::Enforced).expect("accepted");
}

#[test]
fn a_root_that_the_old_one_did_not_sign() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    fixture.release("1.0", &Tree::new());
    let new = other
        .keys
        .rotate(
            tough::schema::RoleType::Root,
            crate::fixture::in_a_year(other.now),
        )
        .expect("rotated");
    fs::copy(new.root, fixture.directory.metadata().join("2.root.json")).expect("copied");
    let error = load(&fixture, None, Expiry::Enforced).expect_err("another chain");
    assert!(error.contains("2.root.json"), "{error}");
}

#[test]
fn documents_without_an_end() {
    let fixture = Fixture::new();
    fixture.release("1.0", &Tree::new());
    let timestamp = fixture.directory.metadata().join("timestamp.json");
    let file = fs::File::options()
        .write(true)
        .open(timestamp)
        .expect("opened");
    // Sparse: it costs no disk, and may cost no memory.
    file.set_len(1 << 40).expect("grown");
    let error = load(&fixture, None, Expiry::Enforced).expect_err("endless");
    assert!(error.contains("timestamp.json"), "{error}");
}
