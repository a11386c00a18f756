//! A state partition that fills up while something is fetched to it: a small file system in a mount namespace of
//! its own, in which this program is started once more.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use update_model::method::Method;
use update_model::record::Happened;
use updaterd::run::run;
use updaterd::watcher::{Progress, Watcher};

use crate::fixture::{Build, Releases};
use crate::machine::{TestMachine, install_from, installed};

/// Tells the inner run where the small file system is to be.
const SMALL_DISK: &str = "KEELSON_TEST_SMALL_DISK";
/// Mounts it and goes on as the inner run.
const SCRIPT: &str = r#"mount -t tmpfs -o size=18m tmpfs "$1" || exit 99; shift; exec "$@""#;

/// Starts this test again where the file system is small.
fn start_inside(test: &str) {
    let folder = tempfile::tempdir().expect("a directory");
    let namespace = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let output = Command::new("unshare")
        .args([namespace, "sh", "-c", SCRIPT, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(SMALL_DISK, folder.path())
        .output()
        .expect("unshare starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{error}");
    assert!(told.contains("1 passed"), "{told}{error}");
}

/// Fills the file system as soon as a delta is fetched.
#[derive(Debug)]
struct Filler {
    folder: PathBuf,
    filled_bytes: AtomicUsize,
}

impl Watcher for Filler {
    fn progress(&self, progress: Progress) {
        if !progress.phase.starts_with("fetching the delta") {
            return;
        }
        let mut file = fs::File::create(self.folder.join("filler")).expect("created");
        let block = [1; 4096];
        while file.write_all(&block).is_ok() {
            self.filled_bytes.fetch_add(block.len(), Ordering::Relaxed);
        }
    }
}

/// The delta has no room, and nothing else needs any: the update goes on without it.
#[test]
fn a_disk_that_fills_up_during_the_download_does_not_stop_an_update() {
    let Some(small) = std::env::var_os(SMALL_DISK).map(PathBuf::from) else {
        return start_inside(
            "full_disk::a_disk_that_fills_up_during_the_download_does_not_stop_an_update",
        );
    };
    let releases = Releases::new();
    releases.release(&Build::new("1"), false);
    releases.release(&Build::new("2"), true);
    let machine = TestMachine::new(&Build::new("1"), &releases);
    let downloads = machine.root.path("/var/lib/keelson/update/download");
    fs::create_dir_all(downloads.parent().expect("not /")).expect("a folder");
    let inside = small.join("download");
    fs::create_dir(&inside).expect("created");
    std::os::unix::fs::symlink(&inside, &downloads).expect("linked");
    let order = install_from(&releases.folder().display().to_string());
    let filler = Filler {
        folder: small.clone(),
        filled_bytes: AtomicUsize::new(0),
    };
    let outcome = run(&machine.root, &order, &filler).expect("it works");
    assert_eq!(outcome, installed("2"));
    assert!(filler.filled_bytes.into_inner() > 1 << 20, "it was full");
    assert_eq!(fs::read_dir(&inside).expect("a folder").count(), 0);
    let event = machine.record().history.back().expect("an event").clone();
    let Happened::Installed { method, .. } = event.what else {
        panic!("{event:?}");
    };
    assert_ne!(method, Method::StaticDelta);
    assert_eq!(machine.boot(), "2");
}
