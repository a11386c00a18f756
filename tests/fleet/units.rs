//! Units on one machine: fleet's cases 1 to 12, 27, 29, 31 and 32 (its `functional/unit_action_test.go`
//! and others), rewritten.

use crate::cluster::{Cluster, sleeper};

const HELLO: &str = "\
[Unit]
Description=Hello World

[Service]
ExecStart=/bin/sh -c 'while true; do echo Hello, World!; sleep 1; done'
";

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn case_1_a_unit_runs() {
    let cluster = Cluster::start(1, &[("hello.service", HELLO)]);
    let text = cluster.ok("start hello.service");
    assert!(
        text.contains("Unit hello.service launched on 11111111.../10.98.0.11"),
        "{text}"
    );
    cluster.wait_active(1);
}

/// Submit 9, load 6, start 3; then destroy, unload, stop; twice.
#[test]
fn cases_2_to_4_units_appear_and_vanish() {
    let unit = sleeper("");
    let cluster = Cluster::start(1, &[("hello@.service", unit.as_str())]);
    let names = |count: u32| {
        let names = (1..=count).map(|number| format!("hello@{number}.service"));
        names.collect::<Vec<_>>().join(" ")
    };
    for _ in 0..2 {
        cluster.ok(&format!("submit {}", names(9)));
        assert_eq!(lines(&cluster.ok("list-unit-files --no-legend")), 9);
        cluster.ok(&format!("destroy {}", names(9)));
        assert_eq!(lines(&cluster.ok("list-unit-files --no-legend")), 0);

        cluster.ok(&format!("load {}", names(6)));
        cluster.until("six loaded units", || {
            (cluster.rows(0).len() == 6).then_some(())
        });
        cluster.ok(&format!("unload {}", names(6)));
        cluster.until("no loaded unit", || {
            cluster.rows(0).is_empty().then_some(())
        });
        cluster.ok(&format!("destroy {}", names(6)));

        cluster.ok(&format!("start {}", names(3)));
        cluster.wait_active(3);
        cluster.ok(&format!("stop {}", names(3)));
        cluster.wait_active(0);
        cluster.ok(&format!("unload {}", names(3)));
        cluster.until("no unit left", || cluster.rows(0).is_empty().then_some(()));
        cluster.ok(&format!("destroy {}", names(3)));
    }
}

#[test]
fn cases_5_to_7_replace_changes_what_is_stored_and_runs() {
    let unit = sleeper("");
    let cluster = Cluster::start(1, &[("hello.service", unit.as_str())]);
    for command in ["submit", "load", "start"] {
        cluster.ok(&format!("{command} hello.service"));
        let before = cluster.ok("cat hello.service");
        let file = format!("/opt/units/{command}/hello.service");
        cluster.sh(0, &format!("mkdir -p /opt/units/{command}; (cat /opt/units/hello.service; echo Environment=BY={command}) >{file}"));
        cluster.ok(&format!("{command} --replace {file}"));
        let after = cluster.ok("cat hello.service");
        assert_ne!(before, after, "{command}");
        if command == "start" {
            cluster.until("the new file to run", || {
                let environment = cluster.property(0, "hello.service", "Environment");
                environment.contains("BY=start").then_some(())
            });
        }
        cluster.ok("destroy hello.service");
        cluster.until("no unit left", || cluster.rows(0).is_empty().then_some(()));
    }
}

#[test]
fn case_8_restart_gives_a_new_process() {
    let unit = sleeper("");
    let cluster = Cluster::start(1, &[("hello.service", unit.as_str())]);
    cluster.ok("start hello.service");
    for _ in 0..3 {
        let before = cluster.property(0, "hello.service", "MainPID");
        cluster.ok("restart hello.service");
        cluster.active("hello.service");
        assert_ne!(cluster.property(0, "hello.service", "MainPID"), before);
        let run = cluster.property(0, "hello.service", "InvocationID");
        cluster.until("the same run in the API", || {
            let told = cluster.ok("list-units --no-legend --fields invocation");
            (told.trim() == run).then_some(())
        });
    }
}

#[test]
fn cases_9_to_11_status_journal_and_cat_of_a_unit() {
    let cluster = Cluster::start(1, &[("hello.service", HELLO)]);
    cluster.ok("start hello.service");
    assert_eq!(cluster.ok("cat hello.service").trim(), HELLO.trim());
    let status = cluster.fleetctl(0, "status hello.service");
    assert!(status.stdout.contains("Active: active"), "{status:?}");
    assert!(status.stdout.contains("Loaded: loaded"), "{status:?}");
    cluster.until("a line in the journal", || {
        let text = cluster.ok("journal hello.service");
        text.contains("Hello, World!").then_some(())
    });
}

#[test]
fn case_12_files_are_listed_in_order() {
    let unit = sleeper("");
    let cluster = Cluster::start(1, &[("hello@.service", unit.as_str())]);
    let names: Vec<String> = (1..=20)
        .map(|number| format!("hello@{number}.service"))
        .collect();
    cluster.ok(&format!("submit {}", names.join(" ")));
    let text = cluster.ok("list-unit-files --no-legend --fields unit");
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(text.lines().map(str::trim).collect::<Vec<_>>(), sorted);
}

#[test]
fn case_27_an_installed_unit_is_started_by_the_one_it_belongs_to() {
    let hello = sleeper("");
    let discovery = "[Unit]\nBindsTo=hello.service\n\n[Service]\nExecStart=/bin/sleep infinity\n\n[Install]\nWantedBy=hello.service\n";
    let cluster = Cluster::start(
        1,
        &[
            ("hello.service", hello.as_str()),
            ("discovery.service", discovery),
        ],
    );
    cluster.ok("load hello.service discovery.service");
    assert_eq!(cluster.places(0, "discovery.service"), Vec::<String>::new());
    cluster.ok("start hello.service");
    cluster.active("discovery.service");
    cluster.ok("stop hello.service");
    cluster.wait_active(0);
}

#[test]
fn cases_29_and_31_fleetd_ends_cleanly_and_keeps_its_sockets_on_a_hangup() {
    let unit = sleeper("");
    let cluster = Cluster::start(1, &[("hello.service", unit.as_str())]);
    cluster.ok("start hello.service");
    let process = cluster.property(0, "hello.service", "MainPID");
    cluster.sh(
        0,
        "sed -i 's/hostname = \"m0\"/hostname = \"renamed\"/' /etc/keelson/fleet.toml",
    );
    let fleetd = cluster.property(0, "fleetd.service", "MainPID");
    cluster.sh(0, "systemctl reload fleetd");
    cluster.until("the new metadata", || {
        cluster
            .ok("list-machines")
            .contains("hostname=renamed")
            .then_some(())
    });
    assert_eq!(cluster.property(0, "fleetd.service", "MainPID"), fleetd);
    cluster.sh(0, "systemctl stop fleetd");
    assert_eq!(cluster.property(0, "fleetd.service", "Result"), "success");
    assert_eq!(cluster.property(0, "hello.service", "MainPID"), process);
    // The socket is still there, and starts it again.
    cluster.active("hello.service");
    assert_eq!(cluster.property(0, "hello.service", "MainPID"), process);
}

/// A new fleetd takes over: no unit is touched, the machine is not lost for a moment.
#[test]
fn an_upgrade_of_fleetd_restarts_no_unit() {
    let unit = sleeper("");
    let cluster = Cluster::start(2, &[("hello@.service", unit.as_str())]);
    let names: Vec<String> = (1..=10)
        .map(|number| format!("hello@{number}.service"))
        .collect();
    cluster.ok(&format!("start {}", names.join(" ")));
    let before = cluster.wait_active(10);
    let invocations = || {
        let of = |machine| cluster.sh(machine, "systemctl show --value -p InvocationID 'hello@*'");
        [of(0), of(1)]
    };
    let first = invocations();
    for machine in [0, 1] {
        cluster.sh(
            machine,
            "systemctl restart fleetd; systemctl kill -s KILL fleetd; sleep 2",
        );
    }
    cluster.wait_members(2);
    assert_eq!(cluster.wait_active(10), before);
    assert_eq!(invocations(), first);
}

#[test]
fn what_cannot_be_placed_is_told_at_once() {
    let unit = sleeper("\n[X-Fleet]\nMachineMetadata=disk=tape\n");
    let cluster = Cluster::start(1, &[("hello.service", unit.as_str())]);
    let ended = cluster.fleetctl(0, "start hello.service");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("MachineMetadata: disk must be tape"),
        "{ended:?}"
    );
}

/// A name that the machine has itself, and a unit that systemd will not start.
#[test]
fn what_a_machine_cannot_run_is_told_at_once() {
    let unit = sleeper("");
    let empty = "[Service]\nType=simple\n";
    let units = [("dbus.service", unit.as_str()), ("bad.service", empty)];
    let cluster = Cluster::start(1, &units);
    let machine = "11111111.../10.98.0.11";
    for (name, why) in [
        ("dbus.service", "dbus.service"),
        ("bad.service", "bad unit file setting"),
    ] {
        let ended = cluster.fleetctl(0, &format!("start {name}"));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let begin = format!("Unit {name} cannot be run by {machine}: ");
        let told = ended
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix(&begin));
        assert!(told.is_some_and(|told| told.contains(why)), "{ended:?}");
        let listed = cluster.fleetctl(0, "list-units").stderr;
        assert!(
            listed.contains(&format!("{machine} cannot run {name}: ")),
            "{listed}"
        );
        let explained = cluster.fleetctl(0, &format!("explain {name}"));
        assert_eq!(explained.code, Some(1), "{explained:?}");
        assert!(
            explained.stdout.contains("has it, and cannot run it"),
            "{explained:?}"
        );
        let status = cluster.fleetctl(0, &format!("status {name}"));
        assert!(
            status.stderr.contains(&format!("cannot run {name}: ")),
            "{status:?}"
        );
        assert_ne!(status.code, Some(0), "{status:?}");
    }
    cluster.ok("destroy dbus.service bad.service");
    assert_eq!(cluster.property(0, "dbus.service", "ActiveState"), "active");
}

/// Debian's etcd, which `.ci/setup` installs.
#[test]
fn a_real_etcd_is_a_store_as_well() {
    let unit = sleeper("");
    let mut cluster = Cluster::over("etcd".into(), 2, &[("hello.service", unit.as_str())]);
    cluster.ok("start hello.service");
    let before = cluster.wait_active(1);
    let index = cluster.index(&before[0].machine);
    cluster.sh(index, "systemctl restart fleetd");
    cluster.wait_members(2);
    assert_eq!(cluster.wait_active(1), before);
    let Cluster { store, bridge, .. } = &mut cluster;
    store.kill();
    store.start_again(bridge);
    cluster.wait_members(2);
    cluster.ok("move hello.service");
    let after = cluster.wait_active(1);
    assert_ne!(after, before);
}

/// What systemd has of a unit, step by step.
#[test]
fn case_32_a_unit_goes_through_every_state() {
    let unit = sleeper("");
    let cluster = Cluster::start(1, &[("hello.service", unit.as_str())]);
    let is = |load: &str, active: &str| {
        cluster.until(&format!("{load} {active}"), || {
            let found =
                ["LoadState", "ActiveState"].map(|name| cluster.property(0, "hello.service", name));
            (found == [load, active]).then_some(())
        });
    };
    is("not-found", "inactive");
    cluster.ok("load hello.service");
    is("loaded", "inactive");
    cluster.ok("start hello.service");
    is("loaded", "active");
    cluster.ok("stop hello.service");
    is("loaded", "inactive");
    cluster.ok("unload hello.service");
    is("not-found", "inactive");
}
