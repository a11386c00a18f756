//! Copies of real trees; whiteouts, owners and trusted attributes only where root runs them.
use super::*;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::process::geteuid;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; lgetxattr_query(path, name).ok()?];
    let length = lgetxattr(path, name, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn contents_modes_links_and_times_are_kept() {
    let base = tempfile::tempdir().unwrap();
    let (from, to) = (base.path().join("from"), base.path().join("to"));
    fs::create_dir_all(from.join("ssh/keys")).unwrap();
    fs::write(from.join("ssh/keys/host"), "secret").unwrap();
    fs::set_permissions(from.join("ssh/keys/host"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(from.join("ssh"), Permissions::from_mode(0o2750)).unwrap();
    fs::set_permissions(&from, Permissions::from_mode(0o755)).unwrap();
    symlink("/nonexistent/target", from.join("dangling")).unwrap();
    let times = Timestamps {
        last_access: timespec(1, 2),
        last_modification: timespec(1_000_000_000, 7),
    };
    utimensat(CWD, from.join("ssh"), &times, AtFlags::empty()).unwrap();

    copy(&from, &to, &[]).unwrap();

    assert_eq!(names(&to), ["dangling", "ssh"]);
    assert_eq!(
        fs::read_to_string(to.join("ssh/keys/host")).unwrap(),
        "secret"
    );
    assert_eq!(
        fs::metadata(to.join("ssh/keys/host")).unwrap().mode() & 0o7777,
        0o600
    );
    let ssh = fs::metadata(to.join("ssh")).unwrap();
    assert_eq!(ssh.mode() & 0o7777, 0o2750);
    assert_eq!(
        (ssh.mtime(), ssh.mtime_nsec()),
        (1_000_000_000, 7),
        "set after its children"
    );
    assert_eq!(
        fs::read_link(to.join("dangling")).unwrap(),
        Path::new("/nonexistent/target")
    );
}

#[test]
fn only_direct_children_are_left_out() {
    let base = tempfile::tempdir().unwrap();
    let (from, to) = (base.path().join("from"), base.path().join("to"));
    fs::create_dir_all(from.join("pam")).unwrap();
    for name in ["passwd", "hosts", "pam/passwd"] {
        fs::write(from.join(name), name).unwrap();
    }
    copy(&from, &to, &["passwd", "shadow"]).unwrap();
    assert_eq!(names(&to), ["hosts", "pam"]);
    assert_eq!(names(&to.join("pam")), ["passwd"]);
}

#[test]
fn sockets_are_left_out_and_pipes_kept() {
    let base = tempfile::tempdir().unwrap();
    let (from, to) = (base.path().join("from"), base.path().join("to"));
    fs::create_dir(&from).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
    mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    copy(&from, &to, &[]).unwrap();
    assert_eq!(names(&to), ["pipe"]);
    assert!(
        fs::symlink_metadata(to.join("pipe"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
}

#[test]
fn a_missing_source_and_an_existing_target_are_errors() {
    let base = tempfile::tempdir().unwrap();
    let error = copy(&base.path().join("none"), &base.path().join("to"), &[]).unwrap_err();
    assert!(error.to_string().ends_with("/none"), "{error}");
    assert!(copy(base.path(), base.path(), &[]).is_err());
}

#[test]
fn whiteouts_owners_and_overlay_attributes_survive() {
    if !geteuid().is_root() {
        return; // only root can make them
    }
    let base = tempfile::tempdir().unwrap();
    let (from, to) = (base.path().join("from"), base.path().join("to"));
    fs::create_dir_all(from.join("opaque")).unwrap();
    mknodat(
        CWD,
        from.join("deleted"),
        FileType::CharacterDevice,
        Mode::empty(),
        0,
    )
    .unwrap();
    fs::write(from.join("setuid"), "").unwrap();
    std::os::unix::fs::chown(from.join("setuid"), Some(123), Some(456)).unwrap();
    fs::set_permissions(from.join("setuid"), Permissions::from_mode(0o4755)).unwrap();
    symlink("x", from.join("link")).unwrap();
    std::os::unix::fs::lchown(from.join("link"), Some(7), Some(8)).unwrap();
    let set = |name: &str, value: &[u8]| {
        lsetxattr(from.join("opaque"), name, value, XattrFlags::empty()).unwrap();
    };
    set("trusted.overlay.opaque", b"y");
    set(
        "trusted.overlay.origin",
        b"handle of a file in the old root",
    );
    set("user.note", b"");

    copy(&from, &to, &[]).unwrap();

    let whiteout = fs::symlink_metadata(to.join("deleted")).unwrap();
    assert!(whiteout.file_type().is_char_device());
    assert_eq!(whiteout.rdev(), 0);
    let setuid = fs::metadata(to.join("setuid")).unwrap();
    assert_eq!(
        (setuid.uid(), setuid.gid(), setuid.mode() & 0o7777),
        (123, 456, 0o4755)
    );
    let link = fs::symlink_metadata(to.join("link")).unwrap();
    assert_eq!((link.uid(), link.gid()), (7, 8));
    assert_eq!(
        attribute(&to.join("opaque"), "trusted.overlay.opaque").as_deref(),
        Some(&b"y"[..])
    );
    assert_eq!(
        attribute(&to.join("opaque"), "user.note").as_deref(),
        Some(&b""[..])
    );
    assert_eq!(
        attribute(&to.join("opaque"), "trusted.overlay.origin"),
        None
    );
}
