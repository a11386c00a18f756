//! fleetctl's commands against a server that is told what to answer: what is asked, byte for byte, and
//! what is printed.

use crate::fake::{Fake, MACHINE, OTHER, text};
use serde_json::{Value, json};

const HELLO: &str = "[Unit]\nDescription=Hello\n\n[Service]\nExecStart=/bin/sleep 1\n";

fn hello_options() -> Value {
    json!([
        {"section": "Unit", "name": "Description", "value": "Hello"},
        {"section": "Service", "name": "ExecStart", "value": "/bin/sleep 1"},
    ])
}

fn hello(state: &str) -> Value {
    let mut unit = json!({
        "name": "hello.service",
        "options": hello_options(),
        "desiredState": state,
        "currentState": state,
    });
    if state != "inactive" {
        unit["machineID"] = json!(MACHINE);
    }
    unit
}

fn global() -> Value {
    json!({
        "name": "everywhere.service",
        "options": [
            {"section": "Service", "name": "ExecStart", "value": "/bin/sleep 1"},
            {"section": "X-Fleet", "name": "Global", "value": "true"},
        ],
        "desiredState": "inactive",
    })
}

#[test]
fn start_submits_and_starts() {
    let fake = Fake::start();
    fake.write("hello.service", HELLO);
    let printed = fake.ok(&["start", "hello"]);
    assert_eq!(
        printed,
        "Unit hello.service inactive\nUnit hello.service launched on 113f16a7.../172.17.8.103\n"
    );
    let path = "/fleet/v1/units/hello.service";
    let expected = [
        (
            "PUT".to_owned(),
            path.to_owned(),
            json!({"name": "hello.service", "options": hello_options(), "desiredState": "inactive"}),
        ),
        (
            "PUT".to_owned(),
            path.to_owned(),
            json!({"name": "hello.service", "desiredState": "launched"}),
        ),
    ];
    assert_eq!(fake.changes(), expected);
    // Once more: nothing is left to do.
    assert_eq!(fake.ok(&["start", "hello"]), "");
    assert_eq!(fake.changes().len(), 2);
}

#[test]
fn a_units_life() {
    let fake = Fake::start();
    fake.write("hello.service", HELLO);
    assert_eq!(
        fake.ok(&["submit", "hello.service"]),
        "Unit hello.service inactive\n"
    );
    assert_eq!(
        fake.ok(&["load", "hello.service"]),
        "Unit hello.service loaded on 113f16a7.../172.17.8.103\n"
    );
    fake.ok(&["start", "hello.service"]);
    assert_eq!(
        fake.ok(&["restart", "hello.service"]),
        "Unit hello.service loaded on 113f16a7.../172.17.8.103\n\
         Unit hello.service launched on 113f16a7.../172.17.8.103\n\
         Unit(hello.service) was restarted.\n"
    );
    assert_eq!(
        fake.ok(&["stop", "hello.service"]),
        "Unit hello.service loaded on 113f16a7.../172.17.8.103\n"
    );
    assert_eq!(
        fake.ok(&["unload", "hello.service"]),
        "Unit hello.service inactive\n"
    );
    assert_eq!(
        fake.fails(&["stop", "hello.service"], 1),
        "Unable to stop unit hello.service in state inactive\n"
    );
    assert_eq!(
        fake.ok(&["destroy", "hello.service"]),
        "Destroyed hello.service\n"
    );
    assert!(fake.units().is_empty());
    assert_eq!(fake.ok(&["destroy", "hello.service"]), "");
    assert_eq!(fake.ok(&["stop", "hello.service"]), "");
}

#[test]
fn nothing_is_waited_for_with_no_block() {
    let fake = Fake::start();
    fake.get_stuck();
    fake.write("hello.service", HELLO);
    let printed = fake.ok(&["start", "--no-block", "hello"]);
    assert!(
        printed.ends_with("Triggered unit hello.service start\n"),
        "{printed}"
    );
    let error = fake.fails(&["start", "--block-attempts=1", "nothing"], 1);
    assert_eq!(
        error,
        "unable to find Unit(nothing.service) in Registry or on filesystem\n"
    );
}

#[test]
fn global_units_are_only_triggered() {
    let fake = Fake::start();
    fake.unit(global());
    let printed = fake.ok(&["start", "everywhere"]);
    assert_eq!(printed, "Triggered global unit everywhere.service start\n");
    let printed = fake.ok(&["stop", "everywhere"]);
    assert_eq!(printed, "Triggered global unit everywhere.service stop\n");
    let printed = fake.ok(&["unload", "everywhere"]);
    assert_eq!(printed, "Triggered global unit everywhere.service unload\n");
}

#[test]
fn instances_come_from_templates_here_and_there() {
    let fake = Fake::start();
    fake.write("hello@.service", HELLO);
    fake.ok(&["start", "hello@1", "hello@2.service"]);
    fake.ok(&["submit", "hello@.service"]);
    std::fs::remove_file(fake.folder.path().join("hello@.service")).expect("removed");
    fake.ok(&["start", "hello@3"]);
    let units = fake.units();
    let names: Vec<&String> = units.keys().collect();
    assert_eq!(
        names,
        [
            "hello@.service",
            "hello@1.service",
            "hello@2.service",
            "hello@3.service"
        ]
    );
    assert_eq!(units["hello@3.service"]["options"], hello_options());
    let error = fake.fails(&["start", "other@1"], 1);
    assert!(error.contains("template Unit(other@.service)"), "{error}");
}

#[test]
fn a_different_file_is_told_and_replaced_when_asked() {
    let fake = Fake::start();
    fake.unit(hello("launched"));
    fake.write("hello.service", "[Service]\nExecStart=/bin/sleep 2\n");
    let output = fake.run(&["start", "hello.service"]);
    assert_eq!(
        text(&output.stderr),
        "WARNING: Unit hello.service in registry differs from local unit file hello.service. Add --replace to override.\n"
    );
    assert!(fake.changes().is_empty());
    let error = fake.fails(&["load", "--replace", "hello.service"], 1);
    assert!(error.contains("use 'start --replace'"), "{error}");
    let printed = fake.ok(&["start", "--replace", "hello.service"]);
    assert_eq!(
        printed,
        "Unit hello.service replaced by hello.service\nUnit hello.service launched on 113f16a7.../172.17.8.103\n"
    );
    let options = &fake.units()["hello.service"]["options"];
    assert_eq!(options[0]["value"], "/bin/sleep 2");
    // Once more: nothing differs.
    fake.ok(&["start", "--replace", "hello.service"]);
    assert_eq!(fake.changes().len(), 1);
}

#[test]
fn a_unit_that_cannot_be_placed_is_not_waited_for() {
    let fake = Fake::start();
    fake.get_stuck();
    fake.write("hello.service", HELLO);
    let explanation = json!({"type": "machines", "machines": [
        {"machineID": MACHINE, "placed": false, "refusals": [
            {"reason": "metadata", "message": "MachineMetadata: region must be eu, is us"}]},
        {"machineID": OTHER, "placed": false, "refusals": [
            {"reason": "cordoned", "message": "the machine is cordoned"}]},
    ]});
    fake.answer(
        "GET /fleet/v1/units/hello.service/explain",
        200,
        &explanation,
    );
    let error = fake.fails(&["start", "hello"], 1);
    assert_eq!(
        error,
        "Unit hello.service cannot be placed now; it will be once a machine can take it:\n\
         113f16a7.../172.17.8.103: no\n    MachineMetadata: region must be eu, is us\n\
         2a8f16a7...: no\n    the machine is cordoned\n"
    );
    let error = fake.fails(&["explain", "hello"], 1);
    assert_eq!(error, "");
    // A user who says how long waits so long.
    fake.unit(
        json!({"name": "hello.service", "options": hello_options(), "desiredState": "inactive"}),
    );
    let error = fake.fails(&["start", "--block-attempts=1", "hello"], 1);
    assert_eq!(
        error,
        "Error waiting for units: timed out waiting for unit hello.service to report state launched\n"
    );
}

#[test]
fn a_unit_that_failed_is_told() {
    let fake = Fake::start();
    fake.set_active("failed");
    fake.unit(hello("loaded"));
    let error = fake.fails(&["start", "hello"], 1);
    assert!(
        error.starts_with("Unit hello.service failed on 113f16a7"),
        "{error}"
    );
}

#[test]
fn the_servers_refusal_is_printed() {
    let fake = Fake::start();
    fake.write("hello.service", HELLO);
    let refusal = json!({"error": {"code": 400, "message": "line 3: no"}});
    fake.answer("PUT /fleet/v1/units/hello.service", 400, &refusal);
    let error = fake.fails(&["submit", "hello"], 1);
    assert_eq!(
        error,
        "Error creating units: failed creating unit hello.service: line 3: no\n"
    );
}

#[test]
fn a_bad_file_is_refused_here_with_its_line() {
    let fake = Fake::start();
    fake.write("hello.service", "# a comment\n\n[X-Fleet]\nGlobl=true\n");
    let error = fake.fails(&["start", "hello"], 1);
    assert_eq!(
        error,
        "hello.service: line 4: unrecognized key `Globl` in section [X-Fleet]\n"
    );
    assert!(fake.changes().is_empty());
}

#[test]
fn old_commands_and_flags_say_that_they_are_gone() {
    let fake = Fake::start();
    assert!(fake.fails(&["verify", "hello"], 2).contains("DEPRECATED"));
    assert!(
        fake.fails(&["submit", "--sign", "hello"], 2)
            .contains("DEPRECATED")
    );
    fake.fails(&["no-such-command"], 2);
    fake.fails(&["list-units", "--no-such-flag"], 2);
    assert!(
        fake.fails(&["--driver=etcd", "list-units"], 1)
            .contains("unrecognized driver")
    );
}

#[test]
fn version_and_help() {
    let fake = Fake::start();
    let version = format!("fleetctl version {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(fake.ok(&["version"]), version);
    for words in [["--version"], ["-v"]] {
        assert_eq!(
            fake.ok(&words).replace("fleetctl ", "fleetctl version "),
            version
        );
    }
    let help = fake.ok(&["help"]);
    assert_eq!(fake.ok(&["--help"]), help);
    assert_eq!(fake.ok(&["-h"]), help);
    let without = fake.run(&[]);
    assert_eq!(
        (without.status.code(), text(&without.stdout)),
        (Some(0), help.clone())
    );
    assert!(help.contains("list-unit-files"), "{help}");
    assert!(
        fake.ok(&["completions", "bash"])
            .contains("list-unit-files")
    );
}

#[test]
fn cat_prints_the_file() {
    let fake = Fake::start();
    fake.unit(hello("inactive"));
    assert_eq!(fake.ok(&["cat", "hello"]), HELLO);
    assert_eq!(
        fake.fails(&["cat", "other"], 1),
        "Unit other.service does not exist.\n"
    );
}

#[test]
fn drop_ins_go_along() {
    let fake = Fake::start();
    fake.write("hello.service", HELLO);
    fake.write("hello.service.d/10-user.conf", "[Service]\nUser=nobody\n");
    fake.ok(&["submit", "hello"]);
    let sent = &fake.changes()[0].2;
    assert_eq!(
        sent["dropIns"],
        json!([{"name": "10-user.conf", "options": [
            {"section": "Service", "name": "User", "value": "nobody"}]}])
    );
    let printed = fake.ok(&["cat", "hello"]);
    assert!(printed.ends_with("\n# hello.service.d/10-user.conf\n[Service]\nUser=nobody\n"));
}

#[test]
fn an_endpoint_that_is_not_there_is_named() {
    let fake = Fake::start();
    let error = fake.fails(&["--endpoint", "unix:///nonexistent.sock", "list-units"], 1);
    assert!(
        error.contains("cannot connect to unix:///nonexistent.sock"),
        "{error}"
    );
    let error = fake.fails(&["--endpoint", "nonsense", "list-units"], 1);
    assert!(
        error.starts_with("Unable to initialize client: `nonsense` is not an endpoint"),
        "{error}"
    );
}
