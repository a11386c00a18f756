//! Volumes of containers: what is in them at first, what stays, and what goes.

use crate::fixture::Node;

const VOLUMES: &str = "/var/lib/keelson/volumes";

#[test]
fn a_new_volume_has_what_the_image_has_there() {
    let node = Node::with_image("v1", &[]);
    let look = "stat -c '%n %u %g %a' /srv /srv/page; cat /srv/page";
    let expected = "/srv 0 0 2775\n/srv/page 33 34 640\nof the image\n";
    assert_eq!(node.shell(&[], look), expected);
    let data = "--volume=data:/srv";
    assert_eq!(node.shell(&[data], look), expected);
    node.shell(&[data], "echo changed >/srv/page");
    assert_eq!(
        node.shell(&[data], "cat /srv/page"),
        "changed\n",
        "it is filled once"
    );
    // Cut off in the middle: it is filled again before anybody sees it.
    node.run(&[
        "sh",
        "-c",
        &format!("cd {VOLUMES}; mkdir half; touch .half.filling half/page"),
    ]);
    assert_eq!(node.shell(&["--volume=half:/srv"], look), expected);
    // Without a name it is filled, too.
    assert_eq!(node.shell(&["--volume=/srv"], look), expected);

    let list = node.run(&["launch", "volume", "ls"]);
    let lines = format!("data   no     {VOLUMES}/data\nhalf   no     {VOLUMES}/half\n");
    assert_eq!(list, format!("NAME   USED   PATH\n{lines}"));
    let names = node.run(&["launch", "volume", "ls", "--quiet"]);
    assert_eq!(names, "data\nhalf\n");
    node.run(&["launch", "volume", "create", "--label=owner=web", "empty"]);
    let shown = node.run(&["launch", "volume", "inspect", "--json", "empty"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown[0]["labels"]["owner"], "web");
    assert_eq!(shown[0]["used"], false);
    node.run(&["launch", "volume", "rm", "half"]);
    assert_eq!(node.run(&["launch", "volume", "prune"]), "data\nempty\n");
    assert_eq!(node.run(&["ls", "-A", VOLUMES]), ".nameless\n");
    let (status, _, errors) = node.output(&["launch", "volume", "create", "../a"]);
    assert_eq!(status.code(), Some(125));
    assert!(errors.contains("is no name"), "{errors}");
}

#[test]
fn volumes_in_use_stay_and_nameless_ones_go() {
    let unit = |words: &str| {
        format!(
            "[Service]\n{}TimeoutStopSec=20\nExecStart=/usr/bin/launch run --network=none --stop-timeout=1 --volume=data:/srv/a --volume=/srv/b busybox:saved {words}\n",
            crate::fixture::SERVICE
        )
    };
    let node = Node::with_image(
        "v2",
        &[(
            "/etc/systemd/system/web.service",
            &unit("sh -c 'echo 1 >/srv/b/file; exec sleep 1000'"),
        )],
    );
    node.run(&["systemctl", "start", "web.service"]);
    let nameless = format!("{VOLUMES}/.nameless/web");
    node.wait(&["find", &nameless, "-name", "file"], "/file");
    let (status, _, errors) = node.output(&["launch", "volume", "rm", "data"]);
    assert_eq!(status.code(), Some(125));
    assert!(
        errors.contains("the volume data is used by a container that runs"),
        "{errors}"
    );
    assert_eq!(node.run(&["launch", "volume", "prune"]), "");
    node.run(&["systemctl", "stop", "web.service"]);
    let (status, _, _) = node.output(&["test", "-e", &nameless]);
    assert!(!status.success(), "it went with its container");

    // Whoever is killed holds nothing, and whoever comes next removes what went with him.
    node.run(&["systemctl", "start", "web.service"]);
    node.run(&[
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "web.service",
    ]);
    node.run(&["systemctl", "stop", "web.service"]);
    node.run(&["test", "-e", &nameless]);
    node.run(&["launch", "volume", "rm", "data"]);
    node.shell(&[], "true");
    let (status, _, _) = node.output(&["test", "-e", &nameless]);
    assert!(!status.success(), "it was removed");
    node.assert_nothing_left();
}
