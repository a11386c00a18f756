//! Layers of `/etc` over several versions, in a temporary folder; mounting is left to a machine.
use super::*;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

fn hash(seed: u8) -> RootHash {
    RootHash([seed; 32])
}

fn layers() -> (tempfile::TempDir, Layers) {
    let folder = tempfile::tempdir().unwrap();
    let layers = Layers {
        folder: folder.path().to_owned(),
    };
    (folder, layers)
}

/// What a boot does, without the mount.
fn boot(layers: &Layers, version: u8) {
    let previous = layers.current();
    layers.remove_temporaries().unwrap();
    layers.ensure(&hash(version), previous.as_ref()).unwrap();
    layers.mark_current(&hash(version)).unwrap();
}

#[test]
fn the_first_version_starts_empty() {
    let (_folder, layers) = layers();
    assert_eq!(layers.current(), None);
    boot(&layers, 1);
    assert_eq!(fs::read_dir(layers.upper(&hash(1))).unwrap().count(), 0);
    assert!(layers.of(&hash(1)).join("work").is_dir());
    assert_eq!(layers.current(), Some(hash(1)));
}

#[test]
fn an_update_takes_the_configuration_along_and_a_rollback_leaves_it_behind() {
    let (_folder, layers) = layers();
    boot(&layers, 1);
    fs::write(layers.upper(&hash(1)).join("hosts"), "one").unwrap();
    for name in ["ld.so.cache", "passwd"] {
        fs::write(layers.upper(&hash(1)).join(name), "of version 1").unwrap();
    }
    boot(&layers, 2);
    assert_eq!(
        fs::read_to_string(layers.upper(&hash(2)).join("hosts")).unwrap(),
        "one"
    );
    assert!(!layers.upper(&hash(2)).join("ld.so.cache").exists());
    assert!(
        layers.upper(&hash(2)).join("passwd").exists(),
        "accounts stay"
    );
    fs::write(layers.upper(&hash(2)).join("hosts"), "two").unwrap();
    boot(&layers, 1);
    assert_eq!(
        fs::read_to_string(layers.upper(&hash(1)).join("hosts")).unwrap(),
        "one"
    );
    boot(&layers, 2);
    let kept = fs::read_to_string(layers.upper(&hash(2)).join("hosts")).unwrap();
    assert_eq!(kept, "two", "a layer that exists is not made again");
}

#[test]
fn a_layer_cut_short_is_made_again() {
    let (_folder, layers) = layers();
    boot(&layers, 1);
    fs::write(layers.upper(&hash(1)).join("hosts"), "one").unwrap();
    let half = layers.folder.join(format!(".new-{}", hash(2)));
    fs::create_dir_all(half.join("upper")).unwrap();
    boot(&layers, 2);
    assert!(layers.upper(&hash(2)).join("hosts").exists());
    assert!(!half.exists());
}

#[test]
fn a_damaged_record_of_the_current_version_means_none() {
    let (_folder, layers) = layers();
    boot(&layers, 1);
    for text in [String::new(), "xyz\n".to_owned(), format!("{}\n", hash(9))] {
        fs::write(layers.folder.join("current"), text).unwrap();
        assert_eq!(layers.current(), None);
    }
}

#[test]
fn the_upper_folder_is_open_to_all_because_it_becomes_etc() {
    let (_folder, layers) = layers();
    boot(&layers, 1);
    assert_eq!(
        fs::metadata(layers.upper(&hash(1))).unwrap().mode() & 0o777,
        0o755
    );
}

#[test]
fn old_layers_go_but_never_the_current_or_previous() {
    let at = |seed: u8, seconds: u64| {
        (
            hash(seed),
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        )
    };
    let six = vec![
        at(1, 10),
        at(2, 60),
        at(3, 30),
        at(4, 40),
        at(5, 50),
        at(6, 20),
    ];
    assert_eq!(
        superfluous(six.clone(), &[hash(2), hash(5)]),
        [hash(1), hash(6)]
    );
    assert_eq!(
        superfluous(six.clone(), &[hash(1), hash(6)]),
        [hash(3), hash(4)]
    );
    assert_eq!(superfluous(six[..4].to_vec(), &[]), []);
}

#[test]
fn pruning_removes_whole_layers_only() {
    let (_folder, layers) = layers();
    for version in 1..=6 {
        boot(&layers, version);
    }
    fs::write(layers.folder.join("note"), "not a layer").unwrap();
    layers.prune(&[hash(6), hash(5)]).unwrap();
    let left: Vec<u8> = (1..=6)
        .filter(|version| layers.of(&hash(*version)).exists())
        .collect();
    assert_eq!(left.len(), KEPT);
    assert!(left.contains(&5) && left.contains(&6));
    assert!(layers.folder.join("note").exists());
}
