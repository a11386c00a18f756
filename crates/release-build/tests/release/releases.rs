//! What is released, and in which order.

use std::fs;

use release_build::channels::{Change, Which, change};
use release_build::error::ReleaseError;
use release_build::publication::Lifetimes;
use release_build::release::refresh;
use update_model::channel::Standing;
use update_model::rollout::{Rollout, Wave};

use crate::fixture::{Fixture, Tree, files};

#[test]
fn two_releases_check_out() {
    let fixture = Fixture::new();
    let (first, second) = fixture.two_releases();
    assert_eq!(fixture.check(), [""; 0]);
    assert_eq!(first.manifest.deltas.len(), 0);
    assert_eq!(second.manifest.deltas.len(), 1, "{:?}", second.left_out);
    assert_eq!(first.manifest.changelog, None);
    let changelog = second.manifest.changelog.expect("a changelog");
    assert_eq!(changelog.since.as_str(), "1.0");
    let names: Vec<&str> = changelog
        .packages
        .iter()
        .map(|change| change.name.as_str())
        .collect();
    assert_eq!(names, ["kvd"]);
    let repository = fixture.load().expect("accepted");
    let channel = repository.channel("vm", "edge").expect("a channel");
    let versions: Vec<&str> = channel
        .releases
        .iter()
        .map(|offer| offer.version.as_str())
        .collect();
    assert_eq!(versions, ["1.0", "1.1"]);
    assert!(repository.channel("vm", "stable").is_err());
}

#[test]
fn a_static_delta_is_smaller_than_whatever_else_there_is() {
    let fixture = Fixture::new();
    let (_, second) = fixture.two_releases();
    let manifest = second.manifest;
    let delta = &manifest.deltas[0];
    let full = manifest.root.full.length + manifest.verity.length + manifest.uki.file.length;
    assert!(
        delta.file.length * 5 < full,
        "{} of {full}",
        delta.file.length
    );
    // The kernel is the same: only the command line differs.
    assert!(delta.uki_length < 2000, "{}", delta.uki_length);
}

#[test]
fn a_delta_that_saves_nothing_is_left_out() {
    let fixture = Fixture::new();
    fixture.release("1.0", &Tree::new());
    // Nothing in common with the first, and nothing that compresses.
    let files = (1000..1040).map(|seed| crate::fixture::Noise(seed).bytes(8 * 4096));
    let other = Tree(files.collect());
    let image = fixture.image("1.1", &other, &[]);
    let mut bytes = fs::read(&image.uki).expect("read");
    let sections = disk_format::uki::sections(&bytes).expect("sections");
    for (name, range) in sections {
        if name == ".linux" || name == ".initrd" {
            let other = crate::fixture::Noise(5).bytes(range.len());
            bytes[range].copy_from_slice(&other);
        }
    }
    fs::write(&image.uki, bytes).expect("written");
    let released = fixture
        .try_release(&image, &fixture.options())
        .expect("released");
    let left_out: Vec<_> = released
        .left_out
        .iter()
        .map(|one| one.bytes > one.instead - one.instead / 20)
        .collect();
    assert_eq!((released.manifest.deltas.len(), left_out), (0, vec![true]));
    assert_eq!(fixture.check(), [""; 0]);
}

#[test]
fn the_same_keys_image_and_time_give_the_same_bytes() {
    let (one, mut other) = (Fixture::new(), Fixture::new());
    other.now = one.now;
    other.keys = one.keys.clone();
    other.directory.keys = one.directory.keys.clone();
    one.two_releases();
    other.two_releases();
    let (one, other) = (files(&one.directory.path), files(&other.directory.path));
    let names = |files: &[(String, Vec<u8>)]| {
        files
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&one), names(&other));
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        assert!(one == other, "{name} differs");
    }
}

#[test]
fn a_channel_goes_forward_only() {
    let fixture = Fixture::new();
    fixture.two_releases();
    let tree = Tree::new();
    let again = fixture.try_release(&fixture.image("1.1", &tree, &[]), &fixture.options());
    assert!(
        matches!(again, Err(ReleaseError::Exists { .. })),
        "{again:?}"
    );
    let older = fixture.try_release(&fixture.image("1.0.5", &tree, &[]), &fixture.options());
    assert!(
        matches!(older, Err(ReleaseError::NotNewer { .. })),
        "{older:?}"
    );
    // In another channel it is the newest.
    let mut options = fixture.options();
    options.channels = vec!["stable".to_owned()];
    fixture
        .try_release(&fixture.image("1.0.5", &tree, &[]), &options)
        .expect("released");
    assert_eq!(fixture.check(), [""; 0]);
}

#[test]
fn what_does_not_belong_together_is_not_released() {
    let fixture = Fixture::new();
    let (one, other) = (
        fixture.image("1.0", &Tree::new(), &[]),
        fixture.image("1.1", &Tree::new().next(), &[]),
    );
    let mixed = release_build::release::Image {
        root: other.root,
        ..one
    };
    let result = fixture.try_release(&mixed, &fixture.options());
    assert!(matches!(result, Err(ReleaseError::Image(_))), "{result:?}");
    assert!(!fixture.directory.path.join("files").exists());
}

#[test]
fn what_an_interrupted_release_left_is_replaced() {
    let fixture = Fixture::new();
    let left = fixture.directory.path.join("files/vm-1.0");
    fs::create_dir_all(&left).expect("made");
    fs::write(left.join("root.zst.partial"), "half").expect("written");
    fixture.release("1.0", &Tree::new());
    assert!(!left.join("root.zst.partial").exists());
    assert_eq!(fixture.check(), [""; 0]);
}

#[test]
fn nothing_is_built_on_a_damaged_directory() {
    let fixture = Fixture::new();
    let released = fixture.release("1.0", &Tree::new());
    let path = fixture
        .directory
        .path
        .join(&released.manifest.root.full.path);
    let mut bytes = fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("written");
    let next = fixture.try_release(
        &fixture.image("1.1", &Tree::new().next(), &[]),
        &fixture.options(),
    );
    assert!(next.is_err(), "a delta from a damaged release");
    assert!(
        fixture
            .load()
            .expect("the old one")
            .manifest("vm-1.1.json")
            .is_err()
    );
}

#[test]
fn channels_are_changed_without_touching_releases() {
    let fixture = Fixture::new();
    fixture.two_releases();
    let apply = |channel: &str, version: &str, what: Change| {
        let which = Which {
            product: "vm".to_owned(),
            channel: channel.to_owned(),
            version: version.parse().expect("a version"),
        };
        change(
            &fixture.directory,
            &fixture.keys,
            &which,
            &what,
            Lifetimes::default(),
            fixture.now,
        )
    };
    let waves = vec![Wave {
        after_seconds: 0,
        percent: 10,
    }];
    let rollout = Rollout {
        start: fixture.now,
        waves,
    };
    apply("stable", "1.0", Change::Add(rollout.clone())).expect("added");
    apply(
        "edge",
        "1.1",
        Change::Stand(Standing::Withdrawn("eats disks".to_owned())),
    )
    .expect("withdrawn");
    apply("edge", "1.0", Change::Barrier(true)).expect("a barrier");
    assert!(matches!(
        apply("beta", "1.0", Change::Barrier(true)),
        Err(ReleaseError::NoRelease { .. })
    ));
    assert!(matches!(
        apply("stable", "9", Change::Add(rollout.clone())),
        Err(ReleaseError::NoRelease { .. })
    ));
    let bad = Rollout {
        waves: vec![Wave {
            after_seconds: 0,
            percent: 101,
        }],
        ..rollout.clone()
    };
    assert!(matches!(
        apply("stable", "1.0", Change::Roll(bad)),
        Err(ReleaseError::Channel(..))
    ));
    let repository = fixture.load().expect("accepted");
    let stable = repository.channel("vm", "stable").expect("a channel");
    assert_eq!(stable.releases[0].rollout, rollout);
    let edge = repository.channel("vm", "edge").expect("a channel");
    assert!(edge.releases[0].barrier);
    assert_eq!(
        edge.releases[1].standing,
        Standing::Withdrawn("eats disks".to_owned())
    );
    assert_eq!(fixture.check(), [""; 0]);
}

#[test]
fn signing_again_only_makes_it_hold_longer() {
    let fixture = Fixture::new();
    fixture.release("1.0", &Tree::new());
    let before = fixture.load().expect("accepted");
    let later = fixture.now + jiff::SignedDuration::from_hours(24);
    refresh(
        &fixture.directory,
        &fixture.keys,
        Lifetimes::default(),
        later,
    )
    .expect("signed");
    let after = fixture.load().expect("accepted");
    assert_eq!(
        after.versions(),
        before.versions().map(|version| version + 1)
    );
    assert_eq!(after.targets(), before.targets());
    assert!(after.expires() > before.expires());
}
