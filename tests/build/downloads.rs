//! Downloads that go wrong: an error that names the package, nothing kept of it, everything else kept.

use image_build::lock::LockedPackage;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fixture::{Cache, Checkout, assert_says, find};
use crate::server::{Answer, Server};

/// So often a server is asked that may be in passing trouble.
const ATTEMPTS: usize = 3;

/// A warm build whose one missing package is small.
struct Missing {
    cache: Cache,
    checkout: Checkout,
    package: LockedPackage,
    contents: Vec<u8>,
}

impl Missing {
    fn new() -> Self {
        let (cache, checkout) = (Cache::warm(), Checkout::new());
        let package = checkout.package("hostname");
        let path = cache.package(&package);
        let contents = fs::read(&path).expect("fetched");
        fs::remove_file(path).expect("removed");
        Self {
            cache,
            checkout,
            package,
            contents,
        }
    }

    /// Builds from a server that answers so, expects it to fail at once and checks that nothing was kept.
    fn fail(&self, answer: Answer, renew: bool) -> String {
        self.fail_after(1, answer, renew)
    }

    /// The same for a server that is asked so often.
    fn fail_after(&self, attempts: usize, answer: Answer, renew: bool) -> String {
        let server = Server::new(move |_| answer.clone());
        let lock = self.checkout.read("image/packages.lock");
        let mut run = self.cache.build_of(&self.checkout);
        if renew {
            run = run.argument("--renew-vanished");
        }
        let error = run.mirror(Some(&server.mirror())).fail();
        let asked = vec![format!("/debian/{}", self.package.path); attempts];
        assert_eq!(server.asked(), asked);
        assert!(!self.cache.package(&self.package).exists(), "it was kept");
        let is_left = |name: &str| name.contains(".part");
        let left = find(&self.cache.file("packages"), &is_left);
        assert_eq!(left, Vec::<PathBuf>::new());
        assert_eq!(self.checkout.read("image/packages.lock"), lock);
        assert!(!self.cache.image().exists(), "an image came of it");
        error
    }
}

#[test]
fn the_right_file_is_taken() {
    let missing = Missing::new();
    let contents = missing.contents.clone();
    let server = Server::new(move |_| Answer::Body(contents.clone()));
    let run = missing.cache.build_of(&missing.checkout);
    run.mirror(Some(&server.mirror())).succeed();
    let kept = fs::read(missing.cache.package(&missing.package)).expect("kept");
    assert_eq!(kept, missing.contents);
}

#[test]
fn a_wrong_file_is_refused_and_never_taken_for_a_vanished_one() {
    let missing = Missing::new();
    let mut wrong = missing.contents.clone();
    let last = wrong.last_mut().expect("not empty");
    *last ^= 1;
    for renew in [false, true] {
        let error = missing.fail(Answer::Body(wrong.clone()), renew);
        assert_says(
            &error,
            &["hostname", &missing.package.sha256, "SHA-256", "--mirror"],
        );
    }
}

#[test]
fn a_file_of_another_length_is_refused() {
    let missing = Missing::new();
    let length = missing.contents.len();
    let longer = [&missing.contents[..], b"more"].concat();
    let error = missing.fail(Answer::Body(longer), false);
    assert_says(&error, &["hostname", &format!("more than {length} bytes")]);
    let shorter = missing.contents[..length - 5].to_vec();
    let error = missing.fail(Answer::Body(shorter), true);
    let words = [
        format!("has {} bytes", length - 5),
        format!("the lock says {length}"),
    ];
    assert_says(&error, &["hostname", &words[0], &words[1]]);
}

#[test]
fn a_connection_that_breaks_again_and_again_ends_in_an_error() {
    let missing = Missing::new();
    let (body, promised) = (missing.contents[..4000].to_vec(), missing.contents.len());
    let cut = Answer::Cut { body, promised };
    assert_says(
        &missing.fail_after(ATTEMPTS, cut, false),
        &["cannot fetch", &missing.package.path],
    );
}

#[test]
fn a_broken_server_is_named_with_its_status() {
    let missing = Missing::new();
    let error = missing.fail_after(ATTEMPTS, Answer::Status(503), true);
    assert_says(&error, &["cannot fetch", &missing.package.path, "503"]);
    let error = missing.fail(Answer::Status(403), true);
    assert_says(&error, &["cannot fetch", &missing.package.path, "403"]);
}

#[test]
fn trouble_that_passes_does_not_end_a_build() {
    let missing = Missing::new();
    let (contents, asked) = (missing.contents.clone(), AtomicUsize::new(0));
    let server = Server::new(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::Status(503),
        1 => Answer::Stalled {
            body: contents[..4000].to_vec(),
            promised: contents.len(),
        },
        _ => Answer::Body(contents.clone()),
    });
    let run = missing.cache.build_of(&missing.checkout);
    run.mirror(Some(&server.mirror())).succeed();
    let kept = fs::read(missing.cache.package(&missing.package)).expect("kept");
    assert_eq!((kept, server.asked().len()), (missing.contents, ATTEMPTS));
}

#[test]
fn without_a_network_there_is_one_clear_error_and_fetched_packages_stay() {
    let nothing = Cache::empty();
    let error = nothing.build().fail();
    assert_says(
        &error,
        &["cannot fetch http://127.0.0.1:1/debian", "network"],
    );
    assert_eq!(error.lines().count(), 1, "{error}");

    let missing = Missing::new();
    let packages = missing.cache.file("packages");
    let before = find(&packages, &|_| true).len();
    missing.cache.build_of(&missing.checkout).fail();
    assert_eq!(find(&packages, &|_| true).len(), before);
}
