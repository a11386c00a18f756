//! Health and limits of containers over the Docker Engine API.
//!
//! This machine's control groups are the host's: whether a limit holds is not tested here, but what is written of it.

use crate::engine::{CLIENT, docker, docker_may_fail, engine, inspect};

const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

#[test]
fn health_is_told_by_lists_inspections_and_events() {
    let node = engine("y1");
    let words = [
        "run",
        "--detach",
        "--name=web",
        "--network=none",
        "--volume=/var/health:/srv",
        "--health-cmd=test -e /srv/well || { echo the file is gone; exit 1; }",
        "--health-interval=200ms",
        "--health-retries=2",
        "busybox:saved",
        "sh",
        "-c",
        IDLE,
    ];
    node.run(&["mkdir", "-p", "/var/health"]);
    docker(&node, &words);
    let status = |wanted: &str| {
        let list = [CLIENT, "ps", "--format={{.Status}}", "--filter=name=web"];
        node.wait(&list, wanted)
    };
    status(" (unhealthy)");
    let log = inspect(&node, "web", "json .State.Health");
    let log: serde_json::Value = serde_json::from_str(&log).expect("JSON");
    assert_eq!(log["Status"], "unhealthy");
    assert_eq!(log["Log"][0]["ExitCode"], 1);
    assert_eq!(log["Log"][0]["Output"], "the file is gone\n");
    assert!(log["FailingStreak"].as_u64() >= Some(2), "{log}");
    node.run(&["touch", "/var/health/well"]);
    status(" (healthy)");
    // Another engine knows as much.
    node.run(&["systemctl", "restart", "launcherd.service"]);
    assert_eq!(inspect(&node, "web", ".State.Health.Status"), "healthy");
    let healthy = ["ps", "--format={{.Names}}", "--filter=health=healthy"];
    assert_eq!(docker(&node, &healthy), "web\n");
    assert_eq!(
        docker(&node, &["ps", "--quiet", "--filter=health=none"]),
        ""
    );
    node.run(&["rm", "/var/health/well"]);
    status(" (unhealthy)");
    let events = "sleep 1.1; /opt/docker events --since=2000-01-01T00:00:00Z --until=0s --filter=container=web \
        --format='{{.Action}}'";
    let events = node.run(&["sh", "-c", events]);
    assert_eq!(events, "health_status: unhealthy\n");

    // Without a check there is nothing to tell.
    let unchecked = ["create", "--name=none", "--no-healthcheck", "busybox:saved"];
    docker(&node, &unchecked);
    let is_checked = "if .State.Health}}checked{{else}}not checked{{end";
    assert_eq!(inspect(&node, "none", is_checked), "not checked");
    let bad = ["create", "--health-interval=1us", "busybox:saved"];
    let (code, _, errors) = docker_may_fail(&node, &bad);
    assert_eq!(code, Some(1), "{errors}");
    limits(&node);
}

fn limits(node: &crate::fixture::Node) {
    let words = [
        "update",
        "--memory=64m",
        "--memory-swap=64m",
        "--cpus=1.5",
        "--pids-limit=30",
        "none",
    ];
    docker(node, &words);
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    let shown = docker(node, &["inspect", &format!("--format={limits}"), "none"]);
    assert_eq!(shown, "67108864 1500000000 30\n");
    let id = inspect(node, "none", ".Id");
    let record = node.run(&[
        "cat",
        &format!("/var/lib/keelson/containers/{id}/record.json"),
    ]);
    for word in [
        "--memory=67108864",
        "--memory-swap=67108864",
        "--cpus=1.5",
        "--pids-limit=30",
    ] {
        assert!(record.contains(&format!("\"{word}\"")), "{record}");
    }
    let (code, _, errors) = docker_may_fail(node, &["update", "--memory=128m", "none"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("give Memory and MemorySwap together"),
        "{errors}"
    );
    let (_, _, errors) = docker_may_fail(node, &["update", "--cpu-period=1000", "none"]);
    assert!(
        errors.contains("CpuPeriod: it is not supported"),
        "{errors}"
    );

    // Of what runs it is the container's own group, if the machine has the controller.
    let pid = inspect(node, "web", ".State.Pid");
    let script = format!("cat /sys/fs/cgroup$(sed 's/^0:://' /proc/{pid}/cgroup)/pids.max");
    let (status, _, _) = node.output(&["sh", "-c", &script]);
    let (code, _, errors) = docker_may_fail(node, &["update", "--pids-limit=40", "web"]);
    if status.success() {
        assert_eq!(code, Some(0), "{errors}");
        assert_eq!(node.run(&["sh", "-c", &script]), "40\n");
    } else {
        assert!(errors.contains("its controller is off"), "{errors}");
    }
}
