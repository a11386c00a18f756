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
