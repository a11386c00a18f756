//! Images pulled from a registry that does what it should not: it breaks off, lies, is slow, or has too much
//! to do. It is in the machine's network.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::archive::{self, Parts};
use crate::fixture::{Node, SERVICE};
use crate::pseudoterminal::Pseudoterminal;
use crate::registry::{Fault, Registry};

const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONTENT: &str = "/var/lib/containerd/io.containerd.content.v1.content";
const REPOSITORY: &str = "team/app";
/// So long that a pull of it can be broken off.
const NOISE: usize = 16 << 20;

/// A registry at a port of the machine's loopback interface.
pub(crate) fn registry(node: &Node, port: u16) -> Registry {
    let path = format!("/proc/{}/ns/net", node.process_id());
    let network = std::fs::File::open(&path).expect("the machine runs");
    // The thread ends with the socket made, which stays in the network.
    let made = std::thread::spawn(move || {
        use std::os::fd::AsFd as _;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpListener::bind(("127.0.0.1", port))
    });
    let listener = made.join().expect("the thread ends");
    Registry::serve(listener.expect("the port is free"))
}

/// Has a registry hold an image as `team/app:1`.
pub(crate) fn fill(registry: &Registry, parts: &Parts) {
    for blob in &parts.blobs {
        registry.blob(REPOSITORY, blob);
    }
    registry.manifest(REPOSITORY, "1", KIND, &parts.manifest);
}

fn size(parts: &Parts) -> u64 {
    parts.blobs.iter().map(|blob| blob.len() as u64).sum()
}

/// How many blobs containerd has, and how many half ones.
pub(crate) fn blobs(node: &Node) -> (usize, usize) {
    let count = |folder: &str, kind: &str| {
        let path = format!("{CONTENT}/{folder}");
        let (_, output, _) = node.output(&["find", &path, "-mindepth", "1", "-type", kind]);
        output.lines().count()
    };
    (count("blobs/sha256", "f"), count("ingest", "d"))
}

#[test]
fn an_image_is_pulled_by_tag_and_digest_and_runs() {
    let node = Node::boot("p1", &[]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(0);
    fill(&registry, &parts);
    let name = "127.0.0.1:5000/team/app:1";
    let line = node.run(&["launch", "pull", name]);
    assert_eq!(line, format!("{name}\t{}\tnew\n", parts.digest));
    assert_eq!(registry.served(), size(&parts));
    let line = node.run(&["launch", "pull", name]);
    assert!(line.ends_with("\tunchanged\n"), "{line}");
    assert_eq!(registry.served(), size(&parts), "nothing is fetched twice");
    let (code, output, errors) = node.launch(&[], name, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");

    let pinned = format!("127.0.0.1:5000/team/app@{}", parts.digest);
    let digest = node.run(&["launch", "pull", "--quiet", &pinned]);
    assert_eq!(digest.trim(), parts.digest);
    let listed = node.run(&["launch", "images", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["name"], name);
    assert_eq!(listed[0]["size"], size(&parts));
    assert_eq!(listed[1]["name"], pinned);

    let other = format!("127.0.0.1:5000/team/app@sha256:{}", "0".repeat(64));
    let (status, _, errors) = node.output(&["launch", "pull", &other]);
    assert_eq!(status.code(), Some(125));
    assert!(
        errors.contains("127.0.0.1:5000 has no team/app@sha256:000"),
        "{errors}"
    );
}

#[test]
fn of_several_platforms_this_machines_is_pulled() {
    let node = Node::boot("p2", &[]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(0);
    fill(&registry, &parts);
    let index = |architecture: &str| {
        let other = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": KIND, "digest": format!("sha256:{}", "1".repeat(64)), "size": 1,
             "platform": {"os": "linux", "architecture": "s390x"}},
            {"mediaType": KIND, "digest": parts.digest, "size": parts.manifest.len(),
             "platform": {"os": "linux", "architecture": architecture}},
        ]});
        serde_json::to_vec(&other).expect("JSON")
    };
    let own = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let digest = registry.manifest(REPOSITORY, "all", INDEX, &index(own));
    registry.manifest(REPOSITORY, "foreign", INDEX, &index("ppc64le"));
    let name = "127.0.0.1:5000/team/app:all";
    let line = node.run(&["launch", "pull", name]);
    assert_eq!(line, format!("{name}\t{digest}\tnew\n"));
    let (code, output, errors) = node.launch(&["--pull=never"], name, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    let (status, _, errors) = node.output(&["launch", "pull", "127.0.0.1:5000/team/app:foreign"]);
    assert_eq!(status.code(), Some(125));
    assert!(
        errors.contains(&format!("has nothing for linux/{own}")),
        "{errors}"
    );
}

#[test]
fn what_lies_is_refused_and_leaves_nothing() {
    let node = Node::boot("p3", &[]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(3 << 20);
    fill(&registry, &parts);
    let lie = crate::registry::digest(&parts.blobs[3]);
    registry.faults(move |asked| asked.path.contains(&lie).then_some(Fault::Lie));
    let (status, output, errors) = node.output(&["launch", "pull", "127.0.0.1:5000/team/app:1"]);
    assert_eq!((status.code(), output.as_str()), (Some(125), ""));
    assert!(errors.contains("it is damaged or it lies"), "{errors}");
    assert_eq!(blobs(&node), (0, 0));
    assert_eq!(node.run(&["launch", "images", "--quiet"]), "");

    // The next one, from an honest registry, is as if nothing had been.
    registry.faults(|_| None);
    node.run(&["launch", "pull", "127.0.0.1:5000/team/app:1"]);
    assert_eq!(blobs(&node), (parts.blobs.len() + 1, 0));
}

#[test]
fn a_broken_pull_goes_on_where_it_was() {
    let node = Node::boot("p4", &[]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(NOISE);
    fill(&registry, &parts);
    let noise = crate::registry::digest(&parts.blobs[3]);
    registry.faults(move |asked| {
        if !asked.path.contains(&noise) {
            return None;
        }
        match asked.range.as_deref() {
            None => Some(Fault::Cut(5_000_000)),
            Some("bytes=5000000-") => Some(Fault::status(503).with("Retry-After", "1")),
            Some(_) => None,
        }
    });
    let words = ["launch", "pull", "--retry=2", "127.0.0.1:5000/team/app:1"];
    let (status, _, errors) = node.output(&words);
    assert_eq!(status.code(), Some(125));
    assert!(errors.contains("trying again in"), "{errors}");
    assert!(errors.contains("127.0.0.1:5000 answers 503"), "{errors}");
    assert_eq!(blobs(&node).1, 1, "what came is kept");
    registry.faults(|_| None);
    node.run(&words);
    assert_eq!(registry.served(), size(&parts), "nothing came twice");
    assert_eq!(blobs(&node), (parts.blobs.len() + 1, 0));
}

#[test]
fn a_pull_that_was_killed_is_taken_over() {
    let node = Node::boot("p5", &[]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(NOISE);
    fill(&registry, &parts);
    registry.faults(|_| Some(Fault::Slow(Duration::from_millis(10))));
    let name = "127.0.0.1:5000/team/app:1";
    node.run(&["systemd-run", "--unit=pull", "launch", "pull", name]);
    let deadline = Instant::now() + Duration::from_mins(1);
    while registry.served() < 6_000_000 {
        assert!(Instant::now() < deadline, "{}", node.journal());
        std::thread::sleep(Duration::from_millis(20));
    }
    node.run(&["systemctl", "kill", "--signal=KILL", "pull.service"]);
    node.wait(
        &["systemctl", "show", "--property=Result", "pull.service"],
        "signal",
    );
    let named = node.run(&["launch", "images"]);
    assert_eq!(named, "NAME   DIGEST   SIZE\n", "nothing has a name");

    registry.faults(|_| None);
    node.run(&["launch", "pull", name]);
    let again = registry.served() - size(&parts);
    // What was in memory and on the way is fetched again: less than a piece, and what the network held.
    assert!(again < 4 << 20, "{again} bytes came twice");
    assert!(registry.asked().iter().any(|asked| asked.range.is_some()));
    assert_eq!(blobs(&node), (parts.blobs.len() + 1, 0));
    let (code, output, errors) = node.launch(&["--pull=never"], name, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");

    // No lease of either is left: without its name, all of it leaves the disk.
    node.run(&["launch", "rmi", name]);
    assert_eq!(blobs(&node), (0, 0));
}

#[test]
fn a_unit_pulls_longer_than_it_may_take_to_start() {
    let service = format!(
        "[Service]\n{SERVICE}TimeoutStartSec=3\nExecStart=/usr/bin/launch run --network=none 127.0.0.1:5000/team/app:1 sleep 1000\n"
    );
    let node = Node::boot("p6", &[("/etc/systemd/system/web.service", &service)]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(NOISE);
    fill(&registry, &parts);
    registry.faults(|_| Some(Fault::Slow(Duration::from_millis(40))));
    let begin = Instant::now();
    node.run(&["systemctl", "start", "--no-block", "web.service"]);
    node.wait(
        &["systemctl", "show", "--property=StatusText", "web.service"],
        " %",
    );
    let status = node.property("web.service", "StatusText");
    assert!(
        status.starts_with("Pulling 127.0.0.1:5000/team/app:1: "),
        "{status}"
    );
    node.wait(&["systemctl", "is-active", "web.service"], "active\n");
    assert_eq!(node.property("web.service", "ActiveState"), "active");
    assert!(
        begin.elapsed() > Duration::from_secs(6),
        "it was not slow enough to prove anything"
    );
    assert_eq!(node.property("web.service", "NRestarts"), "0");
    node.run(&["systemctl", "stop", "web.service"]);

    // A unit whose image is there asks nobody.
    let asked = registry.asked().len();
    node.run(&["systemctl", "start", "web.service"]);
    assert_eq!(registry.asked().len(), asked);
    node.run(&["systemctl", "stop", "web.service"]);
}

#[test]
fn mirrors_come_first_and_always_means_now() {
    let text = "[[registry]]\nname = \"registry.invalid\"\nmirrors = [\"127.0.0.1:5001\", \"127.0.0.1:5000\"]\n";
    let node = Node::boot("p7", &[("/etc/keelson/registries.toml", text)]);
    let registry = registry(&node, 5000);
    fill(&registry, &archive::parts(0));
    let name = "registry.invalid/team/app:1";
    let (code, _, errors) = node.launch(&["--pull=never"], name, &[]);
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("not on this machine, and --pull=never"),
        "{errors}"
    );
    let (code, output, errors) = node.launch(&[], name, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    assert!(errors.contains("127.0.0.1:5001 is passed over"), "{errors}");

    // The tag moves on.
    let other = archive::parts(1000);
    fill(&registry, &other);
    let seen = |pull: &str| {
        let (_, output, errors) = node.launch(&[pull], name, &["sh", "-c", "ls /srv | grep noise"]);
        assert!(!errors.contains("launch: registry.invalid"), "{errors}");
        output
    };
    assert_eq!(seen("--pull=missing"), "");
    assert_eq!(seen("--pull=always"), "noise\n");
    assert_eq!(seen("--pull=never"), "noise\n");
}

#[test]
fn the_policy_is_asked_before_layers_are() {
    let policy = "default = \"refuse\"\n[[image]]\nprefix = \"127.0.0.1:5000/team\"\ndigest = \"required\"\n";
    let node = Node::boot("p8", &[("/etc/keelson/images.toml", policy)]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(0);
    fill(&registry, &parts);
    for (image, reason) in [
        ("127.0.0.1:5000/other/app:1", "no rule that allows"),
        (
            "127.0.0.1:5000/team/app:1",
            "write 127.0.0.1:5000/team/app@sha256:",
        ),
    ] {
        for words in [
            &["launch", "pull"][..],
            &["launch", "run", "--network=none"],
        ] {
            let words = [words, &[image]].concat();
            let (status, _, errors) = node.output(&words);
            assert_eq!(status.code(), Some(125), "{errors}");
            assert!(errors.contains(reason), "{errors}");
            assert_eq!(errors.lines().count(), 1, "{errors}");
        }
    }
    assert_eq!(registry.asked().len(), 0, "nobody was asked anything");
    let pinned = format!("127.0.0.1:5000/team/app@{}", parts.digest);
    let (code, output, errors) = node.launch(&[], &pinned, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
}

#[test]
fn images_are_saved_removed_and_loaded_again() {
    let node = Node::boot("p9", &[]);
    let registry = registry(&node, 5000);
    let parts = archive::parts(1 << 20);
    fill(&registry, &parts);
    let name = "127.0.0.1:5000/team/app:1";
    // On a terminal there are bars.
    let mut terminal = Pseudoterminal::run(&node, 24, 80, &["launch", "pull", name]);
    terminal.expect(&format!("Pulling {name}"));
    terminal.expect("unpacked  [========================]");
    terminal.expect(" of 1.00 MiB");
    terminal.expect(&format!("{name}\t{}\tnew", parts.digest));
    assert!(terminal.wait().success());
    node.run(&["launch", "save", "--output=/run/app.tar", name]);
    assert_eq!(node.run(&["launch", "rmi", name]), format!("{name}\n"));
    assert_eq!(blobs(&node), (0, 0), "what has no name leaves the disk");
    let (status, _, errors) = node.output(&["launch", "rmi", name]);
    assert_eq!(status.code(), Some(125));
    assert!(errors.contains("is not on this machine"), "{errors}");
    assert_eq!(
        node.run(&["launch", "load", "/run/app.tar"]),
        format!("{name}\n")
    );
    let images = node.run(&["launch", "images"]);
    let line = images.lines().nth(1).unwrap_or_default();
    let begin = format!("{name}   {}   ", parts.digest);
    assert!(
        line.starts_with(&begin) && line.ends_with(" MiB"),
        "{images}"
    );
    let (code, output, errors) = node.launch(&["--pull=never"], name, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
}
