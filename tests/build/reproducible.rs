//! The same inputs give the same bytes, whoever builds, whatever the umask.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::fixture::{
    Run, builder, built, fetched_packages, link_tree, programs, repository, scratch,
};
use crate::sparse::content_digest;

/// Debian's `nobody`.
const ORDINARY_USER: u32 = 65534;
const BECOME_ORDINARY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

#[test]
fn a_cold_build_by_an_ordinary_user_with_a_strict_umask_gives_the_same_bytes() {
    let place = scratch();
    let cache = place.path().join("cache");
    link_tree(&fetched_packages(), &cache.join("packages"));
    let prefix = another_user(place.path());
    for path in [place.path(), &cache, &cache.join("packages")] {
        if !prefix.is_empty() {
            chown(path, Some(ORDINARY_USER), Some(ORDINARY_USER)).expect("given away");
        }
    }
    let outcome = Run::new("build", &cache, &repository())
        .umask(0o077)
        .run_below(&prefix);
    assert!(outcome.success, "{}", outcome.stderr);
    assert!(
        outcome.steps_run().contains(&"unpack"),
        "{}",
        outcome.stderr
    );
    for name in [
        "keelson-vm.erofs",
        "keelson-vm.verity",
        "keelson-vm.initramfs",
        "keelson-vm.efi",
        "keelson-vm.raw",
        "keelson-vm.json",
    ] {
        let [ours, theirs] = [built(), &cache].map(|c| content_digest(&c.join("image").join(name)));
        assert_eq!(ours, theirs, "{name} differs");
    }
}

/// The words that make a command another user's; none where this user cannot become another, or where
/// an ordinary user could not read the checkout, as below `/root`. Then it is a second build by this user.
fn another_user(place: &Path) -> Vec<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    for folder in [place, programs()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("opened");
    }
    let recipe = repository().join("image/os.toml");
    let may_read = |path: &Path| {
        let mut command = Command::new(BECOME_ORDINARY[0]);
        command.args(&BECOME_ORDINARY[1..]).args(["test", "-r"]);
        command.arg(path).status().expect("setpriv runs").success()
    };
    if [place, &builder(), &recipe].into_iter().all(may_read) {
        return BECOME_ORDINARY.to_vec();
    }
    eprintln!("an ordinary user cannot read this checkout: building as the same user");
    Vec::new()
}
