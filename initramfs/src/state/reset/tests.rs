//! Resets of a state in a temporary folder, with the power failing between any two steps.
use super::*;
use disk_format::meta::Identity;
use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};

const LAYER: &str = "etc/1111";
const OTHER_LAYER: &str = "etc/2222";

/// As a machine with two versions leaves it, with something in every folder.
fn state() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let files = [
        ".keelson-state",
        "lost+found/#12",
        "var/lib/keelson/update/record.json",
        "var/lib/keelson/update/download/part",
        "var/lib/app/data/a",
        "var/lib/app/data/deep/b",
        "var/log/messages",
        "home/core/notes",
        "root/.ssh/authorized_keys",
        "shared/machine-id",
        "shared/ssh/key",
        "etc/current",
    ];
    for file in files {
        write(state.path(), file, file);
    }
    for layer in [LAYER, OTHER_LAYER] {
        for file in ["upper/hosts", "upper/net/a", "upper/net/b", "last-used"] {
            write(state.path(), &format!("{layer}/{file}"), layer);
        }
        fs::create_dir(state.path().join(layer).join("work")).unwrap();
    }
    symlink("data", state.path().join("var/lib/app/current")).unwrap();
    state
}

fn write(state: &Path, file: &str, text: &str) {
    let path = state.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn kept(identity: Identity, paths: &[&str]) -> Kept {
    let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
    Kept { identity, paths }
}

/// Every file and link, and every folder with nothing in it.
fn contents(state: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(state, "", &mut found);
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let is_folder = entry.file_type().unwrap().is_dir();
        if is_folder && fs::read_dir(entry.path()).unwrap().next().is_some() {
            collect(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

fn reset(state: &Path, kept: &Kept) {
    clear(state, kept).unwrap();
    remove_remains(state);
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn all_goes_that_is_not_kept() {
    let state = state();
    reset(state.path(), &kept(Identity::New, &[]));
    assert_eq!(contents(state.path()), set(&[".keelson-state"]));
}

#[test]
fn what_is_kept_stays_where_it_is_and_nothing_beside_it() {
    let state = state();
    let paths = [
        "/var/lib/keelson/update/record.json",
        "/var/lib/app/data",
        "/etc/net/a",
    ];
    reset(state.path(), &kept(Identity::Kept, &paths));
    let expected = [
        ".keelson-state",
        "var/lib/keelson/update/record.json",
        "var/lib/app/data/a",
        "var/lib/app/data/deep/b",
        "shared/machine-id",
        "shared/ssh/key",
        "etc/current",
        "etc/1111/upper/net/a",
        "etc/1111/last-used",
        "etc/1111/work",
        "etc/2222/upper/net/a",
        "etc/2222/last-used",
        "etc/2222/work",
    ];
    assert_eq!(contents(state.path()), set(&expected));
    let text = fs::read_to_string(state.path().join("etc/2222/upper/net/a"));
    assert_eq!(text.unwrap(), OTHER_LAYER);
}

#[test]
fn no_link_is_followed_to_what_is_kept() {
    let state = state();
    reset(
        state.path(),
        &kept(Identity::New, &["/var/lib/app/current/a"]),
    );
    assert_eq!(
        contents(state.path()),
        set(&[".keelson-state", "var/lib/app"])
    );
    reset(
        state.path(),
        &kept(Identity::New, &["/var/lib/nothing/at/all"]),
    );
    assert_eq!(contents(state.path()), set(&[".keelson-state", "var/lib"]));
}

/// The steps before the cut in any order, as a disk may write them: for few steps, all mixtures.
#[test]
fn a_power_cut_between_any_two_steps_changes_nothing_in_the_end() {
    let kept = kept(Identity::Kept, &["/var/lib/app/data", "/etc/hosts"]);
    let uncut = state();
    reset(uncut.path(), &kept);
    let expected = contents(uncut.path());
    let count = plan::plan(state().path(), &kept).unwrap().len();
    assert!((10..64).contains(&count), "{count} steps");
    let prefixes = (0..=count).map(|done| (1_u64 << done) - 1);
    let mixtures = [
        0x5555_5555_5555_5555,
        0x3333_cccc_5a5a_0f0f,
        1 << (count - 1),
    ];
    for done in prefixes.chain(mixtures) {
        let state = state();
        let mut remains = Remains::open(state.path()).unwrap();
        let steps = plan::plan(state.path(), &kept).unwrap();
        for (index, step) in steps.iter().enumerate() {
            if done >> index & 1 == 1 {
                remains.carry_out(step).unwrap();
            }
        }
        // The next boot, which finds the order still there.
        reset(state.path(), &kept);
        assert_eq!(contents(state.path()), expected, "steps {done:b}");
    }
}

/// The order is forgotten by then, and the machine in use again.
#[test]
fn a_power_cut_while_the_remains_are_removed_spares_what_came_after() {
    let order = kept(Identity::New, &[]);
    let whole = state();
    clear(whole.path(), &order).unwrap();
    let remains = contents(&whole.path().join(RESET_REMAINS));
    assert!(remains.len() > 10);
    for cut in 0..=remains.len() {
        let state = state();
        clear(state.path(), &order).unwrap();
        for removed in remains.iter().take(cut) {
            // In which folder something ends up depends on the order of a listing.
            let _ = fs::remove_file(state.path().join(RESET_REMAINS).join(removed));
        }
        write(state.path(), "var/lib/app/data/a", "new");
        remove_remains(state.path());
        let expected = set(&[".keelson-state", "var/lib/app/data/a"]);
        assert_eq!(contents(state.path()), expected, "{cut} removed");
    }
}

#[test]
fn without_a_reset_nothing_is_removed() {
    let state = state();
    let before = contents(state.path());
    remove_remains(state.path());
    assert_eq!(contents(state.path()), before);
}

#[test]
fn what_is_taken_away_is_hidden_from_other_users_until_it_is_removed() {
    let state = state();
    clear(state.path(), &kept(Identity::New, &[])).unwrap();
    let metadata = fs::metadata(state.path().join(RESET_REMAINS)).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
}

/// Nothing can be moved there: a file system without a free block, for instance.
#[test]
fn without_a_place_to_move_things_to_they_are_removed_at_once() {
    let state = state();
    let mut remains = Remains {
        folder: state.path().join("no/such/folder"),
        next: 0,
    };
    let order = kept(Identity::New, &[]);
    for step in plan::plan(state.path(), &order).unwrap() {
        remains.carry_out(&step).unwrap();
    }
    assert_eq!(contents(state.path()), set(&[".keelson-state"]));
}

#[test]
fn folders_around_what_is_kept_hide_nothing_of_the_image_any_more() {
    let state = state();
    let folder = state.path().join(LAYER).join("upper/net");
    let opaque = "trusted.overlay.opaque";
    if rustix::fs::lsetxattr(&folder, opaque, b"y", rustix::fs::XattrFlags::empty()).is_err() {
        return; // only root can
    }
    reset(state.path(), &kept(Identity::New, &["/etc/net/a"]));
    let mut value = [0; 8];
    assert!(rustix::fs::lgetxattr(&folder, opaque, &mut value[..]).is_err());
    assert!(folder.join("a").exists());
}
