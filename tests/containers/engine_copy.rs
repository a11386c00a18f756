//! Files of containers over the Docker Engine API: docker cp, diff and export, of containers that run, ran, and
//! never did.

use crate::engine::{docker, docker_may_fail, engine};
use crate::fixture::Node;

const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

fn create(node: &Node, name: &str, options: &[&str], script: &str) {
    let name = format!("--name={name}");
    let mut words = vec!["create", &name, "--network=none"];
    words.extend(options);
    words.extend(["busybox:saved", "sh", "-c", script]);
    docker(node, &words);
}

/// What a shell of the machine says, where `docker` is the client.
fn shell(node: &Node, script: &str) -> String {
    let script = format!("set -e; docker() {{ /opt/docker \"$@\"; }}; cd /run/files; {script}");
    node.run(&["bash", "-c", &script])
}

fn refused(node: &Node, words: &[&str]) -> String {
    let (code, output, errors) = docker_may_fail(node, words);
    assert_eq!(code, Some(1), "{words:?}: {output}{errors}");
    errors
}

#[test]
fn files_are_copied_from_and_to_containers() {
    let node = engine("k1");
    node.run(&["mkdir", "-p", "/run/files/tree/deep"]);
    let make = "echo text > a; echo inner > tree/deep/file; ln -s deep/file tree/link; \
        chown 7:8 a; chmod 4750 a; touch -d @1000000 a tree/deep";
    shell(&node, make);
    never_run(&node);
    running(&node);
    confined(&node);
    docker(&node, &["rm", "--force", "one", "two", "three", "four"]);
    docker(&node, &["volume", "rm", "data"]);
    node.assert_nothing_left();
}

/// Before the first run, and after it.
fn never_run(node: &Node) {
    create(
        node,
        "one",
        &[],
        "cat /srv/a; stat -c '%a %u:%g %Y' /srv/a; readlink /srv/tree/link",
    );
    assert_eq!(docker(node, &["diff", "one"]), "");
    shell(
        node,
        "docker cp a one:/srv; docker cp tree one:/srv/; docker cp tree/. one:/srv/new",
    );
    let started = docker(node, &["start", "--attach", "one"]);
    assert_eq!(started, "text\n4750 7:8 1000000\ndeep/file\n");
    let out = "docker cp one:/srv/new out; cat out/deep/file; docker cp one:/srv/a b; \
        stat -c '%a %Y' b; docker cp one:/srv/tree/. out2; ls out2; docker cp -L one:/srv/tree/link c; cat c";
    assert_eq!(shell(node, out), "inner\n4750 1000000\ndeep\nlink\ninner\n");
    let listed = shell(node, "docker cp one:/srv/tree - | tar -t");
    assert_eq!(listed, "tree/\ntree/deep/\ntree/deep/file\ntree/link\n");
    // Stopped again, with what the image had removed and changed.
    let change = "busybox rm /etc/group; echo x >> /etc/passwd; mkdir -p /var/new";
    create(node, "two", &[], change);
    docker(node, &["start", "--attach", "two"]);
    let mut changes: Vec<String> = docker(node, &["diff", "two"])
        .lines()
        .map(ToOwned::to_owned)
        .collect();
    changes.sort();
    assert_eq!(
        changes,
        [
            "A /var",
            "A /var/new",
            "C /etc",
            "C /etc/passwd",
            "D /etc/group"
        ]
    );
    let exported = shell(node, "docker export two > two.tar; tar -tf two.tar");
    for path in ["etc/passwd", "bin/busybox", "var/new/"] {
        assert!(
            exported.lines().any(|line| line == path),
            "{path}: {exported}"
        );
    }
    assert!(!exported.contains("etc/group"), "{exported}");
    assert_eq!(
        shell(node, "tar -xOf two.tar etc/passwd | tail -n 1"),
        "x\n"
    );
}

/// With a volume, which is a part of it.
fn running(node: &Node) {
    create(node, "three", &["--volume=data:/data", "--user=web"], IDLE);
    docker(node, &["start", "three"]);
    let script = "docker cp a three:/data/; docker cp -a tree three:/data/own; \
        stat -c '%u:%g' /var/lib/keelson/volumes/data/a /var/lib/keelson/volumes/data/own/deep/file; \
        tar -c a | docker cp - three:/tmp; docker cp three:/tmp/a - | tar -xO; docker cp three:/data/own/link - | tar -t";
    assert_eq!(shell(node, script), "7:8\n33:34\ntext\nlink\n");
    let exported = shell(node, "docker export three | tar -t");
    assert!(
        exported.contains("data/\n") && !exported.contains("data/a"),
        "{exported}"
    );
    assert!(
        exported.contains("proc/\n") && !exported.contains("proc/1"),
        "{exported}"
    );
}

/// Links lead nowhere but into the container, and what cannot be is told.
fn confined(node: &Node) {
    node.run(&["sh", "-c", "echo secret > /run/files/secret"]);
    let links = "ln() { busybox ln -s $1 $2; }; ln /run/files /srv/out; ln ../../../../run/files/secret /srv/up; \
        ln /etc /srv/etc; ln loop /srv/loop";
    create(
        node,
        "four",
        &["--read-only", "--tmpfs=/tmp", "--volume=data:/srv"],
        &format!("{links}; {IDLE}"),
    );
    docker(node, &["start", "four"]);
    node.wait(&["readlink", "/var/lib/keelson/volumes/data/loop"], "loop");
    for path in ["/srv/out/secret", "/srv/out/", "/none"] {
        let errors = refused(node, &["cp", &format!("four:{path}"), "-"]);
        assert!(errors.contains("Could not find the file"), "{errors}");
    }
    let errors = refused(node, &["cp", "-L", "four:/srv/up", "-"]);
    assert!(errors.contains("Could not find the file"), "{errors}");
    assert_eq!(
        shell(
            node,
            "docker cp four:/srv/etc/passwd - | tar -xO | head -n 1"
        ),
        "root:x:0:0:root:/root:/bin/sh\n"
    );
    let errors = refused(node, &["cp", "/run/files/a", "four:/srv/out/x"]);
    assert!(errors.contains("Could not find the file"), "{errors}");
    let errors = refused(node, &["cp", "/run/files/a", "four:/opt"]);
    assert!(
        errors.contains("container rootfs is marked read-only"),
        "{errors}"
    );
    shell(
        node,
        "docker cp a four:/tmp/a; docker cp four:/tmp/a - | tar -xO > copy; cmp a copy",
    );
    let errors = refused(node, &["cp", "/run/files/tree", "four:/tmp/a"]);
    assert!(errors.contains("cannot copy"), "{errors}");
    let left = node.run(&["ls", "/run/files"]);
    assert!(
        !left.contains('x'),
        "nothing was written through the link: {left}"
    );
    docker(node, &["stop", "four"]);
    let errors = refused(node, &["cp", "/run/files/a", "four:/etc"]);
    assert!(
        errors.contains("container rootfs is marked read-only"),
        "{errors}"
    );
}
