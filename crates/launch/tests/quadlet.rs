//! `launch check` and the generator, as a user and as systemd run them.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

const LAUNCH: &str = env!("CARGO_BIN_EXE_launch");

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn check(arguments: &[&str]) -> Output {
    Command::new(LAUNCH)
        .arg("check")
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs the generator over a root; gives back the folder of units.
fn generate(root: &Path) -> std::path::PathBuf {
    let target = root.join("generator");
    std::fs::create_dir_all(&target).unwrap();
    let status = Command::new(LAUNCH)
        .arg0("/usr/lib/systemd/system-generators/launch-generator")
        .args([&target, &target, &target])
        .env("KEELSON_QUADLET_ROOT", root)
        .status()
        .unwrap();
    assert!(status.success());
    target
}

const WEB: &str = "[Container]\nImage=busybox\nNetwork=host\nExec=httpd -f\n[Install]\nWantedBy=multi-user.target\n";

#[test]
fn check_prints_units_or_what_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "web.container", WEB);
    write(
        root.path(),
        "bad.container",
        "[Container]\nImage=busybox\nPublishPorts=80\nMemory=1\nNetwork=none\n",
    );
    write(root.path(), "data.kube", "[Kube]\n");
    let path = |name: &str| root.path().join(name).display().to_string();
    let good = check(&[&path("web.container")]);
    assert!(
        good.status.success() && good.stdout.is_empty() && good.stderr.is_empty(),
        "{good:?}"
    );
    let printed = check(&["--print", &path("web.container")]);
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.starts_with("# web.service\n[Unit]\n"), "{text}");
    assert!(text.contains(" busybox httpd -f\n"), "{text}");
    let bad = check(&[
        &path("bad.container"),
        &path("data.kube"),
        &path("none.container"),
    ]);
    assert_eq!(bad.status.code(), Some(1));
    let text = String::from_utf8(bad.stderr).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("bad.container:3: [Container] PublishPorts: there is no such key; `PublishPort` is meant?"), "{text}");
    assert!(
        lines[1].starts_with("bad.container:4: [Container] Memory: `1` is no size of memory"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("data.kube: `.kube` files are not supported"),
        "{text}"
    );
    assert!(lines[3].contains("none.container: No such file"), "{text}");
}

#[test]
fn the_generator_writes_units_and_links() {
    let root = tempfile::tempdir().unwrap();
    let etc = "etc/containers/systemd";
    write(root.path(), &format!("{etc}/web.container"), WEB);
    write(root.path(), &format!("{etc}/README"), "not for it\n");
    write(
        root.path(),
        "usr/share/containers/systemd/web.container",
        "hidden by /etc\n",
    );
    write(
        root.path(),
        &format!("{etc}/web.container.d/10-a.conf"),
        "[Container]\nEnvironment=A=1\n",
    );
    let target = generate(root.path());
    let unit = std::fs::read_to_string(target.join("web.service")).unwrap();
    assert!(unit.contains("/usr/bin/launch run "), "{unit}");
    let link = std::fs::read_link(target.join("multi-user.target.wants/web.service")).unwrap();
    assert_eq!(link, Path::new("../web.service"));
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 2);
}

#[test]
fn a_wrong_file_becomes_a_unit_that_says_so() {
    let root = tempfile::tempdir().unwrap();
    let path = "etc/containers/systemd/a b.container";
    write(root.path(), path, "[Container]\n");
    write(
        root.path(),
        "etc/containers/systemd/bad.container",
        "[Container]\nImage=B\n",
    );
    let target = generate(root.path());
    let unit = std::fs::read_to_string(target.join("bad.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/launch check "), "{unit}");
    assert!(unit.contains("bad.container\n"), "{unit}");
    assert!(!unit.contains("launch run"), "{unit}");
}

#[test]
fn no_folder_is_no_error() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(std::fs::read_dir(generate(root.path())).unwrap().count(), 0);
}
