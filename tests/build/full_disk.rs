//! A disk that fills up, step by step, on a small file system in a mount namespace of its own.

use std::fs;
use std::path::Path;

use crate::fixture::{Cache, Checkout, Outcome, Run, assert_says, fetched_packages};
use crate::server::{Answer, Server};

/// Mounts a file system of that size on a folder, runs the build and lists what it left there.
const SCRIPT: &str = r#"mkdir -p "$1" && mount -t tmpfs -o "size=$2" tmpfs "$1" || exit 99
folder=$1; shift 2
"$@"; code=$?
find "$folder" -mindepth 1 -maxdepth 1 -printf 'left %f\n' >&2
exit $code"#;

/// Builds with `folder` on a file system of `size`, as mount(8) knows sizes.
fn build_on_small_disk(run: &Run, folder: &Path, size: &str) -> Outcome {
    let namespace = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let folder = folder.display().to_string();
    let prefix = [
        "unshare", namespace, "sh", "-c", SCRIPT, "sh", &folder, size,
    ];
    run.run_below(&prefix)
}

fn assert_disk_full(outcome: &Outcome, folder: &Path) -> Vec<String> {
    assert!(!outcome.success, "{}", outcome.stderr);
    let folder = folder.display().to_string();
    assert_says(
        &outcome.error(),
        &["the disk is full", &folder, "make clean"],
    );
    let left = outcome
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("left "));
    left.map(str::to_owned).collect()
}

/// Fills the disk in one step and checks that it left no result.
fn fill_in_step(cache: &Cache, step: &str, size: &str) {
    let outcome = build_on_small_disk(&cache.build(), &cache.file(step), size);
    let left = assert_disk_full(&outcome, &cache.file(step));
    assert_says(&outcome.error(), &[&format!("step {step}: ")]);
    assert!(
        left.iter().all(|name| name == ".partial"),
        "{step}: {left:?}"
    );
}

#[test]
fn a_disk_that_fills_up_is_named_in_every_step_and_no_result_is_left() {
    let cache = Cache::warm();
    for (step, size) in [
        ("tools", "20m"),
        ("unpack", "8m"),
        ("unpack", "150m"),
        ("compose", "100m"),
        ("erofs", "100m"),
        ("verity", "1m"),
        ("initramfs", "1m"),
        ("uki", "4m"),
        ("disk", "8m"),
        ("disk", "100m"),
    ] {
        fill_in_step(&cache, step, size);
    }
    assert!(!cache.image().exists());
    let outcome = cache.build().succeed();
    assert_eq!(outcome.steps_run(), ["output"], "nothing else was lost");
}

#[test]
fn a_repository_on_a_full_disk_keeps_no_commit() {
    let cache = Cache::warm();
    fs::remove_dir_all(cache.file("commit")).expect("removed");
    let repository = cache.file("ostree");
    let outcome = build_on_small_disk(&cache.build(), &repository, "100m");
    assert_disk_full(&outcome, &repository);
    assert_says(&outcome.error(), &["step commit: "]);
    assert!(!cache.image().exists());
    assert_eq!(cache.build().succeed().steps_run(), ["commit", "output"]);
}

#[test]
fn an_output_on_a_full_disk_has_no_final_names() {
    let cache = Cache::warm();
    for size in ["100m", "318m"] {
        let outcome = build_on_small_disk(&cache.build(), &cache.image(), size);
        let left = assert_disk_full(&outcome, &cache.image());
        let is_partial = |name: &String| name.ends_with(".partial");
        assert!(!left.is_empty() && left.iter().all(is_partial), "{left:?}");
    }
}

#[test]
fn packages_that_do_not_fit_leave_no_half_file() {
    let (cache, checkout) = (Cache::empty(), Checkout::new());
    let packages = checkout.lock().packages;
    let server = Server::new(move |path| {
        let found = packages
            .iter()
            .find(|package| path.ends_with(&package.path));
        let file = found.map(|package| format!("{}.deb", package.sha256));
        match file.map(|file| fs::read(fetched_packages().join(file))) {
            Some(Ok(contents)) => Answer::Body(contents),
            _ => Answer::Status(404),
        }
    });
    let run = cache.build_of(&checkout).mirror(Some(&server.mirror()));
    let outcome = build_on_small_disk(&run, &cache.file("packages"), "4m");
    let left = assert_disk_full(&outcome, &cache.file("packages"));
    let is_whole = |name: &String| {
        let path = Path::new(name);
        path.extension().is_some_and(|extension| extension == "deb")
    };
    assert!(left.iter().all(is_whole), "{left:?}");
}

#[test]
fn nothing_outside_of_the_cache_and_the_output_is_needed() {
    let (cache, checkout) = (Cache::warm(), Checkout::new());
    checkout.append("image/files/etc/issue", "changed\n");
    let temporary = cache.file("temporary");
    let run = cache
        .build_of(&checkout)
        .environment("TMPDIR", &temporary.display().to_string());
    let outcome = build_on_small_disk(&run, &temporary, "4k");
    assert!(outcome.success, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("left "), "{}", outcome.stderr);
}
