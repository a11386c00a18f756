//! Builds killed in the middle: whatever stood before still stands, and the next build just works.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fixture::{Cache, Checkout, Run, find, scratch};
use crate::sparse::content_digest;

const POLL: Duration = Duration::from_millis(3);
/// Long enough for any step on any machine; a build that gets nowhere fails the test.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts a build and kills it as soon as `sign` exists.
fn kill_when(run: &Run, sign: &Path, signal: Signal) {
    let mut child = run.start();
    let begun = Instant::now();
    while !sign.exists() {
        assert!(begun.elapsed() < PATIENCE, "no {} came", sign.display());
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended before {} came", sign.display());
        std::thread::sleep(POLL);
    }
    let pid = Pid::from_child(&child);
    if signal == Signal::INT {
        // A terminal's Ctrl-C goes to every process in the foreground.
        kill_process_group(pid, signal).expect("interrupted");
    } else {
        kill_process(pid, signal).expect("killed");
    }
    let status = child.wait().expect("a status");
    assert!(!status.success(), "it ended before it was killed");
}

fn digests(folder: &Path) -> BTreeMap<PathBuf, String> {
    let is_final = |name: &str| !name.ends_with(".partial");
    let files = find(folder, &is_final).into_iter();
    files
        .map(|path| (path.clone(), content_digest(&path)))
        .collect()
}

#[test]
fn a_build_killed_in_any_step_leaves_the_old_image_whole_and_the_next_gives_the_same_bytes() {
    let (cache, checkout, temporary) = (Cache::warm(), Checkout::new(), scratch());
    let run = || {
        let temporary = temporary.path().display().to_string();
        cache.build_of(&checkout).environment("TMPDIR", &temporary)
    };
    run().succeed();
    let old = digests(&cache.image());
    assert!(old.len() >= 9, "{old:?}");

    checkout.append("image/files/etc/issue", "changed\n");
    fs::remove_dir_all(cache.file("unpack")).expect("removed");
    for (step, signal) in [
        ("unpack", Signal::KILL),
        ("unpack", Signal::INT),
        ("compose", Signal::KILL),
        ("commit", Signal::KILL),
        ("erofs", Signal::INT),
        ("disk", Signal::KILL),
    ] {
        kill_when(&run(), &cache.file(step).join(".partial"), signal);
        assert!(
            old == digests(&cache.image()),
            "killed in {step}: the image changed"
        );
    }
    let copy = cache.image().join("keelson-vm.raw.partial");
    kill_when(&run(), &copy, Signal::KILL);
    assert!(
        old == digests(&cache.image()),
        "killed while copying: the image changed"
    );

    run().succeed();
    let is_left = |name: &str| name.ends_with(".partial") || name.starts_with(".staging");
    assert_eq!(find(cache.path(), &is_left), Vec::<PathBuf>::new());
    assert_eq!(find(temporary.path(), &|_| true), Vec::<PathBuf>::new());

    let undisturbed = Cache::warm();
    undisturbed.build_of(&checkout).succeed();
    for name in ["keelson-vm.raw", "keelson-vm.efi", "keelson-vm.json"] {
        let [a, b] = [&cache, &undisturbed].map(|c| content_digest(&c.image().join(name)));
        assert_eq!(a, b, "{name} differs from an undisturbed build's");
    }
}

#[test]
fn a_first_build_killed_in_the_middle_leaves_nothing_under_a_final_name() {
    let cache = Cache::cold();
    let sign = cache.file("unpack").join(".partial/packages.tar");
    kill_when(&cache.build(), &sign, Signal::KILL);
    assert!(digests(&cache.image()).is_empty());
    let results = find(&cache.file("unpack"), &|name| name == ".record.json");
    assert_eq!(results, Vec::<PathBuf>::new());
}
