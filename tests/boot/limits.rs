//! Limits of containers, on a booted machine: a machine in a namespace has no controllers for memory, processors
//! and tasks. A limit is the unit's, or an option of `launch run`, and holds either way.

use keelson_qemu::ssh::Ssh;

use crate::support::output;

/// As in the README, so that the container is its unit.
const UNIT: &str = "--quiet --no-block --property=Type=notify --property=NotifyAccess=main \
                    --property=Delegate=yes --property=DelegateSubgroup=launch --property=KillMode=mixed \
                    --property=OOMPolicy=stop";
/// What never ends by itself: it wants memory, it counts, it wants processes.
const MEMORY: &str = "tail /dev/zero";
const PROCESSOR: &str = "sh -c 'while :; do :; done'";
const TASKS: &str = "sh -c 'while :; do sleep 1000 & done'";

/// Starts containers that want more than they may have, all at once, and looks what became of them. The image
/// `busybox:saved` is loaded; nothing of the containers stays.
pub(crate) fn are_held(ssh: &Ssh) {
    let containers = [
        ("unit-memory", "--property=MemoryMax=64M", "", MEMORY),
        ("option-memory", "", "--memory=32m", MEMORY),
        ("unit-processor", "--property=CPUQuota=10%", "", PROCESSOR),
        ("option-processor", "", "--cpus=0.1", PROCESSOR),
        ("unit-tasks", "--property=TasksMax=40", "", TASKS),
        ("option-tasks", "", "--pids-limit=6", TASKS),
    ];
    let starts = containers.map(|(name, properties, options, command)| {
        format!(
            "systemd-run --unit={name} {UNIT} {properties} \
             /usr/bin/launch run --network=none {options} busybox:saved {command}"
        )
    });
    output(ssh, &starts.join(" && "));

    for name in ["unit-memory", "option-memory"] {
        is_killed_for_memory(ssh, name);
    }
    let [unit, option] = ["unit-processor.service", "option-processor.service/payload"];
    for group in [unit, option] {
        let throttled = "awk '/^nr_throttled/ { exit !($2 > 3) }'";
        wait(ssh, &format!("{throttled} {}/cpu.stat", path(group)));
    }
    for name in ["unit-tasks", "option-tasks"] {
        let refused = format!("journalctl --no-pager --unit={name} CONTAINER_NAME={name}");
        wait(ssh, &format!("{refused} | grep -q \"can't fork\""));
        assert_eq!(property(ssh, name, "Result"), "exit-code");
    }
    output(ssh, "systemctl stop unit-processor option-processor");
    output(ssh, "systemctl reset-failed");
    assert_eq!(
        output(ssh, "launch ps --quiet | grep -e ^unit -e ^option || true"),
        ""
    );
}

/// systemd calls it by its name, and so does the record of its end.
fn is_killed_for_memory(ssh: &Ssh, name: &str) {
    wait(ssh, &format!("systemctl is-failed --quiet {name}"));
    assert_eq!(property(ssh, name, "Result"), "oom-kill", "{name}");
    let record = format!("cat /var/lib/keelson/container-exits/{name}.json");
    let record: serde_json::Value = serde_json::from_str(&output(ssh, &record)).expect("JSON");
    let exited = &record["outcome"]["exited"];
    assert_eq!(exited["out_of_memory"], true, "{record:#}");
    assert_eq!(exited["signal"], 9, "{record:#}");
}

fn property(ssh: &Ssh, unit: &str, name: &str) -> String {
    output(
        ssh,
        &format!("systemctl show --value --property={name} {unit}"),
    )
}

fn path(group: &str) -> String {
    format!("/sys/fs/cgroup/system.slice/{group}")
}

/// Until a command succeeds; software emulation is slow.
fn wait(ssh: &Ssh, command: &str) {
    let command = command.replace('\'', "'\\''");
    output(
        ssh,
        &format!("timeout 120 sh -c 'until {command}; do sleep 0.3; done'"),
    );
}
