//! `top`: once where there is no terminal, and as a screen where there is one.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use crate::fake::{Fake, MACHINE, OTHER, text};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

/// Two machines, one of them with a unit that runs and one that failed, which says what it uses.
fn fill(fake: &Fake) {
    let options = json!([
        {"section": "Service", "name": "ExecStart", "value": "/bin/a"},
        {"section": "Service", "name": "MemoryMax", "value": "1G"},
    ]);
    let state = |name: &str, active: &str| {
        json!({"type": "state", "revision": 1, "state": {
            "name": name, "machineID": MACHINE, "systemdActiveState": active}})
    };
    let records = [
        json!({"type": "machine", "revision": 1, "machine": {
            "id": MACHINE, "primaryIP": "172.17.8.103", "capacity": {"memoryBytes": 4_u64 << 30, "cpuThousandths": 8000}}}),
        json!({"type": "machine", "revision": 1, "machine": {"id": OTHER, "availability": "cordoned"}}),
        json!({"type": "unit", "revision": 1, "unit": {"name": "a.service", "options": options}}),
        state("a.service", "active"),
        state("b.service", "failed"),
        json!({"type": "synced", "revision": 1}),
    ];
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    fake.answer("GET /fleet/v1/events", 200, &(lines.join("\n") + "\n"));
    let usage = json!({"machines": [
        {"machineID": MACHINE, "type": "usage", "cpuMilliseconds": 500, "uptimeMilliseconds": 1000,
            "memoryBytes": 2_u64 << 30, "tasks": 120},
        {"machineID": OTHER, "type": "unreachable", "message": "no certificates"},
    ]});
    fake.answer("GET /fleet/v1/usage", 200, &usage.to_string());
}

#[test]
fn where_there_is_no_terminal_it_prints_once() {
    let fake = Fake::start();
    fill(&fake);
    let printed = fake.ok(&["top"]);
    let rows: Vec<Vec<&str>> = printed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let expected = [
        vec![
            "MACHINE",
            "IP",
            "UNITS",
            "ACTIVE",
            "FAILED",
            "CPU",
            "RESERVED",
            "MEMORY",
            "RESERVED",
            "TASKS",
            "RESERVED",
            "AVAILABILITY",
        ],
        vec![
            "113f16a7...",
            "172.17.8.103",
            "2",
            "1",
            "1",
            // The same answer twice: no time has passed.
            "-",
            "0/8",
            "2.0G",
            "1.0G/4.0G",
            "120",
            "-",
            "open",
        ],
        vec![
            "2a8f16a7...",
            "-",
            "0",
            "0",
            "0",
            "-",
            "-",
            "-",
            "-",
            "-",
            "-",
            "cordoned",
        ],
    ];
    assert_eq!(rows, expected);
}

#[test]
fn json_is_one_list() {
    let fake = Fake::start();
    fill(&fake);
    let list: Value = serde_json::from_str(&fake.ok(&["top", "--json"])).expect("JSON");
    assert_eq!(
        list[0],
        json!({
            "machineID": MACHINE, "primaryIP": "172.17.8.103", "availability": "open",
            "units": 2, "active": 1, "failed": 1,
            "used": {"type": "known", "cpuThousandths": null, "memoryBytes": 2_u64 << 30, "tasks": 120},
            "reserved": {"memoryBytes": 1_u64 << 30, "cpuThousandths": 0, "tasks": 0},
            "capacity": {"memoryBytes": 4_u64 << 30, "cpuThousandths": 8000},
        })
    );
    assert_eq!(list[1]["machineID"], OTHER);
    let unreachable = json!({"type": "unreachable", "message": "no certificates"});
    assert_eq!(list[1]["used"], unreachable);
}

/// Both ends of a terminal.
fn terminal() -> (File, File) {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&near).expect("granted");
    unlockpt(&near).expect("unlocked");
    let name = ptsname(&near, Vec::new()).expect("a name");
    let path = name.into_string().expect("text");
    let far = File::options().read(true).write(true).open(path);
    (File::from(near), far.expect("its other end"))
}

fn start(fake: &Fake, far: &File) -> Child {
    let end = || Stdio::from(far.try_clone().expect("cloned"));
    let mut command = fake.command();
    command.arg("top").stdin(end()).stdout(end());
    command.spawn().expect("fleetctl runs")
}

/// What is on the screen once a text is there.
fn read_until(near: &mut File, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while !text(&seen).contains(wanted) {
        let count = near.read(&mut chunk).expect("a screen");
        seen.extend_from_slice(&chunk[..count]);
    }
    text(&seen)
}

#[test]
fn on_a_terminal_it_is_a_screen_until_a_key_ends_it() {
    let fake = Fake::start();
    fill(&fake);
    for key in [b'q', 3] {
        let (mut near, far) = terminal();
        let usual = tcgetattr(&far).expect("modes").local_modes;
        let mut child = start(&fake, &far);
        let screen = read_until(&mut near, "cordoned");
        assert!(
            screen.contains("2 machines, 2 units, 1 active, 1 failed"),
            "{screen}"
        );
        read_until(
            &mut near,
            "what 1 machine uses is not known: no certificates",
        );
        let modes = tcgetattr(&far).expect("modes").local_modes;
        assert!(!modes.intersects(LocalModes::ECHO | LocalModes::ICANON));
        near.write_all(&[b'x', key]).expect("typed");
        let status = child.wait().expect("reaped");
        assert_eq!(status.code(), Some(0));
        let modes = tcgetattr(&far).expect("modes").local_modes;
        assert_eq!(modes, usual, "as it was before");
        assert!(read_until(&mut near, "\x1b[?1049l").contains("\x1b[?25h"));
    }
}
