//! Quadlet files on a machine: systemd runs the generator.

use crate::fixture::Node;

#[test]
fn container_files_are_units() {
    let good = "[Container]\nImage=busybox:saved\nNetwork=none\nEnvironment=A=\"x y\"\nExec=sh -c 'echo [$$A]; sleep 1000'\n[Service]\nTimeoutStopSec=1\n";
    let bad = "[Container]\nImage=busybox:saved\nNetwork=none\nMemroy=1G\n";
    let node = Node::with_image(
        "c8",
        &[
            ("/etc/containers/systemd/web.container", good),
            ("/etc/containers/systemd/bad.container", bad),
        ],
    );
    node.run(&["systemctl", "start", "web.service"]);
    assert_eq!(node.property("web.service", "ActiveState"), "active");
    node.wait(
        &["journalctl", "--unit=web.service", "--output=cat"],
        "[x y]",
    );
    let (status, _, _) = node.output(&["systemctl", "start", "bad.service"]);
    assert!(!status.success());
    let expected = "bad.container:4: [Container] Memroy: there is no such key; `Memory` is meant?";
    node.wait(
        &["journalctl", "--unit=bad.service", "--output=cat"],
        expected,
    );
    node.run(&["systemctl", "stop", "web.service"]);
    node.assert_nothing_left();
}

#[test]
fn image_files_are_units_that_containers_wait_for() {
    let web = "[Container]\nImage=box.image\nNetwork=none\nExec=sleep 1000\n";
    let bad = "[Container]\nImage=gone.image\nNetwork=none\n";
    let node = Node::with_image(
        "c9",
        &[
            ("/etc/containers/systemd/web.container", web),
            ("/etc/containers/systemd/bad.container", bad),
            (
                "/etc/containers/systemd/box.image",
                "[Image]\nImage=busybox:saved\nPolicy=missing\n",
            ),
            (
                "/etc/containers/systemd/gone.image",
                "[Image]\nImage=no/such:image\nPolicy=never\n",
            ),
        ],
    );
    node.run(&["systemctl", "start", "web.service"]);
    let state = |unit: &str| node.property(unit, "ActiveState");
    assert_eq!(state("web.service"), "active");
    assert_eq!(state("box-image.service"), "active");
    let line = ["journalctl", "--unit=box-image.service", "--output=cat"];
    node.wait(&line, "docker.io/library/busybox:saved");

    let (status, _, errors) = node.output(&["systemctl", "start", "bad.service"]);
    assert!(
        !status.success() && errors.contains("dependency"),
        "{errors}"
    );
    let line = ["journalctl", "--unit=gone-image.service", "--output=cat"];
    node.wait(&line, "no/such:image is not on this machine");
    node.run(&["systemctl", "stop", "web.service"]);
    node.assert_nothing_left();
}
