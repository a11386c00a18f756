//! Images over the Docker Engine API: Debian's client pulls, logs in, saves and loads, from Debian's
//! docker-registry and from a registry that does what it should not.

use std::time::{Duration, Instant};

use crate::archive;
use crate::distribution::{PASSWORDS, push, serve, write};
use crate::engine::{docker, docker_may_fail};
use crate::fixture::Node;
use crate::pull::{fill, registry};
use crate::registry::{Fault, digest};

const NAME: &str = "localhost:5000/team/app:1";
/// Of the registry that misbehaves.
const BAD: &str = "127.0.0.1:5001/team/app:1";
/// So long that a pull of it can be broken off.
const NOISE: usize = 6 << 20;

/// A command that fails, and why.
fn refused(node: &Node, words: &[&str]) -> String {
    let (code, output, errors) = docker_may_fail(node, words);
    assert_eq!(code, Some(1), "{words:?}: {output}{errors}");
    errors
}

fn log_in(node: &Node, password: &str) -> (Option<i32>, String, String) {
    let script = format!(
        "echo {password} | /opt/docker login --username me --password-stdin localhost:5000"
    );
    let (status, output, errors) = node.output(&["sh", "-c", &script]);
    (status.code(), output, errors)
}

#[test]
fn images_come_from_a_registry_that_wants_a_login_and_go_into_archives() {
    let node = Node::boot("i1", &[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let parts = archive::parts(1 << 20);
    push(folder.path(), &parts);
    write(&folder.path().join("htpasswd"), PASSWORDS);
    let more = format!(
        "auth:\n  htpasswd:\n    realm: test\n    path: {}/htpasswd\n",
        folder.path().display()
    );
    let _server = serve(&node, folder.path(), &more);

    let errors = refused(&node, &["pull", NAME]);
    assert!(errors.contains("there is no login for it"), "{errors}");
    let (code, _, errors) = log_in(&node, "wrong");
    assert_eq!(code, Some(1));
    for part in [
        "localhost:5000 does not let us in: ",
        ": the login of me is not good enough",
    ] {
        assert!(errors.contains(part), "{errors}");
    }
    let (code, output, errors) = log_in(&node, "secret");
    assert_eq!(code, Some(0), "{errors}");
    assert!(output.contains("Login Succeeded"), "{output}");

    // What is not there is pulled by the client, with its login.
    let run = ["run", "--rm", "--network=none", NAME];
    let (code, output, errors) = docker_may_fail(&node, &run);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    for line in [
        "Unable to find image 'localhost:5000/team/app:1' locally",
        "1: Pulling from team/app",
        ": Pulling fs layer",
        ": Pull complete",
        &format!("Digest: {}", parts.digest),
        "Status: Downloaded newer image for localhost:5000/team/app:1",
    ] {
        assert!(errors.contains(line), "{line}: {errors}");
    }
    let pinned = format!("localhost:5000/team/app@{}", parts.digest);
    let output = docker(&node, &["pull", &pinned]);
    assert!(output.contains(": Already exists"), "{output}");
    let output = docker(&node, &["pull", NAME]);
    let expected = "Status: Image is up to date for localhost:5000/team/app:1";
    assert!(output.contains(expected), "{output}");
    assert_eq!(
        docker(&node, &["pull", "--quiet", NAME]),
        format!("{NAME}\n")
    );
    let errors = refused(&node, &["pull", "localhost:5000/team/app:2"]);
    assert!(
        errors.contains("localhost:5000 has no team/app:2"),
        "{errors}"
    );
    let errors = refused(&node, &["pull", "--all-tags", "localhost:5000/team/app"]);
    assert!(errors.contains("pulling all tags"), "{errors}");
    let errors = refused(&node, &["pull", "--platform=linux/s390x", NAME]);
    assert!(errors.contains("images of other platforms"), "{errors}");
    archives(&node, &parts.digest);
    policy(&node);
}

fn archives(node: &Node, digest: &str) {
    docker(node, &["tag", NAME, "other:2"]);
    docker(node, &["save", "--output=/run/app.tar", NAME, "other:2"]);
    docker(node, &["save", "--output=/run/id.tar", digest]);
    let errors = refused(node, &["save", "--output=/run/none.tar", "nothing"]);
    assert!(errors.contains("No such image: nothing"), "{errors}");
    docker(node, &["image", "rm", "--force", digest]);
    assert_eq!(docker(node, &["images", "--quiet"]), "");
    let loaded = docker(node, &["load", "--input=/run/app.tar"]);
    assert_eq!(
        loaded,
        format!("Loaded image: {NAME}\nLoaded image: other:2\n")
    );
    let run = ["run", "--rm", "--network=none", "other:2"];
    assert_eq!(docker(node, &run), "ran\n");
    let errors = refused(node, &["load", "--input=/run/id.tar"]);
    assert!(errors.contains("no name"), "{errors}");
}

fn policy(node: &Node) {
    let script = "echo 'default = \"refuse\"' > /etc/keelson/images.toml";
    node.run(&["sh", "-c", script]);
    let errors = refused(node, &["pull", NAME]);
    let expected = "localhost:5000/team/app:1 is refused by /etc/keelson/images.toml";
    assert!(errors.contains(expected), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_pull_that_fails_in_the_middle_is_told_and_one_that_nobody_waits_for_ends() {
    let node = Node::boot("i2", &[]);
    let registry = registry(&node, 5001);
    let parts = archive::parts(NOISE);
    fill(&registry, &parts);
    let lie = digest(&parts.blobs[3]);
    registry.faults(move |asked| asked.path.contains(&lie).then_some(Fault::Lie));
    let (code, output, errors) = docker_may_fail(&node, &["pull", BAD]);
    assert_eq!(code, Some(1));
    assert!(output.contains("1: Pulling from team/app"), "{output}");
    assert!(errors.contains("it is damaged or it lies"), "{errors}");
    assert_eq!(docker(&node, &["images", "--quiet"]), "");

    // A piece of 64 kB every 80 ms: the whole would take 10 s.
    registry.faults(|_| Some(Fault::Slow(Duration::from_millis(80))));
    let before = registry.served();
    node.run(&["systemd-run", "--unit=client", "/opt/docker", "pull", BAD]);
    let deadline = Instant::now() + Duration::from_mins(1);
    while registry.served() < before + (3 << 20) {
        assert!(Instant::now() < deadline, "{}", node.journal());
        std::thread::sleep(Duration::from_millis(20));
    }
    node.run(&["systemctl", "kill", "--signal=KILL", "client.service"]);
    node.wait(
        &["journalctl", "--unit=launcherd.service", "--output=cat"],
        "nobody waits for it any more",
    );
    assert_eq!(docker(&node, &["images", "--quiet"]), "");
    // What came is taken over by the next one, and by nobody else.
    registry.faults(|_| None);
    docker(&node, &["pull", BAD]);
    assert!(registry.asked().iter().any(|asked| asked.range.is_some()));
    assert_eq!(
        docker(&node, &["run", "--rm", "--network=none", BAD]),
        "ran\n"
    );
}
