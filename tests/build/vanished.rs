//! Packages that the archive no longer has. Renewing needs the network: this machine's own mirror.

use image_build::lock::{LockedPackage, PackagesLock};
use std::collections::BTreeMap;

use crate::fixture::{Cache, Checkout, assert_says};
use crate::server::{Answer, Server};

/// A checkout whose lock names a version of `hostname` that never was.
fn with_vanished_package() -> (Checkout, LockedPackage) {
    let checkout = Checkout::new();
    let mut lock = checkout.lock();
    let found = lock
        .packages
        .iter_mut()
        .find(|package| package.name == "hostname");
    let package = found.expect("it is locked");
    "0.0-gone".clone_into(&mut package.version);
    "pool/main/h/hostname/hostname_0.0-gone_amd64.deb".clone_into(&mut package.path);
    package.sha256 = "0".repeat(64);
    let vanished = package.clone();
    lock.save(&checkout.path().join("image/packages.lock"))
        .expect("saved");
    (checkout, vanished)
}

fn by_name(lock: &PackagesLock) -> BTreeMap<(String, String), LockedPackage> {
    let key = |package: &LockedPackage| (package.tree.clone(), package.name.clone());
    let packages = lock.packages.iter();
    packages
        .map(|package| (key(package), package.clone()))
        .collect()
}

#[test]
fn without_the_flag_the_error_names_package_version_and_command() {
    let (cache, (checkout, _)) = (Cache::warm(), with_vanished_package());
    let lock = checkout.read("image/packages.lock");
    let server = Server::new(|_| Answer::Status(404));
    let error = cache
        .build_of(&checkout)
        .mirror(Some(&server.mirror()))
        .fail();
    let words = [
        "hostname",
        "0.0-gone",
        "404",
        "`keelson build --renew-vanished`",
    ];
    assert_says(&error, &words);
    assert_eq!(checkout.read("image/packages.lock"), lock);
}

#[test]
fn with_the_flag_only_that_entry_is_renewed() {
    let (cache, (checkout, vanished)) = (Cache::warm(), with_vanished_package());
    let before = checkout.lock();
    let run = cache.build_of(&checkout).argument("--renew-vanished");
    let outcome = run.mirror(None).succeed();
    assert_says(&outcome.stderr, &["packages.lock", "hostname 0.0-gone ->"]);
    let after = checkout.lock();
    assert_eq!(after.resolved, before.resolved, "the time stamp moved");
    let (old, new) = (by_name(&before), by_name(&after));
    for (key, package) in &new {
        // A name that is new belongs to a set of packages that the archive changed meanwhile.
        let same = old.get(key).is_none_or(|earlier| earlier == package);
        assert!(same || package.name == vanished.name, "{package:?} changed");
    }
    let renewed = checkout.package("hostname");
    assert_ne!(renewed.version, vanished.version);
    assert!(cache.package(&renewed).exists());
}
