//! A root in a temporary folder, with links that lead inside and outside.
//!
//! Ownership is checked as far as the test may change it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

fn root() -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("root/etc")).unwrap();
    fs::write(folder.path().join("secret"), "outside").unwrap();
    let root = Root::open(&folder.path().join("root")).unwrap();
    (folder, root)
}

#[test]
fn absolute_links_lead_to_the_folder_and_none_leads_out() {
    let (folder, root) = root();
    let at = |path: &str| folder.path().join("root").join(path);
    fs::write(at("etc/a"), "inside").unwrap();
    symlink("/etc/a", at("absolute")).unwrap();
    symlink("../../../../secret", at("upward")).unwrap();
    symlink(folder.path().join("secret"), at("foreign")).unwrap();
    assert_eq!(root.read("/absolute").unwrap().unwrap(), b"inside");
    assert_eq!(root.read("/upward").unwrap(), None);
    assert_eq!(root.read("/foreign").unwrap(), None);
    assert_eq!(
        root.read("/etc/../../../etc/a").unwrap().unwrap(),
        b"inside"
    );
}

#[test]
fn real_paths_are_free_of_links() {
    let (folder, root) = root();
    let at = |path: &str| folder.path().join("root").join(path);
    fs::create_dir_all(at("var/deep")).unwrap();
    fs::write(at("etc/file"), "").unwrap();
    symlink("/var", at("etc/var")).unwrap();
    symlink("../var/deep", at("etc/deep")).unwrap();
    symlink("../..", at("etc/out")).unwrap();
    symlink("loop", at("etc/loop")).unwrap();
    let real = |path: &str| root.real_path(path).map_err(|problem| problem.to_string());
    assert_eq!(real("/etc/var/x/y").unwrap(), "/var/x/y");
    assert_eq!(real("/etc/deep/x").unwrap(), "/var/deep/x");
    assert_eq!(real("/etc//./new/x").unwrap(), "/etc/new/x");
    assert_eq!(
        real("/etc/var").unwrap(),
        "/etc/var",
        "the last is not followed"
    );
    let out = real("/etc/out/x").unwrap_err();
    assert!(out.contains("/etc/out, which leads out"), "{out}");
    let file = real("/etc/file/x").unwrap_err();
    assert!(file.contains("/etc/file, which is a file"), "{file}");
    assert!(real("/etc/loop/x").unwrap_err().contains("links"));
}

#[test]
fn files_have_mode_and_owner_and_leave_nothing_beside_them() {
    let (folder, root) = root();
    let owner = Owner {
        user: 1234,
        group: 5678,
    };
    root.write("/etc/a", b"one", 0o4750, owner).unwrap();
    root.write("/etc/a", b"two", 0o4750, owner).unwrap();
    let metadata = fs::metadata(folder.path().join("root/etc/a")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o4750);
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 5678));
    assert_eq!(root.read("/etc/a").unwrap().unwrap(), b"two");
    assert_eq!(root.names("/etc").unwrap(), ["a"]);
}

#[test]
fn nothing_is_written_through_a_link() {
    let (folder, root) = root();
    let at = |path: &str| folder.path().join("root").join(path);
    fs::create_dir(at("var")).unwrap();
    symlink("/var", at("etc/var")).unwrap();
    symlink(folder.path().join("secret"), at("etc/file")).unwrap();
    assert!(
        root.write("/etc/var/x", b"", 0o644, Owner::default())
            .is_err()
    );
    assert_eq!(root.names("/var").unwrap(), [""; 0]);
    root.write("/etc/file", b"new", 0o644, Owner::default())
        .unwrap();
    assert_eq!(fs::read(folder.path().join("secret")).unwrap(), b"outside");
    assert_eq!(root.look("/etc/file").unwrap().unwrap().kind, Kind::File);
}

#[test]
fn links_and_other_names_replace_in_one_step() {
    let (_folder, root) = root();
    let owner = Owner { user: 7, group: 8 };
    root.write("/etc/a", b"", 0o644, Owner::default()).unwrap();
    root.symlink("/etc/b", "a", owner).unwrap();
    let link = root.look("/etc/b").unwrap().unwrap();
    assert_eq!(link.kind, Kind::Link("a".to_owned()));
    assert_eq!(link.owner, owner);
    root.hard_link("/etc/b", "/etc/a").unwrap();
    root.hard_link("/etc/b", "/etc/a").unwrap();
    let node = |path| root.look(path).unwrap().unwrap().node;
    assert_eq!(node("/etc/a"), node("/etc/b"));
    assert_eq!(root.names("/etc").unwrap(), ["a", "b"]);
}

#[test]
fn a_tree_is_removed_without_following_links() {
    let (folder, root) = root();
    let at = |path: &str| folder.path().join("root").join(path);
    fs::create_dir_all(at("etc/tree/deep")).unwrap();
    symlink("/etc/kept", at("etc/tree/link")).unwrap();
    fs::create_dir(at("etc/kept")).unwrap();
    fs::write(at("etc/kept/file"), "").unwrap();
    root.remove("/etc/tree").unwrap();
    assert_eq!(root.names("/etc").unwrap(), ["kept"]);
    assert_eq!(root.names("/etc/kept").unwrap(), ["file"]);
}

#[test]
fn directories_appear_filled() {
    let (folder, root) = root();
    let owner = Owner { user: 5, group: 6 };
    root.make_parents("/srv/a/b").unwrap();
    root.make_directory("/srv/a/b", 0o700, owner, |inside| {
        root.write(&join(inside, "x"), b"", 0o600, owner)
    })
    .unwrap();
    assert_eq!(root.names("/srv/a").unwrap(), ["b"]);
    assert_eq!(root.names("/srv/a/b").unwrap(), ["x"]);
    let metadata = fs::metadata(folder.path().join("root/srv/a/b")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o700);
    assert_eq!(metadata.uid(), 5);
    let again = root.make_directory("/srv/a/b", 0o700, owner, |_| Ok(()));
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
}
