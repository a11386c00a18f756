//! What fleetctl had not: explain, drain, move, apply, update, watch, status and journal over the API, tunnels
//! through the `ssh` program.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::fake::{Fake, MACHINE, OTHER, text};
use serde_json::{Value, json};

fn options(command: &str) -> Value {
    json!([{"section": "Service", "name": "ExecStart", "value": command}])
}

fn running(name: &str, command: &str) -> Value {
    json!({
        "name": name, "options": options(command), "desiredState": "launched",
        "currentState": "launched", "machineID": MACHINE,
    })
}

/// Lines of JSON, as a stream.
fn lines(records: &[Value]) -> String {
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

#[test]
fn explain_tells_of_units_that_are_not_stored_too() {
    let fake = Fake::start();
    let explanation = json!({"type": "machines", "machines": [
        {"machineID": MACHINE, "placed": true, "refusals": []},
        {"machineID": OTHER, "placed": false, "refusals": [
            {"reason": "lost", "message": "the machine is lost"}]},
    ]});
    fake.answer("GET /fleet/v1/units/a.service/explain", 200, &explanation);
    assert_eq!(
        fake.ok(&["explain", "a"]),
        "113f16a7.../172.17.8.103: has it\n2a8f16a7...: no\n    the machine is lost\n"
    );
    fake.write("b.service", "[Service]\nExecStart=/bin/true\n");
    fake.answer(
        "POST /fleet/v1/explain",
        200,
        &json!({"type": "machines"})
            .to_string()
            .replace('}', ",\"machines\":[]}"),
    );
    let output = fake.run(&["explain", "b.service"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(1), "there are no machines\n".to_owned())
    );
    assert_eq!(fake.changes()[0].2["name"], "b.service");
    let json: Value = serde_json::from_str(&fake.ok(&["--json", "explain", "a"])).expect("JSON");
    assert_eq!(json, explanation);
}

/// What a machine says of a unit that it has a unit of its own instead of.
const PROBLEM: &str = "the machine has a.service of its own, at /usr/lib/systemd/system/a.service";

/// A unit that is placed and does not run.
fn hindered(fake: &Fake) {
    let mut unit = running("a.service", "/bin/a");
    unit["currentState"] = json!("inactive");
    fake.answer("GET /fleet/v1/units/a.service", 200, &unit);
    fake.answer("PUT /fleet/v1/units/a.service", 204, &"");
    let states =
        json!({"states": [{"name": "a.service", "machineID": MACHINE, "problem": PROBLEM}]});
    fake.answer("GET /fleet/v1/state", 200, &states);
    fake.answer("GET /fleet/v1/state?unitName=a.service", 200, &states);
}

#[test]
fn what_hinders_a_machine_ends_a_start_and_a_load() {
    let fake = Fake::start();
    hindered(&fake);
    let expected = format!("Unit a.service cannot be run by 113f16a7.../172.17.8.103: {PROBLEM}\n");
    assert_eq!(fake.fails(&["load", "a"], 1), expected);
    let mut unit = running("a.service", "/bin/a");
    unit["desiredState"] = json!("inactive");
    fake.answer("GET /fleet/v1/units/a.service", 200, &unit);
    assert_eq!(fake.fails(&["start", "a"], 1), expected);
}

#[test]
fn what_hinders_a_machine_is_shown() {
    let fake = Fake::start();
    hindered(&fake);
    let output = fake.run(&["list-units", "--no-legend"]);
    assert_eq!(
        text(&output.stderr),
        format!("WARNING: 113f16a7.../172.17.8.103 cannot run a.service: {PROBLEM}\n")
    );
    let words = ["list-units", "--no-legend", "--fields=unit,problem"];
    let output = fake.run(&words);
    assert_eq!(text(&output.stdout), format!("a.service\t{PROBLEM}\n"));
    assert_eq!(text(&output.stderr), "");
    let explanation = json!({"type": "machines", "machines": [
        {"machineID": MACHINE, "placed": true, "problem": PROBLEM, "refusals": []}]});
    fake.answer("GET /fleet/v1/units/a.service/explain", 200, &explanation);
    let output = fake.run(&["explain", "a"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("113f16a7.../172.17.8.103: has it, and cannot run it\n    {PROBLEM}\n");
    assert_eq!(text(&output.stdout), expected);
    // systemctl tells of the machine's own unit.
    let statuses = json!({"statuses": [{"machineID": MACHINE, "problem": PROBLEM, "type": "status", "exitCode": 0, "text": "Active: active\n"}]});
    fake.answer("GET /fleet/v1/units/a.service/status", 200, &statuses);
    let error = fake.fails(&["status", "a"], 3);
    assert!(
        error.ends_with(&format!("cannot run a.service: {PROBLEM}\n")),
        "{error}"
    );
}

#[test]
fn machines_are_cordoned_drained_and_opened() {
    let fake = Fake::start();
    for id in [MACHINE, OTHER] {
        fake.answer(
            &format!("PUT /fleet/v1/machines/{id}/availability"),
            204,
            &"",
        );
    }
    assert_eq!(
        fake.ok(&["cordon", "113f"]),
        "Machine 113f16a7.../172.17.8.103 is cordoned\n"
    );
    fake.ok(&["uncordon", "113f"]);
    assert_eq!(
        fake.ok(&["drain", "2a8f16a7"]),
        "Machine 2a8f16a7... is draining\nMachine 2a8f16a7... is drained\n"
    );
    let asked: Vec<Value> = fake
        .changes()
        .into_iter()
        .map(|(_, _, body)| body)
        .collect();
    let expected = ["cordoned", "open", "draining"].map(|word| json!({"availability": word}));
    assert_eq!(asked, expected);
    fake.unit(running("a.service", "/bin/a"));
    let error = fake.fails(&["drain", "--timeout=0.3", "113f"], 1);
    assert!(
        error.contains("is not drained, 1 units are there still:\na.service\n"),
        "{error}"
    );
    assert!(
        fake.fails(&["cordon", "ffff"], 1)
            .contains("machine ffff does not exist")
    );
}

#[test]
fn a_unit_is_moved() {
    let fake = Fake::start();
    fake.unit(running("a.service", "/bin/a"));
    fake.answer("POST /fleet/v1/units/a.service/move", 204, &"");
    let mut moved = running("a.service", "/bin/a");
    let path = "GET /fleet/v1/units/a.service";
    fake.answer(path, 200, &moved);
    fake.answer(path, 200, &moved);
    moved["machineID"] = json!(OTHER);
    fake.answer(path, 200, &moved);
    let state = json!({"states": [{"name": "a.service", "machineID": OTHER, "systemdLoadState": "loaded", "systemdActiveState": "active"}]});
    fake.answer("GET /fleet/v1/state?unitName=a.service", 200, &state);
    assert_eq!(
        fake.ok(&["move", "a", "--to", "2a"]),
        "Unit a.service launched on 2a8f16a7...\n"
    );
    assert_eq!(fake.changes()[0].2, json!({"machineID": OTHER}));
}

#[test]
fn a_move_that_cannot_be_is_refused() {
    let fake = Fake::start();
    fake.unit(running("a.service", "/bin/a"));
    let refusal = json!({"error": {"code": 409, "message": "no other machine can take it"}});
    fake.answer("POST /fleet/v1/units/a.service/move", 409, &refusal);
    assert_eq!(
        fake.fails(&["move", "a"], 1),
        "Error moving unit a.service: no other machine can take it\n"
    );
}

#[test]
fn a_folder_is_applied_and_can_be_looked_at_before() {
    let fake = Fake::start();
    fake.unit(running("a.service", "/bin/old"));
    fake.unit(running("gone.service", "/bin/gone"));
    fake.write("units/a.service", "[Service]\nExecStart=/bin/new\n");
    fake.write("units/b.service", "[Service]\nExecStart=/bin/b\n");
    fake.write("units/README", "not a unit\n");
    let output = fake.run(&["apply", "-f", "units", "--dry-run", "--prune"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stdout),
        "- destroy gone.service\n\
         ~ change a.service\n     [Service]\n    -ExecStart=/bin/old\n    +ExecStart=/bin/new\n\
         + create b.service\n    +[Service]\n    +ExecStart=/bin/b\n"
    );
    assert!(
        fake.changes().iter().all(|(method, ..)| method == "POST"),
        "nothing changed"
    );
    fake.ok(&["apply", "-f", "units"]);
    let units = fake.units();
    assert_eq!(units["a.service"]["options"], options("/bin/new"));
    assert_eq!(units["b.service"]["desiredState"], "launched");
    assert!(
        units.contains_key("gone.service"),
        "without --prune it stays"
    );
    fake.ok(&["apply", "-f", "units", "--prune"]);
    assert!(!fake.units().contains_key("gone.service"));
    assert_eq!(fake.ok(&["apply", "-f", "units", "--dry-run"]), "");
    let error = fake.fails(&["apply", "-f", "nothing"], 1);
    assert!(error.contains("cannot read nothing"), "{error}");
}

#[test]
fn one_bad_file_of_a_folder_and_nothing_is_done() {
    let fake = Fake::start();
    fake.write("units/a.service", "[Service]\nExecStart=/bin/a\n");
    fake.write("units/b.service", "[X-Fleet]\nNonsense=1\n");
    let error = fake.fails(&["apply", "-f", "units"], 1);
    assert!(
        error.starts_with("units/b.service: line 2: unrecognized key"),
        "{error}"
    );
    assert!(fake.changes().is_empty());
}

/// The states of two instances, by the hash of a file.
fn instance_states(fake: &Fake, name: &str, hash: &str, active: &str) {
    let state = json!({"states": [{"name": name, "machineID": MACHINE, "hash": hash, "systemdActiveState": active}]});
    fake.answer(
        &format!("GET /fleet/v1/state?unitName={}", name.replace('@', "%40")),
        200,
        &state,
    );
}

/// `sha1sum` of the file with `/bin/new`, and of that with `/bin/old`.
const NEW_HASH: &str = "63846087678119354758cf7e5e3d07505bbe7ac9";
const OLD_HASH: &str = "eaa8d59ecff2e9734a71651adc9546441dea5320";

#[test]
fn instances_are_updated_one_after_another() {
    let fake = Fake::start();
    for name in ["a@1.service", "a@2.service"] {
        fake.unit(running(name, "/bin/old"));
        instance_states(&fake, name, OLD_HASH, "active");
        instance_states(&fake, name, NEW_HASH, "active");
    }
    fake.write("a@.service", "[Service]\nExecStart=/bin/new\n");
    assert_eq!(
        fake.ok(&["update", "a@.service", "--settle=0.1"]),
        "Unit a@1.service updated (1 of 1)\nUnit a@2.service updated (2 of 2)\n"
    );
    let changed: Vec<String> = fake
        .changes()
        .into_iter()
        .map(|(_, path, _)| path)
        .collect();
    let names = ["a@.service", "a@1.service", "a@2.service"];
    assert_eq!(changed, names.map(|name| format!("/fleet/v1/units/{name}")));
}

#[test]
fn an_update_that_fails_is_taken_back() {
    let fake = Fake::start();
    for name in ["a@1.service", "a@2.service"] {
        fake.unit(running(name, "/bin/old"));
    }
    instance_states(&fake, "a@1.service", NEW_HASH, "failed");
    fake.write("a@.service", "[Service]\nExecStart=/bin/new\n");
    let output = fake.run(&["update", "a@.service", "--settle=0.1", "--timeout=0.5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("Unit a@1.service did not come up"));
    let units = fake.units();
    assert_eq!(units["a@1.service"]["options"], options("/bin/old"));
    assert_eq!(units["a@2.service"]["options"], options("/bin/old"));
}

/// Methods and names of units of all that was changed.
fn changed(fake: &Fake) -> Vec<(String, String)> {
    let name = |path: &str| path.rsplit('/').next().expect("a name").to_owned();
    let changes = fake.changes().into_iter();
    changes
        .map(|(method, path, _)| (method, name(&path)))
        .collect()
}

#[test]
fn an_update_may_grow_before_it_replaces() {
    let fake = Fake::start();
    for name in ["a@1.service", "a@2.service"] {
        fake.unit(running(name, "/bin/old"));
        instance_states(&fake, name, NEW_HASH, "active");
    }
    instance_states(&fake, "a@growth-1.service", NEW_HASH, "active");
    fake.write("a@.service", "[Service]\nExecStart=/bin/new\n");
    let words = ["update", "a@.service", "--settle=0.1", "--max-growth=1"];
    assert_eq!(
        fake.ok(&words),
        "Unit a@growth-1.service added for the time being\n\
         Unit a@1.service updated (1 of 1)\nUnit a@2.service updated (2 of 2)\n\
         Destroyed a@growth-1.service\n"
    );
    let expected = [
        ("PUT", "a@growth-1.service"),
        ("PUT", "a@.service"),
        ("PUT", "a@1.service"),
        ("PUT", "a@2.service"),
        ("DELETE", "a@growth-1.service"),
    ];
    assert_eq!(
        changed(&fake),
        expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(fake.changes()[0].2["desiredState"], "launched");
}

#[test]
fn growth_that_does_not_come_up_changes_nothing() {
    let fake = Fake::start();
    fake.unit(running("a@1.service", "/bin/old"));
    fake.unit(running("a@growth-1.service", "/bin/mine"));
    instance_states(&fake, "a@growth-2.service", NEW_HASH, "failed");
    fake.write("a@.service", "[Service]\nExecStart=/bin/new\n");
    let words = ["update", "a@.service", "a@1.service", "--max-growth=3"];
    let error = fake.fails(&words, 1);
    assert!(
        error
            .starts_with("Unit a@growth-2.service did not come up: it failed; nothing was updated"),
        "{error}"
    );
    let expected = [
        ("PUT", "a@growth-2.service"),
        ("DELETE", "a@growth-2.service"),
    ];
    assert_eq!(
        changed(&fake),
        expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    fake.unit(running("b.service", "/bin/old"));
    fake.write("b.service", "[Service]\nExecStart=/bin/new\n");
    let error = fake.fails(&["update", "b.service", "--max-growth=1"], 1);
    assert!(
        error.starts_with("--max-growth is for the instances"),
        "{error}"
    );
}

/// A global unit that runs on both machines with a file.
fn global(fake: &Fake, hashes: [&str; 2], active: &str) {
    let state = |machine: &str, hash: &str| json!({"name": "g.service", "machineID": machine, "hash": hash, "systemdActiveState": active});
    let states = json!({"states": [state(MACHINE, hashes[0]), state(OTHER, hashes[1])]});
    fake.answer("GET /fleet/v1/state?unitName=g.service", 200, &states);
}

const GLOBAL: &str = "[Service]\nExecStart=/bin/new\n\n[X-Fleet]\nGlobal=yes\n";

fn global_unit(command: &str) -> Value {
    let mut unit = running("g.service", command);
    unit["machineID"] = json!("");
    let options = unit["options"].as_array_mut().expect("a list");
    options.push(json!({"section": "X-Fleet", "name": "Global", "value": "yes"}));
    unit
}

/// `sha1sum` of that file.
const GLOBAL_HASH: &str = "2d65ea5a213f729913cb2eea77210fae8b42dc59";

#[test]
fn a_global_unit_is_updated_machine_by_machine() {
    let fake = Fake::start();
    fake.unit(global_unit("/bin/old"));
    global(&fake, ["old", "old"], "active");
    for _ in 0..20 {
        global(&fake, [GLOBAL_HASH, "old"], "active");
    }
    global(&fake, [GLOBAL_HASH, GLOBAL_HASH], "active");
    fake.write("g.service", GLOBAL);
    assert_eq!(
        fake.ok(&["update", "g.service", "--settle=0.1"]),
        "Unit g.service updated on 113f16a7.../172.17.8.103\n\
         Unit g.service updated on 2a8f16a7...\n"
    );
    let rollouts: Vec<Value> = fake
        .changes()
        .into_iter()
        .map(|(_, _, body)| body["rollout"]["machines"].clone())
        .collect();
    assert_eq!(
        rollouts,
        [json!([MACHINE]), json!([MACHINE, OTHER]), Value::Null]
    );
}

#[test]
fn a_global_unit_that_fails_goes_back_everywhere() {
    let fake = Fake::start();
    fake.unit(global_unit("/bin/old"));
    global(&fake, ["old", "old"], "active");
    global(&fake, [GLOBAL_HASH, "old"], "failed");
    fake.write("g.service", GLOBAL);
    let words = ["update", "g.service", "--settle=0.1", "--timeout=0.5"];
    let error = fake.fails(&words, 1);
    assert!(
        error.starts_with("Unit g.service did not come up"),
        "{error}"
    );
    let last = fake.changes().pop().expect("changes").2;
    assert_eq!(last["rollout"], Value::Null);
    assert_eq!(last["options"], global_unit("/bin/old")["options"]);
}

#[test]
fn status_comes_from_every_machine() {
    let fake = Fake::start();
    fake.unit(running("a.service", "/bin/a"));
    let one = json!({"statuses": [{"machineID": MACHINE, "type": "status", "exitCode": 3, "text": "Active: inactive (dead)\n"}]});
    fake.answer("GET /fleet/v1/units/a.service/status", 200, &one);
    let output = fake.run(&["status", "a"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(3), "Active: inactive (dead)\n".to_owned())
    );
    fake.unit(running("b.service", "/bin/b"));
    let two = json!({"statuses": [
        {"machineID": MACHINE, "type": "status", "exitCode": 0, "text": "one\n"},
        {"machineID": OTHER, "type": "unreachable", "message": "timed out"},
    ]});
    fake.answer("GET /fleet/v1/units/b.service/status", 200, &two);
    let output = fake.run(&["status", "b"]);
    assert_eq!(
        text(&output.stdout),
        "113f16a7.../172.17.8.103:\none\n\n2a8f16a7...:\n"
    );
    assert!(text(&output.stderr).contains("cannot be asked: timed out"));
    assert_eq!(
        fake.fails(&["status", "other"], 1),
        "Unit other.service does not exist.\n"
    );
}

#[test]
fn the_journal_comes_over_the_api() {
    let fake = Fake::start();
    fake.unit(running("a.service", "/bin/a"));
    let line = |line: &str| json!({"type": "line", "machineID": MACHINE, "line": line});
    let path = "GET /fleet/v1/units/a.service/journal?lines=5&follow=false&output=cat";
    fake.answer(path, 200, &lines(&[line("one"), line("two")]));
    assert_eq!(
        fake.ok(&["journal", "--lines", "5", "--output=cat", "a"]),
        "one\ntwo\n"
    );
}

#[test]
fn changes_are_printed_after_what_was_there() {
    let fake = Fake::start();
    let record = |revision: u64, mut event: Value| {
        event["revision"] = json!(revision);
        event
    };
    let events = [
        record(
            1,
            json!({"type": "unit", "unit": running("before.service", "/bin/a")}),
        ),
        record(1, json!({"type": "synced"})),
        record(2, json!({"type": "unit-gone", "name": "a.service"})),
        record(3, json!({"type": "machine-gone", "id": OTHER})),
    ];
    fake.answer("GET /fleet/v1/events", 200, &lines(&events));
    let mut child = fake
        .command()
        .arg("watch")
        .stdout(Stdio::piped())
        .spawn()
        .expect("fleetctl runs");
    let mut printed = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || {
        let line = printed.next().expect("a line").expect("text");
        line.split_once(' ').expect("a time first").1.to_owned()
    };
    assert_eq!(next(), "unit a.service: destroyed");
    assert_eq!(next(), "machine 2a8f16a7...: gone");
    child.kill().expect("killed");
    child.wait().expect("reaped");
}

/// A program named `ssh` that runs the remote command here, with fleetctl in its path, and writes down what
/// it was given.
fn fake_ssh(fake: &Fake) -> String {
    let script = "#!/bin/sh\necho \"$@\" >>\"$HOME/ssh.log\"\n\
        while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done\nshift\nexec sh -c \"$*\"\n";
    fake.write("bin/ssh", script);
    let folder = fake.folder.path().join("bin");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.join("ssh"), mode).expect("executable");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fleetctl"), folder.join("fleetctl"))
        .expect("linked");
    format!("{}:/usr/bin:/bin", folder.display())
}

#[test]
fn a_tunnel_ends_at_the_socket_there() {
    let fake = Fake::start();
    let path = fake_ssh(&fake);
    fake.write("hello.service", "[Service]\nExecStart=/bin/true\n");
    let output = fake
        .command()
        .env("PATH", &path)
        .args(["--tunnel", "10.9.8.7", "start", "hello"])
        .output()
        .expect("fleetctl runs");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).ends_with("launched on 113f16a7.../172.17.8.103\n"));
    let log = std::fs::read_to_string(fake.folder.path().join("ssh.log")).expect("the log");
    let end = format!(
        "-T -p 22 10.9.8.7 -- fleetctl fd-forward {}",
        fake.socket().display()
    );
    assert!(log.lines().all(|line| line.ends_with(&end)), "{log}");
    assert_eq!(
        log.lines().count(),
        1,
        "one connection serves all requests: {log}"
    );
    assert!(log.contains("User=core"), "{log}");
}

/// ssh says why; fleetctl's own words point there.
#[test]
fn a_tunnel_that_fails_says_that_ssh_did() {
    let fake = Fake::start();
    let path = fake_ssh(&fake);
    fake.write(
        "bin/ssh",
        "#!/bin/sh\necho 'core@10.9.8.7: Permission denied (publickey).' >&2\nexit 255\n",
    );
    let output = fake
        .command()
        .env("PATH", &path)
        .args(["--tunnel", "10.9.8.7", "list-units"])
        .output()
        .expect("fleetctl runs");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.starts_with("core@10.9.8.7: Permission denied"),
        "{told}"
    );
    assert!(
        told.contains("ssh failed with exit status: 255; what it says is above"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn commands_run_on_machines_and_where_units_are() {
    let fake = Fake::start();
    let path = fake_ssh(&fake);
    fake.unit(running("a.service", "/bin/a"));
    let run = |words: &[&str]| {
        fake.command()
            .env("PATH", &path)
            .args(words)
            .output()
            .expect("fleetctl runs")
    };
    for words in [
        ["ssh", "113f", "echo", "foo"],
        ["ssh", "a.service", "echo", "foo"],
        ["ssh", "--unit=a", "echo", "foo"],
        ["ssh", "--machine=113f", "echo", "foo"],
    ] {
        let output = run(&words);
        assert_eq!(text(&output.stdout), "foo\n", "{words:?}: {output:?}");
    }
    let output = run(&["ssh", "113f", "--", "exit", "7"]);
    assert_eq!(output.status.code(), Some(7));
    let output = run(&["ssh", "2a8f", "true"]);
    assert!(text(&output.stderr).contains("Could not determine address"));
    let output = run(&["ssh", "nothing"]);
    assert_eq!(
        text(&output.stderr),
        "Unable to proceed: could not find matching unit or machine\n"
    );
    // A fleetd without journal and status, as fleet's: they are fetched by SSH.
    let output = run(&["status", "a"]);
    let log = std::fs::read_to_string(fake.folder.path().join("ssh.log")).expect("the log");
    let last = log.lines().last().expect("a line");
    assert!(
        last.ends_with("172.17.8.103 -- systemctl status -l a.service"),
        "{last}: {output:?}"
    );
    run(&["journal", "--sudo", "a"]);
    let log = std::fs::read_to_string(fake.folder.path().join("ssh.log")).expect("the log");
    let last = log.lines().last().expect("a line");
    let command = "-- sudo journalctl --unit a.service --no-pager -n 10 --output short";
    assert!(last.ends_with(command), "{last}");
}

/// As while the store elects a leader: nothing was done, so even a change is asked for again.
#[test]
fn a_fleet_without_its_store_is_asked_again() {
    let fake = Fake::start();
    let message = "fleet server unable to communicate with etcd: no leader";
    let failure = json!({"error": {"code": 503, "message": message}});
    fake.answer("GET /fleet/v1/machines", 503, &failure);
    let machines = json!({"machines": [{"id": MACHINE}, {"id": OTHER}]});
    fake.answer("GET /fleet/v1/machines", 200, &machines);
    let output = fake.run(&["list-machines", "--no-legend"]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("113f16a7"), "{output:?}");
    assert_eq!(
        text(&output.stderr),
        format!("WARNING: {message}; asking again for up to 15 s\n")
    );

    let change = format!("PUT /fleet/v1/machines/{OTHER}/availability");
    fake.answer(&change, 503, &failure);
    fake.answer(&change, 204, &"");
    fake.ok(&["cordon", "2a8f"]);
    assert_eq!(fake.changes().len(), 2);
}
