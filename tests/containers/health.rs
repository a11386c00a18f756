//! Checks of health: when a unit is ready by them, and what an unhealthy container comes to.

use crate::fixture::{Node, unit};

/// Its health is a file of the machine.
const OPTIONS: &str = "--volume=/var/health:/srv --health-interval=200ms --health-retries=2 \
    \"--health-cmd=test -e /srv/well || { echo the file is gone; exit 1; }\"";
const IDLE: &str = "sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.1; done'";

fn unit_with(more: &str) -> String {
    unit(&format!("{OPTIONS} {more}"), "busybox:saved", IDLE)
}

fn state(unit: &str) -> [&str; 4] {
    [
        "systemctl",
        "show",
        "--property=ActiveState,StatusText,NRestarts",
        unit,
    ]
}

#[test]
fn a_unit_is_ready_when_it_is_healthy_and_its_health_is_told() {
    let quadlet = "[Container]\nImage=busybox:saved\nNetwork=none\nNotify=healthy\nHealthCmd=[\"true\"]\n\
        HealthInterval=100ms\nExec=sleep 1000\nStopTimeout=1\n";
    let node = Node::with_image(
        "h1",
        &[
            (
                "/etc/systemd/system/web.service",
                &unit_with("--notify=healthy"),
            ),
            ("/etc/containers/systemd/quadlet.container", quadlet),
            ("/var/health/other", ""),
        ],
    );
    node.run(&["systemctl", "start", "--no-block", "web.service"]);
    node.wait(&["launch", "inspect", "web"], "the file is gone");
    node.wait(&["launch", "inspect", "web"], "\"unhealthy\"");
    assert_eq!(node.property("web.service", "ActiveState"), "activating");
    node.run(&["touch", "/var/health/well"]);
    node.wait(&state("web.service"), "ActiveState=active");
    node.wait(&state("web.service"), "StatusText=Running; healthy");
    assert!(node.run(&["launch", "ps"]).contains("   healthy   "));
    node.run(&["rm", "/var/health/well"]);
    node.wait(
        &state("web.service"),
        "StatusText=Running; unhealthy: 2 checks failed in a row",
    );
    assert_eq!(
        node.property("web.service", "ActiveState"),
        "active",
        "it is told, and no more"
    );
    node.run(&["systemctl", "start", "quadlet.service"]);
    assert_eq!(
        node.property("quadlet.service", "StatusText"),
        "Running; healthy"
    );
    node.run(&["systemctl", "stop", "web.service", "quadlet.service"]);
    node.assert_nothing_left();
}

#[test]
fn an_unhealthy_container_is_killed_restarted_or_stopped() {
    let failing = |action: &str, more: &str| {
        let text = unit_with(&format!("--health-on-failure={action}"));
        let unit = "[Unit]\nStartLimitIntervalSec=0\n[Service]\n";
        text.replace("[Service]\n", &format!("{unit}{more}"))
    };
    let node = Node::with_image(
        "h2",
        &[
            ("/etc/systemd/system/kill.service", &failing("kill", "")),
            (
                "/etc/systemd/system/restart.service",
                &failing("restart", "Restart=on-failure\nRestartSec=0\n"),
            ),
            (
                "/etc/systemd/system/stop.service",
                &failing("stop", "Restart=always\nRestartSec=0\n"),
            ),
            (
                "/etc/systemd/system/watched.service",
                &failing("none", "WatchdogSec=1\n"),
            ),
            ("/var/health/other", ""),
        ],
    );
    for unit in ["kill", "restart", "stop", "watched"] {
        node.run(&["systemctl", "start", &format!("{unit}.service")]);
    }
    node.wait(&state("kill.service"), "ActiveState=failed");
    assert_eq!(node.property("kill.service", "Result"), "signal");
    node.wait(&state("restart.service"), "NRestarts=1");
    node.wait(&state("stop.service"), "ActiveState=inactive");
    assert_eq!(node.property("stop.service", "NRestarts"), "0");
    node.wait(&state("watched.service"), "ActiveState=failed");
    assert_eq!(node.property("watched.service", "Result"), "watchdog");
    // Well again, it stays.
    node.run(&["touch", "/var/health/well"]);
    node.wait(&state("restart.service"), "StatusText=Running; healthy");
    node.run(&["systemctl", "stop", "restart.service"]);
}
